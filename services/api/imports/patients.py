"""Whether two images may be of one patient, as people would see it before they accept them."""

from collections.abc import Mapping
from typing import NamedTuple


class Identity(NamedTuple):
    """Who a study is of, as it says itself; with the names of `ImportStudy`."""

    patient_id: str
    patient_name: str
    patient_birth_date: str

    @classmethod
    def of(cls, about: Mapping[str, str]) -> "Identity":
        """The identity among other facts."""
        return cls(*(about.get(name, "") for name in cls._fields))


def may_be(one: Identity, other: Identity) -> bool:
    """Whether nothing speaks against both being one person: ids decide, where both have one."""
    mine, theirs = map(_plain, one), map(_plain, other)
    ids, *others = zip(mine, theirs, strict=True)
    if all(ids):
        return ids[0] == ids[1]
    return all(a == b for a, b in others if a and b)


def _plain(text: str) -> str:
    # As much of it as the ledger keeps.
    return " ".join(text.replace("\0", "")[:64].replace("^", " ").casefold().split())
