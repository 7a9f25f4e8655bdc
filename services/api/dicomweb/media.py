"""Media types: what a client sends, and what it takes (PS3.18 section 8.7)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request

from services.api.problems import ProblemError

DICOM = "application/dicom"
JSON = "application/dicom+json"
XML = "application/dicom+xml"
OCTETS = "application/octet-stream"
MULTIPART = "multipart/related"
ANY = "*/*"

_MOST_RANGES = 50
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_RANGE = re.compile(rf"\s*((?:{_QUOTED}|[^\",])+)(?:,|$)")
_PARAMETER = re.compile(rf";\s*([A-Za-z0-9_-]+)\s*=\s*({_QUOTED}|[^\s;\",]*)")


class MediaType(NamedTuple):
    """A media type with its parameters, as a header has it; names in lower case."""

    name: str
    parameters: dict[str, str]


class Wanted(NamedTuple):
    """One thing that a client takes."""

    media: str
    """`*/*` for anything, `image/*` for a kind."""
    syntax: str | None
    """The transfer syntax asked for; `*` for any, None where nothing is said."""
    single: bool
    """Whether it is to be the body itself, not the parts of a `multipart/related` body."""

    def takes(self, media: str) -> bool:
        """Whether `media` is such a thing."""
        kind = self.media.removesuffix("*")
        return self.media in (ANY, media) or (kind.endswith("/") and media.startswith(kind))


def parse(text: str) -> MediaType:
    """One media type, as `Content-Type` has it."""
    name, _, _ = text.partition(";")
    found = {key.lower(): _unquoted(value) for key, value in _PARAMETER.findall(text)}
    return MediaType(name.strip().lower(), found)


def wanted(request: Request) -> list[Wanted]:
    """What the client takes, what it likes best first; anything where it does not say."""
    # The query parameter is for those who can't set headers (PS3.18 8.3.3.1).
    text = request.query_params.get("accept") or request.headers.get("accept") or ANY
    ranges = [parse(one) for one in _RANGE.findall(text)[:_MOST_RANGES]]
    found = [(_quality(one), _wanted(one)) for one in ranges if _quality(one) > 0]
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def choose(takes: Sequence[Wanted], offered: Sequence[str]) -> tuple[Wanted, str]:
    """What the client likes best of what is `offered`; a 406 problem where there is nothing."""
    for one in takes:
        for media in offered:
            if one.takes(media):
                return one, media
    raise not_acceptable("This is given as " + ", ".join(offered) + " only.")


def not_acceptable(why: str) -> ProblemError:
    """A 406 problem."""
    return ProblemError(406, why)


def _wanted(one: MediaType) -> Wanted:
    syntax = one.parameters.get("transfer-syntax")
    if one.name == MULTIPART:
        return Wanted(one.parameters.get("type", ANY).lower(), syntax, single=False)
    return Wanted(one.name, syntax, single=one.name != ANY)


def _quality(one: MediaType) -> float:
    try:
        return min(float(one.parameters.get("q", "1")), 1)
    except ValueError:
        return 0


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
