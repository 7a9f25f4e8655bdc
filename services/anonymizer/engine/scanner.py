"""Steps through the raw bytes of a data set and lists its elements, at every depth, in one loop.

Nothing is decoded and no data set is built (PS3.5 section 7). Only little endian, and only what
follows the encoding to the byte and is plain: everything else is left to the careful reader by
raising `Unsure`.
"""

import struct
from dataclasses import dataclass, field

from services.anonymizer.engine.actions import SPECIFIC_CHARACTER_SET
from services.anonymizer.engine.heads import (
    FACTS,
    ITEM_END,
    PIXEL_DATA,
    PLAIN,
    Head,
    Unsure,
    explicit_head,
    resolved_head,
)
from shared.walk import MAX_DEPTH, UNDEFINED

_CTP_CREATOR = 0x00130010
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_TAG = struct.Struct("<HH").unpack_from
_SHORT = struct.Struct("<H").unpack_from
_LONG = struct.Struct("<L").unpack_from


class Short(Exception):
    """The bytes end in the middle of an element that ends at `self.args[0]`, or later."""


Record = tuple[Head, str, int, int, int]
"""Head, private creator, start, start of the value, end. Of a sequence the end is 0."""
Container = tuple[int, int, int]
"""Place of a defined length, start and end of what it is the length of."""


@dataclass
class Found:
    """The elements of a data set, in the order in which they stand."""

    records: list[Record] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    """Of sequences, by their start."""
    containers: list[Container] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)
    """Of the top level."""
    starts: list[int] = field(default_factory=list)
    """Of the top level."""
    facts: dict[int, bytes] = field(default_factory=dict)
    """Raw values of the top level that say what the object is, by tag."""
    identifying: list[tuple[Head, bytes]] = field(default_factory=list)
    """Values that identify somebody or something."""
    character_set: bytes = b""
    end: int = 0
    """Where the pixel data starts, or the bytes end."""


@dataclass(slots=True)
class _Frame:
    """A data set, sequence or item that is being stepped through."""

    end: int
    defined: bool
    sequence_start: int = -1
    """Where the sequence started; -1 for an item or the data set itself."""
    creators: dict[int, str] = field(default_factory=dict)
    last: int = -1


def _block(tag: int) -> int:
    """Group and block that a private element is in, or that a private creator opens."""
    return tag >> 8 if tag & 0xFFFF > 0xFF else tag >> 16 << 8 | tag & 0xFF


