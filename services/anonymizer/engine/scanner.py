"""Steps through the raw bytes of a data set and lists its elements, at every depth, in one loop.

Nothing is decoded and no data set is built (PS3.5 section 7). Only little endian, and only what
follows the encoding to the byte and is plain: everything else is left to the careful reader by
raising `Unsure`.
"""

import struct
from dataclasses import dataclass, field

from services.anonymizer.engine.actions import SPECIFIC_CHARACTER_SET
from services.anonymizer.engine.found import Found
from services.anonymizer.engine.heads import (
    FACTS,
    ITEM_END,
    PIXEL_DATA,
    PLAIN_EXPLICIT,
    PLAIN_IMPLICIT,
    Head,
    Unsure,
    explicit_head,
    implicit_head,
    resolved_head,
)
from services.anonymizer.engine.sequences import LONGEST, Sequences
from shared.walk import MAX_DEPTH, UNDEFINED

_CTP_CREATOR = 0x00130010
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_SHORT = struct.Struct("<H").unpack_from
_LONG = struct.Struct("<L").unpack_from


class Short(Exception):
    """The bytes end in the middle of an element that ends at `self.args[0]`, or later."""


@dataclass(slots=True)
class _Frame:
    """A data set, sequence or item that is being stepped through."""

    end: int
    defined: bool
    sequence_start: int = -1
    """Where the sequence started; -1 for an item or the data set itself."""
    creators: dict[int, str] = field(default_factory=dict)
    last: int = -1
    before: tuple[int, int] = (0, 0)
    """How many nested things, and identifying values, came before the sequence."""


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
    sequences
        Those met before: they are listed as a whole.
    """

    def __init__(
        self, data: bytes, *, implicit: bool, complete: bool, sequences: Sequences | None = None
    ) -> None:
        self._data, self._implicit, self._complete = data, implicit, complete
        self._found = Found()
        self._sequences = sequences
        self._known = sequences.known(implicit=implicit) if sequences is not None else {}
        self._plains = PLAIN_IMPLICIT if implicit else PLAIN_EXPLICIT
        self._first_bytes = 4 if implicit else 6
        self._nested = 0
        """Sequences and nested character sets so far."""

    def scan(self, position: int) -> Found:
        """List the elements from `position` to the pixel data, or the end.

        Raises
        ------
        Unsure
            The careful reader must look.
        Short
            `data` is not complete and ends before the pixel data.
        """
        return self._scan([], _Frame(len(self._data), defined=True), position)

    def scan_sequence(self, value: int) -> Found:
        """List the elements inside of a sequence that is all of `data`; as `scan`.

        Parameters
        ----------
        value
            Where the sequence's value starts, of defined length.
        """
        outer = _Frame(len(self._data), defined=True)
        sequence = self._sequence(outer, 0, value, len(self._data) - value)
        return self._scan([outer], sequence, value)

    def _scan(self, frames: list[_Frame], frame: _Frame, position: int) -> Found:
        found = self._found
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
                    self._learn(frame)
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
            position = self._past_plain(frame, position, len(frames))
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
            if head.tag in PIXEL_DATA and not frames:
                found.end = position
                return found
            if head.private:
                head = self._private(frame, head, value, length)
            creator = frame.creators.get(_block(head.tag), "") if head.private else ""
            if head.vr == "SQ":
                if len(frames) >= MAX_DEPTH or (head.unknown and not self._implicit):
                    raise Unsure
                self._nested += 1
                found.add((head, creator, position, value, 0), top=not frames)
                frames.append(frame)
                frame = self._sequence(frame, position, value, length)
                position = value
                continue
            end = value + length
            if end > frame.end:
                raise self._beyond(end)
            found.add((head, creator, position, value, end), top=not frames)
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

    def _past_plain(self, frame: _Frame, position: int, depth: int) -> int:
        """Step over elements that are nothing special, most of all; where they end.

        What is wrong is found by `scan`, which looks at the next one.
        """
        data, last, end, creators = self._data, frame.last, frame.end - 12, frame.creators
        found, plains, size = self._found, self._plains, self._first_bytes
        known = self._known if depth < MAX_DEPTH else {}
        while position <= end:
            plain = plains.get(data[position : position + size])
            if plain is None:
                break
            head, tag, at, length_at, header, tells, private, sequence = plain
            value = position + header
            stop = value + length_at(data, position + at)[0]
            if tag <= last or stop > frame.end:
                break
            if sequence:
                told = known.get(data[position:stop]) if stop - position <= LONGEST else None
                if told is None:
                    break
                found.identifying += told
                self._nested += 1
            last = tag
            creator = creators.get(tag >> 8, "") if private else ""
            record = head, creator, position, value, stop
            found.records.append(record)
            if tells:
                self._note(head, data[value:stop], top=not depth)
            if not depth:
                found.top.append(record)
                found.tags.append(tag)
                found.starts.append(position)
            position = stop
        frame.last = last
        return position

    def _header(self, position: int) -> tuple[Head, int, int]:
        """The element at `position`: its head, where its value starts, and its length."""
        data = self._data
        if self._implicit:
            head = implicit_head(data[position : position + 4])
            return head, position + 8, _LONG(data, position + 4)[0]
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
        before = self._nested, len(self._found.identifying)
        return _Frame(end, defined=True, sequence_start=start, before=before)

    def _learn(self, sequence: _Frame) -> None:
        """Keep what a sequence tells, if its bytes say it all."""
        start, end, (nested, told) = sequence.sequence_start, sequence.end, sequence.before
        if self._sequences is None or nested != self._nested or end - start > LONGEST:
            return
        inside = self._found.identifying[told:]
        self._sequences.learn(self._data[start:end], inside, implicit=self._implicit)

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
            return
        self._nested += 1
        if value.strip() != self._found.character_set.strip():
            raise Unsure
