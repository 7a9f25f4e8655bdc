"""What a preview says: an object's elements before and after de-identification.

It holds patient data: it stands in the ledger only, encrypted.
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from shared.identity import MasterKey

MOST_ELEMENTS = 3000
"""Elements that a preview shows; the changed ones come first."""


class Effect(StrEnum):
    """What was done with an element."""

    KEPT = "kept"
    CHANGED = "changed"
    EMPTIED = "emptied"
    REMOVED = "removed"
    ADDED = "added"


class Compared(BaseModel):
    """One element before and after."""

    depth: int = Field(description="How many sequences it stands in.")
    tag: str = Field(description="Its tag, `(0010,0010)`.")
    name: str = Field(description="Its keyword; of a private element what it is known as.")
    vr: str = Field(description="Its value representation.")
    before: str | None = Field(
        description="Its value as received, a long one cut, a binary one as its size; null where "
        "there was none."
    )
    after: str | None = Field(description="The same of the copy; null where it is not in it.")
    effect: Effect = Field(description="What was done with it.")
    why: str = Field("", description="Why it was changed: the table's action, or what was found.")


class Comparison(BaseModel):
    """One object before and after."""

    elements: list[Compared] = Field(
        description="Its elements, the changed ones first, those in sequences below theirs."
    )
    left_off: int = Field(0, description="How many more there are.")
    remarks: int = Field(0, description="Oddities that were dealt with, like a malformed date.")

    def sealed(self, master_key: MasterKey) -> str:
        """The same, encrypted for the ledger."""
        return master_key.encrypt(self.model_dump_json().encode())

    @classmethod
    def opened(cls, sealed: str, master_key: MasterKey) -> Self:
        """What `sealed` gave."""
        return cls.model_validate_json(master_key.decrypt(sealed))
