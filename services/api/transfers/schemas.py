"""What a transfer looks like from outside."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import Name, OptionalName, ProjectCode, RowId, Uid
from services.api.paging import Row
from services.api.recalls.schemas import RecallRead
from shared.admission import Way
from shared.ledger.counts import Counts
from shared.ledger.states import DeliveryState, TransferState
from shared.priority import Priority

MOST_TROUBLES = 20
_EXAMPLE: dict[str, Any] = {
    "study_id": 17,
    "project": "BICAM",
    "participant": "BICAM_001",
    "event": "baseline",
}


class TransferCreate(BaseModel):
    """A request to take a study into a project."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    study_id: RowId | None = Field(None, description="The study; or name it by study_instance_uid.")
    study_instance_uid: Uid | None = Field(None, description="The study's received UID.")
    project: ProjectCode = Field(description="The project's code.")
    participant: Name | None = Field(
        None,
        description="The participant's pseudonym. Left out, Sluse chooses it: the one that the "
        "patient has in the project, or the next one of the project's template.",
    )
    event: OptionalName = Field("", description="One of the project's events.")
    site: OptionalName = Field("", description="One of the project's sites.")
    priority: Priority | None = Field(
        None,
        description="`normal`, or `bulk`: its images go when nothing else waits, and a little all "
        "the time. Left out, as the project has it.",
    )
    confirmed: bool = Field(
        False,
        description="You have seen that the patient is another participant in the project already, "
        "or that the participant is another patient, and it is right all the same.",
    )


class TransferCorrection(BaseModel):
    """What is right instead; what is left out stays as it is.

    In another project participant, event and site are new: without a participant Sluse chooses one.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"participant": "BICAM_002"}}
    )

    project: ProjectCode | None = Field(None, description="The right project's code.")
    participant: Name | None = Field(None, description="The right participant's pseudonym.")
    event: OptionalName = Field("", description="The right event.")
    site: OptionalName = Field("", description="The right site.")
    confirmed: bool = Field(
        False,
        description="You have seen that the patient is another participant in the project already, "
        "or that the participant is another patient, and it is right all the same.",
    )


class Trouble(BaseModel):
    """Why some instances are held, have failed, or wait."""

    state: DeliveryState = Field(description="Where the instances are.")
    reason: str = Field(description="Why, in words.")
    detail: str = Field(description="Technical detail.")
    instances: int = Field(description="How many instances it is about.")


class TransferRead(Row):
    """A transfer and how far it is: received = delivered + held + failed + in flight."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 5,
                **_EXAMPLE,
                "site": "",
                "state": "running",
                "requested_by": "rest",
                "priority": "normal",
                "rule": None,
                "corrects_id": None,
                "waits_for_deletion": False,
                "can_be_undone": False,
                "requested_at": "2020-02-14T10:15:00Z",
                "changed_at": "2020-02-14T10:15:01Z",
                "released_study_uid": "2.25.1234567890",
                "counts": {
                    "delivered": 500,
                    "held": 0,
                    "failed": 1,
                    "in_flight": 7,
                    "received": 508,
                },
                "withdrawn": 0,
                "missing": 0,
                "reason": None,
                "detail": "",
                "verified_at": None,
                "troubles": [
                    {
                        "state": "failed",
                        "reason": "The research PACS refused the image.",
                        "detail": "A900 data set does not match SOP class",
                        "instances": 1,
                    }
                ],
            }
        }
    )

    study_id: int = Field(description="The study.")
    project: str = Field(description="The project's code.")
    participant: str = Field(description="The participant's pseudonym.")
    event: str = Field(description="The event (visit); empty for none.")
    site: str = Field(description="The site; empty for none.")
    state: TransferState = Field(description="How far it is.")
    requested_by: Way = Field(description="The way it came.")
    priority: Priority = Field(
        description="Whether its images go before others, or when nothing else waits."
    )
    rule: str | None = Field(description="Name of the rule that asked for it.")
    corrects_id: int | None = Field(description="The transfer that it stands in for.")
    waits_for_deletion: bool = Field(
        description="Whether it starts once the copies that were taken back are deleted (recalls)."
    )
    can_be_undone: bool = Field(
        description="Whether nothing of it has been sent: `undo` takes it back without a trace."
    )
    requested_at: datetime = Field(description="When it was requested.")
    changed_at: datetime = Field(description="When its state changed last.")
    released_study_uid: str | None = Field(
        description="The study's UID in the research PACS, once something is de-identified."
    )
    counts: Counts = Field(description="Its instances by where they are.")
    withdrawn: int = Field(
        description="Instances that do not go there any more, since it was cancelled or recalled; "
        "no part of the counts."
    )
    missing: int = Field(
        description="Images that the research PACS did not have when it was asked last."
    )
    reason: str | None = Field(
        description="Why it is not verified that everything is there, in words."
    )
    detail: str = Field(description="Technical detail of that.")
    verified_at: datetime | None = Field(
        description="When the research PACS had everything; null until then, and where its word "
        "is enough."
    )
    troubles: list[Trouble] = Field(
        description=f"Why instances are held, failed or wait; the {MOST_TROUBLES} most frequent."
    )


class Corrected(BaseModel):
    """A correction: the right transfer, and what is to be deleted of the wrong one."""

    transfer: TransferRead = Field(description="The right transfer.")
    recalls: list[RecallRead] = Field(
        description="One for each research PACS that images of the wrong transfer went to."
    )


class DeliveryRead(Row):
    """One instance of a transfer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 4711,
                "series_id": 3,
                "sop_instance_uid": "1.2.826.0.1.3680043.8.498.2",
                "released_sop_uid": "2.25.987654321",
                "revision": 1,
                "state": "forwarded",
                "attempts": 0,
                "reason": None,
                "detail": "",
                "changed_at": "2020-02-14T10:15:02Z",
            }
        }
    )

    series_id: int = Field(description="The series that it belongs to.")
    sop_instance_uid: str | None = Field(
        description="SOPInstanceUID as received. Only for who may see who the participants are."
    )
    released_sop_uid: str | None = Field(
        description="SOPInstanceUID in the research PACS, once it is de-identified."
    )
    revision: int = Field(description="Rises when it arrives again with other content.")
    state: DeliveryState = Field(description="Where it is.")
    attempts: int = Field(description="How often sending was tried.")
    reason: str | None = Field(description="Why it is held, failed or waits, in words.")
    detail: str = Field(description="Technical detail.")
    changed_at: datetime = Field(description="When its state changed last.")
