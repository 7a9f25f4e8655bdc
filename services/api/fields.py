"""The types of fields that people fill in: what they take, and what they say when they don't."""

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from shared import participants
from shared.identity import AE_TITLE, PROJECT_CODE, PROJECT_NUMBER, is_usable_uid
from shared.patterns import PatternError, check
from shared.profile import ProfileError, load_profile

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_ADDRESSES = re.compile(r"[^!-~]|\\")
_MEANT_AS_FIELD = re.compile(r"(?<!\\[pPx])\{[A-Za-z]")


def _matching(pattern: str, complaint: str) -> tuple[Any, Any]:
    """A text that matches `pattern` as a whole, or a complaint that people understand."""

    def validate(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(complaint)
        return value

    return AfterValidator(validate), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def optional(pattern: str, complaint: str) -> tuple[Any, Any]:
    """The same, or nothing."""
    return _matching(f"(?:{pattern})?", complaint)


def _printable(value: str) -> str:
    # A backslash separates values in DICOM text, and control characters belong in none.
    if _CONTROL.search(value) or "\\" in value:
        raise ValueError("no backslashes, line breaks or other control characters, please")
    if value != value.strip():
        raise ValueError("no blanks at the beginning or the end, please")
    return value


def _each_once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("name each one once, please")
    return values


def _settled(_: object) -> None:
    raise ValueError(
        "this is settled when the project is entered, so that images which follow fit those "
        "delivered before; leave it out, or enter another project"
    )


def _pattern(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("no line breaks or other control characters, please")
    try:
        return check(value)
    except PatternError as error:
        raise ValueError(str(error)) from None


def _participant_pattern(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("no line breaks or other control characters, please")
    try:
        participants.check(value)
        if participants.template(value) is None and _MEANT_AS_FIELD.search(value):
            raise ValueError("the fields of a template are {n:4} and {site:2}")
    except PatternError as error:
        raise ValueError(str(error)) from None
    return value


def _web_address(value: str) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises where it is none
    except ValueError:
        complete = False
    if not complete or _NOT_IN_ADDRESSES.search(value):
        raise ValueError("write it like https://pacs.local:8042/dicom-web")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user name and password in the address: it is shown and logged")
    if parts.query or parts.fragment:
        raise ValueError("leave out what follows ? or #")
    return value


def _uid(value: str) -> str:
    if not is_usable_uid(value):
        raise ValueError("not a UID: only digits and dots, at most 64")
    return value


def _profile(value: str) -> str:
    try:
        if value:
            load_profile(value)
    except ProfileError as error:
        raise ValueError(str(error)) from None
    return value


ProfileText = Annotated[str, Field(max_length=100_000), AfterValidator(_profile)]
ProjectCode = Annotated[
    str, *_matching(PROJECT_CODE, "use 3 to 16 capitals and digits, starting with a letter")
]
ProjectNumber = Annotated[str, *_matching(PROJECT_NUMBER, "write it like P20_01")]
AeTitle = Annotated[
    str, *_matching(AE_TITLE, "an AE title has 1 to 16 plain characters and no backslash")
]
Host = Annotated[str, *_matching(r"[A-Za-z0-9.:_-]{1,253}", "a host name or an address, please")]
Uid = Annotated[str, Field(max_length=64), AfterValidator(_uid)]
RegularExpression = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_pattern)]
ParticipantPattern = Annotated[
    str, Field(min_length=1, max_length=300), AfterValidator(_participant_pattern)
]
WebAddress = Annotated[str, Field(max_length=300), AfterValidator(_web_address)]
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
OptionalName = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
HoldReason = Annotated[str, Field(min_length=3, max_length=200), AfterValidator(_printable)]
Names = Annotated[list[Name], Field(max_length=100), AfterValidator(_each_once)]
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Settled = SkipJsonSchema[Annotated[Any, BeforeValidator(_settled)]]
"""A field that can't be changed: not offered, and refused with the reason."""


def like(entered: type[BaseModel], example: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """For the schema of what is read: an example, and the words of the fields in `entered`."""

    def extend(schema: dict[str, Any]) -> None:
        schema["example"] = example
        for name, described in schema["properties"].items():
            field = entered.model_fields.get(name)
            if field is not None and field.description:
                described.setdefault("description", field.description)

    return extend
