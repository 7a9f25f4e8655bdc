"""What a scan gives: the elements of a data set, and what they tell."""

from dataclasses import dataclass, field

from services.anonymizer.engine.heads import Head

Record = tuple[Head, str, int, int, int]
"""Head, private creator, start, start of the value, end. Of a sequence whose elements follow one by
one the end is 0."""
Container = tuple[int, int, int]
"""Place of a defined length, start and end of what it is the length of."""
Told = list[tuple[Head, bytes]]
"""Values that identify somebody or something."""


@dataclass
class Found:
    """The elements of a data set, in the order in which they stand."""

    records: list[Record] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    """Of sequences whose elements follow one by one, by their start."""
    containers: list[Container] = field(default_factory=list)
    top: list[Record] = field(default_factory=list)
    """Those of the top level."""
    tags: list[int] = field(default_factory=list)
    """Of the top level."""
    starts: list[int] = field(default_factory=list)
    """Of the top level."""
    facts: dict[int, bytes] = field(default_factory=dict)
    """Raw values of the top level that say what the object is, by tag."""
    identifying: Told = field(default_factory=list)
    """At every depth."""
    character_set: bytes = b""
    end: int = 0
    """Where the pixel data starts, or the bytes end."""

    def add(self, record: Record, *, top: bool) -> None:
        """Take in an element."""
        self.records.append(record)
        if top:
            self.top.append(record)
            self.tags.append(record[0].tag)
            self.starts.append(record[2])
