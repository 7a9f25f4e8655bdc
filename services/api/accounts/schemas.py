"""What accounts look like from outside."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from services.api.accounts.groups import distinguished
from services.api.accounts.hashing import LONGEST_PASSWORD, SHORTEST_PASSWORD
from services.api.fields import OptionalName, ProjectCode, like
from services.api.versions import Edited
from shared.people import Right, Role, Source, SystemRole

USERNAME = r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?"


class Language(StrEnum):
    """Of the pages."""

    ANY = ""
    ENGLISH = "en"
    BOKMAL = "nb"


def _user_name(value: str) -> str:
    small = value.casefold()
    if re.fullmatch(USERNAME, small) is None:
        raise ValueError("A user name has letters, digits, dots and dashes, and no blanks.")
    return small


def _long_enough(value: SecretStr) -> SecretStr:
    if not SHORTEST_PASSWORD <= len(value.get_secret_value()) <= LONGEST_PASSWORD:
        raise ValueError(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
    return value


def _group_name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("no line breaks or other control characters, please")
    if "=" in value and "," in value and distinguished(value) is None:
        raise ValueError("write a distinguished name like CN=Research,OU=Groups,DC=hospital")
    return value


GroupName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300),
    AfterValidator(_group_name),
]  # fmt: skip
Username = Annotated[
    str,
    Field(min_length=1, max_length=64, json_schema_extra={"pattern": f"(?i)^{USERNAME}$"}),
    AfterValidator(_user_name),
]
Password = Annotated[SecretStr, AfterValidator(_long_enough)]

_EXAMPLE: dict[str, Any] = {
    "username": "kari",
    "name": "Kari Nordmann",
    "system_role": "operator",
    "language": "nb",
    "enabled": True,
}


class AccountCreate(BaseModel):
    """A person who is to sign in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": _EXAMPLE | {"password": "correct horse battery staple"}},
    )

    username: Username = Field(description="What the person signs in with; small letters.")
    name: OptionalName = Field("", description="What the person is called.")
    password: Password | None = Field(
        None, description="Left out for people whose password the directory checks."
    )
    system_role: SystemRole = Field(
        SystemRole.NONE, description="In the whole system; projects have members."
    )
    language: Language = Field(Language.ANY, description="Of the pages; the browser's otherwise.")
    enabled: bool = Field(True, description="Whether the person may sign in.")


class AccountChange(BaseModel):
    """What is to be changed of an account; the rest stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": False}})

    name: OptionalName = Field("", description="What the person is called.")
    password: Password | None = Field(None, description="A new one; signs the person out.")
    system_role: SystemRole = Field(SystemRole.NONE, description="In the whole system.")
    language: Language = Field(Language.ANY, description="Of the pages that are shown.")
    enabled: bool = Field(True, description="False signs the person out, and stops their tokens.")


class OwnChange(BaseModel):
    """What people change of their own account."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"language": "nb"}})

    name: OptionalName = Field("", description="What one is called.")
    language: Language = Field(Language.ANY, description="Of the pages that are shown.")


class OwnPassword(BaseModel):
    """A new password of one's own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"old": "the one so far", "new": "correct horse battery staple"}
        },
    )

    old: Annotated[SecretStr, Field(max_length=LONGEST_PASSWORD)] = Field(
        description="The one so far."
    )
    new: Password = Field(description="The new one.")


class AccountRead(Edited):
    """A person who signs in."""

    not_edited = frozenset({"directory_role", "signed_in_at"})

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra=like(
            AccountCreate,
            {
                "id": 3,
                "source": "local",
                "directory_role": "",
                "signed_in_at": "2026-02-14T10:11:12Z",
                **_EXAMPLE,
            },
        ),
    )

    id: int = Field(description="Its number here.")
    username: str
    name: str
    source: Source = Field(description="Who checks the password.")
    system_role: SystemRole
    directory_role: SystemRole = Field(description="The same, given by the directory's groups.")
    language: Language
    enabled: bool
    signed_in_at: datetime | None = Field(description="When the person signed in last.")


class Own(BaseModel):
    """Who one is here, and what one may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "username": "kari",
                "name": "Kari Nordmann",
                "language": "nb",
                "rights": ["operate"],
                "projects": {"BICAM": ["assign", "view"]},
            }
        }
    )

    username: str | None = Field(description="Null on a machine without accounts.")
    name: str = Field(description="What one is called.")
    language: str = Field(description="Of the pages.")
    rights: list[Right] = Field(description="In the whole system, and in every project.")
    projects: dict[str, list[Right]] = Field(description="In single projects.")


class GroupRoleCreate(BaseModel):
    """What the members of a group in the directory may do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"group_name": "Research-BICAM", "project": "BICAM", "role": "data-entry"}
        },
    )

    group_name: GroupName = Field(
        description="The group's distinguished name, which is that of one group only, or its short "
        "one, which is that of any group below `SLUSE_LDAP_GROUPS` that is called so; of an "
        "identity provider what it calls the group."
    )
    project: ProjectCode | None = Field(
        None, description="The project; left out for a role in the whole system."
    )
    role: Role | SystemRole = Field(
        description="A role in the project, or `operator` or `administrator` of the system."
    )


class GroupRoleRead(BaseModel):
    """What the members of a group in the directory may do."""

    model_config = ConfigDict(
        json_schema_extra=like(
            GroupRoleCreate,
            {"id": 1, "group_name": "Research-BICAM", "project": "BICAM", "role": "data-entry"},
        )
    )

    id: int = Field(description="Its number here.")
    group_name: str
    project: str | None
    role: str
