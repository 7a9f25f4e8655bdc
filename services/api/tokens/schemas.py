"""What tokens look like from outside."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import Name, ProjectCode, like
from shared.people import Right

_EXAMPLE: dict[str, Any] = {
    "name": "workflow-engine",
    "rights": ["assign", "view"],
    "project": "BICAM",
}


class TokenCreate(BaseModel):
    """What another system is to show in one's place."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": _EXAMPLE | {"days": 90}}
    )

    name: Name = Field(description="What it is for.")
    rights: Annotated[list[Right], Field(min_length=1, max_length=len(Right))] = Field(
        description="What may be done with it: no more than what one may do oneself."
    )
    project: ProjectCode | None = Field(None, description="The only project that it reaches.")
    days: Annotated[int, Field(ge=1, le=366)] = Field(90, description="How long it is valid.")


class TokenRead(BaseModel):
    """A token, without its secret."""

    model_config = ConfigDict(
        json_schema_extra=like(
            TokenCreate,
            {
                "id": 5,
                **_EXAMPLE,
                "hint": "x3Qk",
                "created_at": "2026-02-14T10:11:12Z",
                "expires_at": "2026-05-15T10:11:12Z",
                "used_at": None,
            },
        )
    )

    id: int = Field(description="Its number here.")
    name: str
    rights: list[Right]
    project: str | None
    hint: str = Field(description="Its last characters, to recognise it by.")
    created_at: datetime = Field(description="When it was made.")
    expires_at: datetime = Field(description="From when on it is not valid any more.")
    used_at: datetime | None = Field(description="When it was used last, to the minute.")


class TokenMade(TokenRead):
    """A new token, and its secret."""

    token: str = Field(
        description="Send it as `Authorization: Bearer …`. It is shown this once, and kept nowhere."
    )
