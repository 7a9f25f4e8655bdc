"""What becomes of content items, by their concept: `concepts.csv`."""

from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import tag_for_keyword

from shared.profile.actions import Action
from shared.profile.tables import rows


class Concept(NamedTuple):
    """How the values of a concept's content items are treated."""

    meaning: str
    like: int | None
    """The attribute whose rule decides; None where `action` does."""
    action: Action


@lru_cache(maxsize=1)
def concepts() -> dict[tuple[str, str], Concept]:
    """The known concepts by coding scheme designator and code value (PS3.16)."""
    return {
        (row["scheme"], row["code"]): Concept(
            row["meaning"], tag_for_keyword(row["like"]), Action(row["action"] or Action.KEEP)
        )
        for row in rows("concepts.csv")
    }
