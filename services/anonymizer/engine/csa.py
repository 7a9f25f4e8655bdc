"""Cleans Siemens CSA headers value by value."""

import re
from functools import lru_cache

import re2

from services.anonymizer.engine.tokens import Tokens
from services.anonymizer.engine.xprotocol import overwrite_personal, overwritten
from shared.csa import CsaItem, NotCsaError, csa_tags

_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
_MEASURED = re.compile(
    r"B_value|B_matrix|Diffusion.*|Slice.*|Mosaic.*|NumberOf.*|Time.*|PhaseEncoding.*|Bandwidth.*"
    r"|RBMoCo.*|Rows|Columns|PixelSpacing|Image(?:Pos|Orient).*|(?:Echo|Repetition|Inversion)Time"
    r"|FlipAngle|ImagingFrequency|.*TablePosition|RealDwellTime|.*Number|Echo.*Position"
)
"""Numbers by which images are put together, even where an identifier happens to equal one."""
_PERSONAL_NAMES = (
    r"(?:Patients?(?:Name|ID|LOID|Address|Birth[A-Za-z]*|Comments?)|Physicians?(?:Name|Of[A-Za-z]*)?"
    r"|Operators?(?:Name)?|Institution(?:Name|Address|alDepartmentName)|Hospital(?:Name)?"
    r"|StationName|AccessionNumber|StudyID|SerialNumber|UserName|HostName|(?:Study|Series)LOID)"
)
_PERSONAL = re.compile(rf"[A-Za-z]*{_PERSONAL_NAMES}")
"""Persons, ids, institutions and devices. Such values go whole, whatever they are."""
_PERSONAL_TAG = re2.compile(rf"{_PERSONAL_NAMES}\x00".encode())
_NUMBER = re.compile(rb"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_LONG_WHOLE = re.compile(rb"\s*[0-9]{6,}\s*")


def clean_csa(raw: bytes, tokens: Tokens) -> bytes:
    """`raw` with the values of a CSA header cleaned in place, its length unchanged.

    Measurements are not touched; other numbers stay numbers; values that are personal by their
    name are overwritten, within the measurement protocol too. Everything else, what stands between
    the values included, is cleaned as any bytes are. So is, as a whole, what is no CSA header.
    """
    swept = overwrite_personal(tokens.clean_bytes(raw))
    # A UID is never a number nor a tag's name: where no more has changed, nothing can be wrong.
    if _PERSONAL_TAG.search(raw) is None and swept in (raw, tokens.with_uids(raw)):
        return swept
    try:
        tags = csa_tags(raw)
    except NotCsaError:
        return swept
    cleaned = bytearray(swept)
    for tag in tags:
        # A person may be called as a tag is.
        cleaned[tag.offset : tag.offset + len(tag.name)] = tag.name.encode("ascii")
        personal = _is_personal(tag.name)
        for item in tag.items:
            span = slice(item.offset, item.offset + item.length)
            if personal:
                cleaned[span] = _hidden(raw[span])
            elif raw[span] != swept[span]:
                cleaned[span] = _value(item, raw[span], swept[span])
    return bytes(cleaned)


@lru_cache(maxsize=4096)
def _is_personal(name: str) -> bool:
    return _PERSONAL.fullmatch(name) is not None


def _hidden(value: bytes) -> bytes:
    is_number = _NUMBER.fullmatch(value.partition(b"\0")[0])
    return overwritten(value, b"0" if is_number else b"X")


def _value(item: CsaItem, value: bytes, swept: bytes) -> bytes:
    text = value.partition(b"\0")[0]
    if _NUMBER.fullmatch(text) and (item.vr in _NUMBER_VRS or _MEASURED.fullmatch(item.name)):
        return _number(item, text, swept)
    return swept


def _number(item: CsaItem, text: bytes, swept: bytes) -> bytes:
    """A number that is still one; behind it, memory that was never cleared may say anything."""
    new, behind = swept[: len(text)], swept[len(text) :]
    if _MEASURED.fullmatch(item.name) or not _LONG_WHOLE.fullmatch(text):
        return text + behind
    return (new if _NUMBER.fullmatch(new) else b"0" * len(text)) + behind
