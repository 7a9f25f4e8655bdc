"""Siemens measurement protocols as text: XProtocol (`<ParamString."key"> { "value" }`), ASCCONV."""

import re2

from services.anonymizer.engine.tokens import Tokens

_KEY = (
    r"[A-Za-z]*(?:Patients?(?:Name|ID|LOID|Address|Birth[A-Za-z]*)|Physicians?Name|OperatorsName"
    r"|Institution(?:Name|Address|alDepartmentName)|StationName|AccessionNumber|StudyID"
    r"|(?:Study|Series)LOID|SerialNumber|HostName)"
)
# Within a text within a text, quotes are doubled. Attributes such as `<Visible> "true"` may stand
# before the value.
_QUOTE = r'"{1,2}'
_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # bytes of whatever character set
_PERSONAL = re2.compile(
    rf"(?:<Param[A-Za-z]*\.{_QUOTE}{_KEY}{_QUOTE}>\s*\{{\s*"
    rf"(?:<[A-Za-z]+>\s*(?:{_QUOTE}[A-Za-z0-9 ]*{_QUOTE}|[0-9.]+)\s*)*"
    rf"|[\n.]{_KEY}[ \t]*=[ \t]*)"
    rf'(?:{_QUOTE}([^"\n\x00]+)|([0-9]+))'.encode(),
    _OPTIONS,
)


def clean_protocol(raw: bytes, tokens: Tokens) -> bytes:
    """`raw` cleaned as any bytes are, and what its keys call personal overwritten.

    Names, ids, institutions and the serial number of the device go. The length stays.
    """
    return overwrite_personal(tokens.clean_bytes(raw))


def overwrite_personal(raw: bytes) -> bytes:
    """Overwrite what the keys of a protocol in `raw` call personal."""
    if b"<Param" not in raw and b"=" not in raw:
        return raw
    changed = bytearray(raw)
    for found in _PERSONAL.finditer(raw):
        for group, by in ((1, b"X"), (2, b"0")):
            start, end = found.span(group)
            if start >= 0:
                changed[start:end] = overwritten(raw[start:end], by)
    return bytes(changed)


def overwritten(value: bytes, by: bytes) -> bytes:
    """`value` with every byte but NUL replaced by `by`."""
    return bytes(byte and by[0] for byte in value)