class Scanner:
    """One pass over the bytes of a data set.

    Parameters
    ----------
    data
        Little endian; may go on behind the data set's header.
    complete
        Whether `data` ends where the data set ends.
    """

    def __init__(self, data: bytes, *, implicit: bool, complete: bool) -> None:
        self._data, self._implicit, self._complete = data, implicit, complete
        self._found = Found()

    def scan(self, position: int) -> Found:
        """List the elements from `position` to the pixel data, or the end.

        Raises
        ------
        Unsure
            The careful reader must look.
        Short
            `data` is not complete and ends before the pixel data.
        """
        found = self._found
        frames: list[_Frame] = []
        frame = _Frame(len(self._data), defined=True)
        while True:
            while position >= frame.end:
                if position > frame.end or not frame.defined:
                    raise self._beyond(position)
                if not frames:
                    if not self._complete:
                        raise Short(position)
                    found.end = position
                    return found
                if frame.sequence_start >= 0:
                    found.ends[frame.sequence_start] = position
                frame = frames.pop()
            if position + 8 > frame.end:
                raise self._beyond(position)
            if frame.sequence_start >= 0:
                inner, position = self._item(frame, position)
                if inner is None:
                    found.ends[frame.sequence_start] = position
                    frame = frames.pop()
                else:
                    frames.append(frame)
                    frame = inner
                continue
            if not self._implicit:
                position = self._past_plain(frame, position, top=not frames)
                if position + 8 > frame.end:
                    continue
            head, value, length = self._header(position)
            if head.tag == ITEM_END:
                if frame.defined or length:
                    raise Unsure
                position += 8
                frame = frames.pop()
                continue
            if head.tag <= frame.last:
                raise Unsure  # readers disagree on what twice the same means
            frame.last = head.tag
            if not frames:
                if head.tag in PIXEL_DATA:
                    found.end = position
                    return found
                found.tags.append(head.tag)
                found.starts.append(position)
            if head.private:
                head = self._private(frame, head, value, length)
            creator = frame.creators.get(_block(head.tag), "") if head.private else ""
            if head.vr == "SQ":
                if head.unknown and not self._implicit:
                    raise Unsure
                frames.append(frame)
                if len(frames) > MAX_DEPTH:
                    raise Unsure
                found.records.append((head, creator, position, value, 0))
                frame = self._sequence(frame, position, value, length)
                position = value
                continue
            end = value + length
            if end > frame.end:
                raise self._beyond(end)
            found.records.append((head, creator, position, value, end))
            if head.tells:
                self._note(head, self._data[value:end], top=not frames)
            elif head.tag == SPECIFIC_CHARACTER_SET:
                self._character_set(self._data[value:end], nested=bool(frames))
            position = end

    def _note(self, head: Head, value: bytes, *, top: bool) -> None:
        """Keep what says which object this is, and whose."""
        if head.kind is not None:
            self._found.identifying.append((head, value))
        if top and head.tag in FACTS:
            self._found.facts[head.tag] = value

    def _past_plain(self, frame: _Frame, position: int, *, top: bool) -> int:
        """Step over elements that are nothing special, most of all; where they end.

        Explicit VR only. What is wrong is found by `scan`, which looks at the next one.
        """
        data, last, end, creators = self._data, frame.last, frame.end - 12, frame.creators
        found = self._found
        while position <= end:
            plain = PLAIN.get(data[position : position + 6])
            if plain is None:
                break
            head, tag, long, tells, private = plain
            if tag <= last:
                break
            if long:
                value = position + 12
                stop = value + _LONG(data, position + 8)[0]
            else:
                value = position + 8
                stop = value + _SHORT(data, position + 6)[0]
            if stop > frame.end:
                break
            last = tag
            creator = creators.get(tag >> 8, "") if private else ""
            found.records.append((head, creator, position, value, stop))
            if tells:
                self._note(head, data[value:stop], top=top)
            if top:
                found.tags.append(tag)
                found.starts.append(position)
            position = stop
        frame.last = last
        return position

    def _header(self, position: int) -> tuple[Head, int, int]:
        """The element at `position`: its head, where its value starts, and its length."""
        data = self._data
        if self._implicit:
            group, element = _TAG(data, position)
            tag = group << 16 | element
            length = _LONG(data, position + 4)[0]
            if tag == ITEM_END:
                return explicit_head(data[position : position + 4] + b"\0\0"), position + 8, length
            if not 0x0008 <= group < 0xFFFE:
                raise Unsure
            return resolved_head(tag, "", long=False), position + 8, length
        head = explicit_head(data[position : position + 6])
        if not head.long:
            return head, position + 8, _SHORT(data, position + 6)[0]
        if position + 12 > len(data):
            raise self._beyond(position)
        return head, position + 12, _LONG(data, position + 8)[0]

    def _private(self, frame: _Frame, head: Head, value: int, length: int) -> Head:
        """Note a private creator, or learn from it what the element is."""
        number = head.tag & 0xFFFF
        if 0x10 <= number <= 0xFF:
            creator = self._data[value : value + length].strip(b" \0")
            if not creator.isascii() or (head.tag == _CTP_CREATOR and creator != b"CTP"):
                raise Unsure
            frame.creators[_block(head.tag)] = creator.decode().partition("\\")[0].strip()
        elif number >= 0x1000 and head.unknown:
            return resolved_head(head.tag, frame.creators.get(head.tag >> 8, ""), long=head.long)
        return head

    def _beyond(self, position: int) -> Exception:
        """What it means that an element ends behind what it is in."""
        return Unsure() if self._complete else Short(position + 12)

    def _sequence(self, outer: _Frame, start: int, value: int, length: int) -> _Frame:
        if length == UNDEFINED:
            return _Frame(outer.end, defined=False, sequence_start=start)
        end = value + length
        if end > outer.end:
            raise self._beyond(end)
        self._found.containers.append((value - 4, value, end))
        return _Frame(end, defined=True, sequence_start=start)

    def _item(self, frame: _Frame, position: int) -> tuple[_Frame | None, int]:
        """Enter the item at `position`, or leave the sequence."""
        tag, length = self._data[position : position + 4], _LONG(self._data, position + 4)[0]
        if tag == _ITEM:
            if length == UNDEFINED:
                return _Frame(frame.end, defined=False), position + 8
            end = position + 8 + length
            if end > frame.end:
                raise self._beyond(end)
            self._found.containers.append((position + 4, position + 8, end))
            return _Frame(end, defined=True), position + 8
        if tag != _SEQUENCE_END or frame.defined or length:
            raise Unsure
        return None, position + 8

    def _character_set(self, value: bytes, *, nested: bool) -> None:
        if not nested:
            self._found.character_set = value
        elif value.strip() != self._found.character_set.strip():
            raise Unsure
