"""Versions of what people edit (`ETag`, RFC 9110 8.8.3): two of them do not undo each other.

What is edited is read with an `ETag`. A change that sends it as `If-Match` is refused (412) when
somebody else has changed the same meanwhile.
"""

import hashlib
import json
from typing import Annotated, Any, ClassVar

from fastapi import Header
from pydantic import BaseModel

from services.api.problems import ProblemError

_CHANGED = "Somebody has changed this meanwhile. Load it again, and repeat what you changed."

IfMatch = Annotated[
    str | None,
    Header(
        max_length=500,
        description="The `ETag` with which it was read: it is changed only if nobody has changed "
        "it since.",
    ),
]


class Edited(BaseModel):
    """What people read, change and write back."""

    not_edited: ClassVar[frozenset[str]] = frozenset()
    """Fields that change by themselves."""

    def version(self) -> str:
        """Its `ETag`."""
        return _tag(self.model_dump(mode="json", exclude=set(self.not_edited)))


def version_of_answer(model: type[Edited], body: bytes) -> str:
    """The same of an answer's JSON."""
    read = json.loads(body)
    return _tag({name: value for name, value in read.items() if name not in model.not_edited})


def require_version(if_match: str | None, current: Edited) -> None:
    """Go no further when somebody else has changed it meanwhile.

    Parameters
    ----------
    if_match
        The header as it was sent (RFC 9110 13.1.1); None for a change whatever it was.
    current
        How it is now, read in the transaction that changes it, and locked there.

    Raises
    ------
    ProblemError
        412.
    """
    if if_match is None or if_match.strip() == "*":
        return
    # A weak one ("W/…") never matches here (RFC 9110 13.1.1).
    if current.version() not in (one.strip() for one in if_match.split(",")):
        raise ProblemError(412, _CHANGED)


def _tag(read: dict[str, Any]) -> str:
    text = json.dumps(read, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
