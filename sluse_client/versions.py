"""What all models have in common: which version of a thing they are."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, PrivateAttr

T = TypeVar("T")


class Model(BaseModel):
    """What the API takes or answers."""

    _etag: str | None = PrivateAttr(None)

    @property
    def etag(self) -> str | None:
        """Its version, for `if_match` of a change; None for what has none."""
        return self._etag

    def of_version(self, etag: str | None) -> None:
        """Note which version it is."""
        self._etag = etag


def with_version(read: T, headers: Mapping[str, str]) -> T:
    """The same, with the version that the answer's headers say."""
    if isinstance(read, Model):
        read.of_version(headers.get("etag"))
    return read
