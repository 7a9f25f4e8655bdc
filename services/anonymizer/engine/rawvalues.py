"""Reads and writes the values of raw elements, as far as that is plain (PS3.5 section 6.2)."""

import struct
import warnings

from pydicom.charset import convert_encodings, decode_bytes

from services.anonymizer.engine.actions import Decision, Do
from services.anonymizer.engine.heads import Head, Unsure
from shared.errors import Reason, Reject

_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x5E, 0x3D}  # they reset ISO 2022 escapes
_ENCODED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_PLAIN = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_SHORT, _LONG = struct.Struct("<H"), struct.Struct("<L")
_LONGEST_SHORT = 0xFFFE


class RawValues:
    """Treats values of data sets in one encoding and one character set."""

    def __init__(self, character_set: bytes, *, implicit: bool) -> None:
        self._implicit = implicit
        self.codecs = codecs_of(character_set)

    def renewed(self, decision: Decision, head: Head, element: bytes, value: int) -> bytes | None:
        """The bytes that take the place of `element`; None when it stays, empty when it goes.

        Raises
        ------
        Reject
            The decision is to hold the object.
        Unsure
            The careful reader must look.
        """
        raw = element[value:]
        if decision.do is Do.HOLD:
            raise Reject(Reason.NOT_DEIDENTIFIABLE, decision.why)
        if decision.do is Do.CONTENT:
            raise Unsure
        if raw.startswith(_ITEM_TAGS):
            raise Unsure  # items, though the VR does not say so
        if decision.do is Do.LEAVE:
            return None
        if decision.do is Do.REMOVE:
            return b""
        if decision.do is Do.WRITE:
            new: bytes | None = self._written(head, decision.value)
        elif decision.do is Do.BYTES:
            new = decision.raw(raw) if raw else raw
        else:
            new = self._texts(decision, head, raw)
        if new == raw:
            return None
        return b"" if new is None else self.with_value(element[:value], head, new)

    def with_value(self, header: bytes, head: Head, value: bytes) -> bytes:
        """An element with another value than the one that `header` came with."""
        if self._implicit or head.long:
            return header[:-4] + _LONG.pack(len(value)) + value
        if len(value) > _LONGEST_SHORT:
            raise Unsure
        return header[:-2] + _SHORT.pack(len(value)) + value

    def texts(self, head: Head, raw: bytes) -> list[str] | None:
        """The values as texts, padding stripped; None when their character set can't read them."""
        if raw.isascii() and b"\x1b" not in raw:
            text = raw.decode("ascii")
        elif head.vr in _ENCODED:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = decode_bytes(raw, self.codecs, _DELIMITERS)
        else:
            text = raw.decode("latin-1")
        if "\ufffd" in text:
            return None
        values = [text] if head.vr in _SINGLE else text.split("\\")
        return [value.strip(" \0") for value in values]

    def _disguised(self, head: Head) -> bool:
        """Whether the file says UN where a dictionary knows better: written anew it would not."""
        return head.unknown and not self._implicit

    def _written(self, head: Head, value: str) -> bytes:
        if self._disguised(head):
            raise Unsure
        if not value:
            return b""
        if not value.isascii() or head.vr not in _ENCODED | _PLAIN:
            raise Unsure
        return _padded(value.encode("ascii"), head.vr)

    def _texts(self, decision: Decision, head: Head, raw: bytes) -> bytes | None:
        if head.vr not in _ENCODED | _PLAIN:
            raise Unsure  # a table row about a text, and an element that holds none
        old = self.texts(head, raw)
        if old is None:
            return decision.raw(raw) if decision.do is Do.SWEEP else _unsure()
        new = [decision.texts(text) if text or decision.also_empty else "" for text in old]
        if old == new:
            return raw
        text = "\\".join(new)
        if self._disguised(head) or not text.isascii():
            raise Unsure
        return _padded(text.encode("ascii"), head.vr)


def _unsure() -> bytes:
    raise Unsure


def _padded(value: bytes, vr: str) -> bytes:
    """To even length (PS3.5 section 6.2)."""
    return value + (b"\0" if vr == "UI" else b" ") if len(value) % 2 else value


def codecs_of(character_set: bytes) -> list[str]:
    """The Python codecs of a SpecificCharacterSet value.

    Raises
    ------
    Unsure
        There is no such character set.
    """
    if not character_set.strip(b" \0"):
        return ["iso8859"]
    names = [name.strip(" \0") for name in character_set.decode("latin-1").split("\\")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return list(convert_encodings(names))
    except (LookupError, ValueError, UserWarning):
        raise Unsure from None
