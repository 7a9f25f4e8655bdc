"""What a pattern of participant ids makes, for people who write one."""

from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from services.api.fields import ParticipantPattern
from services.api.problems import complaints_of
from shared import participants

_SHOWN = 3
_PATTERN = TypeAdapter[str](ParticipantPattern)


class Examples(NamedTuple):
    """Ids of a pattern, or what stands against it."""

    ids: list[str]
    wrong: str = ""
    is_template: bool = False


def examples(pattern: str, site_code: str) -> Examples:
    """The first ids that a pattern makes, or what is wrong with it.

    Parameters
    ----------
    site_code
        Of the project's first site; empty where it has none.
    """
    if not pattern:
        return Examples([])
    try:
        _PATTERN.validate_python(pattern)
    except ValidationError as error:
        return Examples([], complaints_of(error).errors[0].message)
    made = participants.template(pattern)
    if made is None:
        return Examples([])
    ids: list[str] = []
    width = next((width for name, width in made.fields if name == "site"), 0)
    site = site_code or "0" * (width - 1) + "1" if made.needs_site else ""
    try:
        for _ in range(_SHOWN):
            ids.append(made.next_id(ids, site))
    except participants.NumbersUsedUp:
        if not ids:
            return Examples([], "The code of the first site does not fit the pattern.", True)
    return Examples(ids, "", True)
