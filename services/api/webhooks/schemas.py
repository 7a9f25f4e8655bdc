"""What webhooks look like from outside."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import Name, ProjectCode, WebAddress, like
from services.api.paging import Row
from services.api.versions import Edited
from shared.ledger.states import WebhookDeliveryState, WebhookEvent

_EXAMPLE: dict[str, Any] = {
    "name": "workflow-engine",
    "url": "https://workflow.hospital.local/sluse",
    "events": ["transfer.complete", "transfer.attention"],
    "project": "BICAM",
    "enabled": True,
}
_TOLD: dict[str, Any] = {
    "id": 17,
    "event_id": "4a4f9d9e-2f6c-4d53-a8a9-0f3f1f2f7c11",
    "event": "transfer.complete",
    "state": "waiting",
    "attempts": 2,
    "status": 503,
    "detail": "It answered with 503.",
    "created_at": "2026-02-14T10:11:12Z",
    "due_at": "2026-02-14T10:21:12Z",
    "ended_at": None,
}
_ABOUT_EVENTS = (
    "What it is told: `transfer.complete`, `transfer.attention`, and, of the whole system only, "
    "`study.settled`."
)
Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))]
Url = Annotated[WebAddress, Field(min_length=1)]
_ABOUT_URL = (
    "Where events are posted to. `http://` in the hospital's own networks only; without user name, "
    "password and query."
)


class WebhookCreate(BaseModel):
    """An address that is to be told of events."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Name = Field(description="What people call it.")
    url: Url = Field(description=_ABOUT_URL)
    events: Events = Field(description=_ABOUT_EVENTS)
    project: ProjectCode | None = Field(
        None, description="The only project that it hears of; null for the whole system."
    )
    enabled: bool = Field(True, description="Whether it is told anything.")


class WebhookChange(BaseModel):
    """What is to be changed of a webhook; the rest stays, its secret too."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": False}})

    name: Name = Field("", description="What people call it.")
    url: Url = Field("", description=_ABOUT_URL)
    events: Events = Field([], description=_ABOUT_EVENTS)
    enabled: bool = Field(
        True, description="False: it is told nothing any more, not even what still waits."
    )


class WebhookDeliveryRead(Row):
    """One event for one webhook."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"example": _TOLD},
    )

    event_id: str = Field(description="Number of the event: `id` of the body.")
    event: str = Field(description="What happened; `webhook.test` when a person tried it.")
    state: WebhookDeliveryState = Field(
        description="`waiting`: it is told when it is due. `delivered`: it has been taken. "
        "`given-up`: it was tried for a day, or the webhook was switched off."
    )
    attempts: int = Field(description="How often it was tried.")
    status: int | None = Field(description="The HTTP status that was answered last.")
    detail: str = Field(description="Why it is not delivered.")
    created_at: datetime = Field(description="When it happened.")
    due_at: datetime = Field(description="While it waits: when it is tried next.")
    ended_at: datetime | None = Field(description="When it was taken, or given up.")


class WebhookRead(Edited):
    """A webhook, without its secret."""

    not_edited = frozenset({"waiting", "given_up", "last"})

    model_config = ConfigDict(
        json_schema_extra=like(
            WebhookCreate,
            {
                "id": 2,
                **_EXAMPLE,
                "created_at": "2026-02-14T10:11:12Z",
                "waiting": 1,
                "given_up": 0,
                "last": _TOLD,
            },
        )
    )

    id: int = Field(description="Its number here.")
    name: str
    url: str
    events: list[WebhookEvent]
    project: str | None
    enabled: bool
    created_at: datetime = Field(description="When it was entered.")
    waiting: int = Field(description="How much it is still to be told.")
    given_up: int = Field(description="What it has not taken in a day, in the last two weeks.")
    last: WebhookDeliveryRead | None = Field(
        description="The newest event that it was tried with, and what came of it; null for none."
    )


class WebhookMade(WebhookRead):
    """A new webhook, and its secret."""

    not_edited = WebhookRead.not_edited | {"secret"}

    secret: str = Field(
        description="What the signatures are made with (docs/rest.md). It is shown this once."
    )
