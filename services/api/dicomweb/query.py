"""What a QIDO-RS request asks for (PS3.18 section 8.3.4 and table 8.3.4-1)."""

from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.datastructures import QueryParams

from services.api.dicomweb.attributes import Attribute, attribute
from services.api.problems import FieldError, ProblemError

MOST_RESULTS = 1000
_MOST_TAGS = 200
_LONGEST = 1024  # characters of a value
_FLAGS = {"true": True, "false": False}


class Match(NamedTuple):
    """An attribute, and the value that it is to match."""

    attribute: Attribute
    value: str


@dataclass
class Query:
    """A search."""

    matches: list[Match] = field(default_factory=list)
    include: list[Attribute] = field(default_factory=list)
    """Attributes to return besides the usual ones."""
    include_all: bool = False
    limit: int = MOST_RESULTS
    offset: int = 0
    warnings: list[str] = field(default_factory=list)
    """What could not be done as asked, without the values that were sent."""


def parse(parameters: QueryParams) -> Query:
    """The search that the parameters of a URL ask for; a 400 problem where they are wrong."""
    query = Query()
    for name, value in parameters.multi_items():
        if len(value) > _LONGEST or "\0" in value:
            raise wrong(name, "At most 1024 characters, please.")
        if name == "limit":
            query.limit = min(_whole(name, value), MOST_RESULTS)
        elif name == "offset":
            query.offset = _whole(name, value)
        elif name == "includefield":
            _include(query, value)
        elif name == "fuzzymatching":
            if _FLAGS.get(value) is None:
                raise wrong(name, "Either true or false.")
            if _FLAGS[value]:
                query.warnings.append(
                    "The fuzzymatching parameter is not supported. Only literal matching has been "
                    "performed."
                )
        elif name != "accept":
            _match(query, name, value)
    return query


def wrong(name: str, message: str) -> ProblemError:
    """A 400 problem about one parameter."""
    # The name is the sender's own text: as much of it as helps.
    error = FieldError(field=name[:64], message=message)
    return ProblemError(400, "This search is not understood.", [error])


def _include(query: Query, value: str) -> None:
    for name in value.split(","):
        if name == "all":
            query.include_all = True
        elif name:
            query.include.append(_attribute("includefield", name))
    if len(query.include) > _MOST_TAGS:
        raise wrong("includefield", f"At most {_MOST_TAGS} attributes, please.")


def _match(query: Query, name: str, value: str) -> None:
    # Of a path into a sequence (`RequestAttributesSequence.StudyID`) the first name tells.
    found = _attribute(name, name.partition(".")[0])
    if "." in name:
        query.warnings.append(unsupported(found))
    elif value:  # an empty value matches everything (PS3.4 C.2.2.2.3)
        query.matches.append(Match(found, value))


def _attribute(name: str, text: str) -> Attribute:
    found = attribute(text)
    if found is None:
        raise wrong(name, "There is no such parameter and no such attribute.")
    return found


def unsupported(one: Attribute) -> str:
    """The warning that an attribute is not looked at."""
    return f"Matching by {one.name} is not supported here; all its values have been returned."


def _whole(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 15:
        raise wrong(name, "A whole number, please.")
    return int(value)
