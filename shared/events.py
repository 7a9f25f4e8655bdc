"""Every event that travels over the bus: one class each, documented field by field.

Events are nudges (law 1): each may be lost, doubled or late. They carry internal ids and spool
keys, never patient data (law 5). `instance.*` events name 1 to 64 instances of one series.
"""

import uuid
from typing import Annotated, Any, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.clock import now
from shared.errors import Reason, Reject
from shared.priority import Priority
from shared.spool import SpoolKey
from shared.telemetry import child_traceparent

BATCH = 64
"""Most instances that one event names."""

Id = Annotated[int, Field(ge=1)]
AssociationId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]


class Event(BaseModel):
    """Base of all events. `schema_version` rises when a field changes its meaning or goes away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ClassVar[str]
    schema_version: ClassVar[int] = 1
    must_arrive: ClassVar[bool] = True
    """Whether some queue has to take it; progress events may find no listener."""

    @property
    def routing_key(self) -> str:
        """Under which it is published: by it the queues tell events, and normal work from bulk."""
        return key_of(self.type, getattr(self, "priority", Priority.NORMAL))

    def split(self) -> list[Self]:
        """The same event for each of its instances alone."""
        return [self]


def key_of(type_: str, priority: Priority) -> str:
    """The routing key of events of a type and priority. That of normal work is the type."""
    return type_ if priority is Priority.NORMAL else f"{type_}.{priority}"


class InstanceReceived(Event):
    """Files of one series stand in the inbox and have been answered for. Receiver → classifier."""

    type = "instance.received"
    keys: Annotated[tuple[SpoolKey, ...], Field(min_length=1, max_length=BATCH)]
    """Inbox keys, all of one association and one series."""
    priority: Priority = Priority.NORMAL
    """Of the association that brought them."""

    def split(self) -> list[Self]:
        return [self.model_copy(update={"keys": (key,)}) for key in self.keys]


class AssociationClosed(Event):
    """An association ended; how, stands in its inbox folder. Receiver → classifier."""

    type = "association.closed"
    association_id: AssociationId
    """The association, and the name of its inbox folder."""
    priority: Priority = Priority.NORMAL
    """Of the association."""


class StudySettled(Event):
    """Nobody sends a study any more, it seems. Classifier → whoever listens."""

    type = "study.settled"
    must_arrive = False
    study_id: Id
    """The row in the ledger's `study` table."""


class TransferRequested(Event):
    """A study was assigned to a project. Api → classifier."""

    type = "transfer.requested"
    transfer_id: Id
    """The new row in the ledger's `transfer` table."""
    priority: Priority = Priority.NORMAL
    """Of the transfer."""


class DeliveryEvent(Event):
    """Base of the events about images on their way to one project."""

    transfer_id: Id
    """The transfer that all of them belong to."""
    series_id: Id
    """The series that all of them belong to."""
    delivery_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=BATCH)]
    """Rows of the ledger's `delivery` table."""
    priority: Priority = Priority.NORMAL
    """Of the transfer."""

    def split(self) -> list[Self]:
        return [self.model_copy(update={"delivery_ids": (one,)}) for one in self.delivery_ids]


class InstanceAssigned(DeliveryEvent):
    """Originals wait to be de-identified. Classifier → anonymizer."""

    type = "instance.assigned"


class InstanceAnonymized(DeliveryEvent):
    """De-identified copies wait to be sent. Anonymizer → forwarder."""

    type = "instance.anonymized"


class InstanceHeld(DeliveryEvent):
    """Images are held for a person; the ledger's findings say why. Anonymizer → whoever listens."""

    type = "instance.held"
    must_arrive = False


class InstanceForwarded(DeliveryEvent):
    """The destination has the images. Forwarder → whoever listens."""

    type = "instance.forwarded"
    must_arrive = False


class PreviewRequested(Event):
    """Somebody wants to see what a profile makes of an original. Api → anonymizer."""

    type = "preview.requested"
    preview_id: Id
    """The new row in the ledger's `preview` table."""


class InstanceFailed(DeliveryEvent):
    """The destination refused the images. Forwarder → whoever listens."""

    type = "instance.failed"
    must_arrive = False


class DeadLettered(Event):
    """A message that nobody could handle, kept for a person. Any consumer → api."""

    type = "dead.lettered"
    queue: str
    """The queue it was taken from."""
    reason: Reason
    """Why it ended there."""
    detail: str
    """Technical detail, without patient data."""
    body: str
    """The message as it was, cut to 256 kB."""


EVENTS: dict[str, type[Event]] = {
    event.type: event
    for event in (
        InstanceReceived,
        AssociationClosed,
        StudySettled,
        TransferRequested,
        InstanceAssigned,
        InstanceAnonymized,
        InstanceHeld,
        InstanceForwarded,
        InstanceFailed,
        PreviewRequested,
        DeadLettered,
    )
}


def _body(event: Event) -> dict[str, Any]:
    # Without what is normal: services of an earlier version know no priorities, and while some of
    # them still run they are to understand all but bulk, which is in queues that they do not read.
    return event.model_dump(mode="json", exclude_defaults=True)


class Envelope(BaseModel):
    """What surrounds an event on the bus. Its JSON is the message body."""

    model_config = ConfigDict(frozen=True)

    message_id: uuid.UUID = Field(default_factory=uuid.uuid4)
    """Of this message; a further try gets a new one."""
    type: str
    """The event's type."""
    schema_version: int
    """Of the event's body."""
    correlation_id: str
    """The study's journey: the association that brought it, or the request that moved it."""
    causation_id: uuid.UUID | None = None
    """The message whose handling published this one."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """How often this work has been tried before."""
    occurred_at: AwareDatetime = Field(default_factory=now)
    """When it was published first."""
    producer: str
    """The service that published it."""
    traceparent: str | None = None
    """W3C Trace Context."""
    body: dict[str, Any]
    """The event's fields."""

    @classmethod
    def around(
        cls, event: Event, *, producer: str, correlation_id: str, cause: "Envelope | None" = None
    ) -> Self:
        """The envelope of a new event, or of one that handling `cause` gave rise to."""
        return cls(
            type=event.type,
            schema_version=event.schema_version,
            correlation_id=cause.correlation_id if cause else correlation_id,
            causation_id=cause.message_id if cause else None,
            producer=producer,
            traceparent=child_traceparent(cause.traceparent if cause else None),
            body=_body(event),
        )

    def again(self, event: Event) -> Self:
        """The envelope of the next try, for the part of the work that `event` names."""
        return self.model_copy(
            update={
                "message_id": uuid.uuid4(),
                "causation_id": self.message_id,
                "attempt": self.attempt + 1,
                "body": _body(event),
            }
        )

    def event(self) -> Event:
        """The event inside.

        Raises
        ------
        Reject
            Its type or version is unknown here, or its body does not fit.
        """
        kind = EVENTS.get(self.type)
        if kind is None or kind.schema_version != self.schema_version:
            raise Reject(Reason.UNKNOWN_EVENT, f"version {self.schema_version}")
        try:
            return kind.model_validate(self.body)
        except ValidationError as error:
            raise Reject(Reason.UNKNOWN_EVENT, f"{error.error_count()} illegal fields") from None
