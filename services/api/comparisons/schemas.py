"""What a comparison with the research PACS looks like from outside."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import RowId
from services.api.paging import Page


class Kind(StrEnum):
    """In what a research PACS differs from the ledger."""

    MISSING = "missing"
    """It has nothing of the study."""
    TOO_FEW = "too-few"
    """It has less than was delivered."""
    TOO_MANY = "too-many"
    """It has more than was delivered, or is on its way."""


class Difference(BaseModel):
    """A study of which the research PACS holds something else than was delivered."""

    study_id: int = Field(description="The study.")
    released_study_uid: str = Field(description="Its UID in the research PACS.")
    kind: Kind = Field(description="What is different.")
    delivered: int = Field(description="Instances that were delivered and not recalled.")
    in_flight: int = Field(description="Instances on their way, which may be there already.")
    held: int = Field(description="Instances that the research PACS says it holds.")


class Comparison(Page[Difference]):
    """A page of a comparison."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "compared": 100,
                "items": [
                    {
                        "study_id": 17,
                        "released_study_uid": "2.25.1234567890",
                        "kind": "too-few",
                        "delivered": 508,
                        "in_flight": 0,
                        "held": 507,
                    }
                ],
                "next": 117,
            }
        }
    )

    compared: int = Field(description="Studies compared here; `items` are those that differ.")


class Resend(BaseModel):
    """Studies that the research PACS is to be sent again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"study_ids": [17]}})

    study_ids: Annotated[list[RowId], Field(min_length=1, max_length=500)] = Field(
        description="The studies."
    )


class Resent(BaseModel):
    """What is sent again."""

    model_config = ConfigDict(json_schema_extra={"example": {"transfers": [5], "instances": 508}})

    transfers: list[int] = Field(description="Ids of the transfers that run again.")
    instances: int = Field(description="How many instances are on their way again.")
