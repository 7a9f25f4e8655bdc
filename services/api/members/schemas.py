"""What the members of a project look like from outside."""

from pydantic import BaseModel, ConfigDict, Field

from shared.people import Role

_EXAMPLE = {"username": "kari", "name": "Kari Nordmann", "role": "data-manager"}


class MemberWrite(BaseModel):
    """What a person is to be in a project."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"role": "data-manager"}}
    )

    role: Role = Field(
        description="`owner`: everything in the project. `data-manager`: sees who the participants "
        "are, assigns, corrects, exports. `data-entry`: assigns. `viewer`: sees pseudonyms only."
    )


class MemberRead(BaseModel):
    """Somebody who works in a project."""

    model_config = ConfigDict(
        json_schema_extra={"example": _EXAMPLE | {"by_directory": False, "counts": True}}
    )

    username: str = Field(description="The person.")
    name: str = Field(description="What the person is called.")
    role: Role = Field(description="What the person is in the project.")
    by_directory: bool = Field(description="Given by a group of the directory.")
    counts: bool = Field(
        description="Whether it holds now: what a group gives does for some hours after the person "
        "has signed in (`SLUSE_GROUP_ROLES_HOURS`)."
    )
