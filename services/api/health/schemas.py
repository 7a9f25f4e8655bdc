"""What the system's health looks like from outside."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Part(StrEnum):
    """What is looked at."""

    DATABASE = "database"
    BROKER = "broker"
    DISK = "disk"
    BACKLOG = "backlog"
    DEAD_LETTERS = "dead-letters"
    QUARANTINE = "quarantine"
    TRANSFERS = "transfers"
    DELETIONS = "deletions"


class Check(BaseModel):
    """How one part is."""

    part: Part = Field(description="What was looked at.")
    ok: bool = Field(description="Whether nobody needs to do anything.")
    detail: str = Field(description="In words.")


class Health(BaseModel):
    """How Sluse is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": False,
                "version": "0.1.0",
                "ae_title": "SLUSE",
                "checks": [
                    {"part": "database", "ok": True, "detail": "It answers, schema 0011."},
                    {"part": "dead-letters", "ok": False, "detail": "2 wait for a decision."},
                ],
            }
        }
    )

    ok: bool = Field(description="Whether all parts are well.")
    version: str = Field(description="Of Sluse.")
    ae_title: str = Field(description="What Sluse calls itself.")
    checks: list[Check] = Field(description="The parts, each for itself.")
