"""What a study looks like from outside."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.api.fields import HoldReason
from services.api.paging import Row
from services.api.studies.days import Day
from services.api.studies.filters import StudyFilter


class HoldSet(BaseModel):
    """Why a study is put under a legal hold."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "Complaint 2020/77"}}
    )

    reason: HoldReason = Field(description="Why, for those who come later. Not for logs.")


class Hold(BaseModel):
    """A legal hold: no file of the study is removed while it is there."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "reason": "Complaint 2020/77",
                "by": "kari",
                "since": "2020-02-14T10:11:12Z",
            }
        },
    )

    reason: str = Field(description="Why.")
    by: str = Field(description="Who has set it.")
    since: datetime = Field(description="Since when.")


class StudyRead(Row):
    """A study as received, with what identifies it. Not for logs."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 17,
                "study_instance_uid": "1.2.826.0.1.3680043.8.498.1",
                "patient_id": "010190",
                "patient_name": "Nordmann^Kari",
                "patient_birth_date": "19900101",
                "patient_sex": "F",
                "accession_number": "A12345",
                "study_date": "20200214",
                "study_description": "MR brain",
                "series": 4,
                "instances": 508,
                "evicted": 0,
                "evicted_at": None,
                "hold": None,
                "modalities": ["MR"],
                "labels": ["FLAIR", "T1"],
                "projects": ["BICAM"],
                "routing_note": None,
                "first_received_at": "2020-02-14T10:11:12Z",
                "last_received_at": "2020-02-14T10:12:40Z",
                "settled_at": "2020-02-14T10:12:50Z",
            }
        }
    )

    study_instance_uid: str = Field(description="StudyInstanceUID as received.")
    patient_id: str = Field(description="PatientID as received.")
    patient_name: str = Field(description="PatientName as received.")
    patient_birth_date: str = Field(description="PatientBirthDate as received, `YYYYMMDD`.")
    patient_sex: str = Field(description="PatientSex as received.")
    accession_number: str = Field(description="AccessionNumber as received.")
    study_date: str = Field(description="StudyDate as received, `YYYYMMDD`.")
    study_description: str = Field(description="StudyDescription as received.")
    series: int = Field(description="Series received.")
    instances: int = Field(description="Instances received.")
    evicted: int = Field(
        description="Of how many of them the original was removed in its time, or is about to be: "
        "these can't be delivered anywhere unless they are sent again."
    )
    evicted_at: datetime | None = Field(description="When originals were removed last.")
    hold: Hold | None = Field(
        description="The legal hold that keeps its files from being removed; null for none."
    )
    modalities: list[str] = Field(description="Of its series.")
    labels: list[str] = Field(description="Of its series.")
    projects: list[str] = Field(description="Codes of the projects it is assigned to.")
    routing_note: str | None = Field(
        description="Why a routing rule that matched did not assign it."
    )
    first_received_at: datetime = Field(description="When its first instance arrived.")
    last_received_at: datetime = Field(description="When its last instance arrived.")
    settled_at: datetime | None = Field(
        description="When everything seemed to be there; null while more may come."
    )


class StudySearch(BaseModel):
    """What identifies the studies that are looked for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"text": "A12345"}})

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] = (
        Field(description="An accession number, patient id or StudyInstanceUID, in full.")
    )


class CalendarBy(StrEnum):
    """The day that a study counts for."""

    RECEIVED = "received"
    """On which it began to arrive."""
    STUDIED = "studied"
    """On which it was made (StudyDate)."""


class CalendarQuery(StudyFilter):
    """The days that a calendar is to show, and the studies."""

    by: CalendarBy = Field(
        CalendarBy.RECEIVED, description="The day on which it began to arrive, or was made."
    )
    first_day: Day = Field(description="The first day.")
    last_day: Day = Field(description="The last day, at most a year after the first.")


class CalendarDay(BaseModel):
    """A day of the calendar."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"day": "2020-02-14", "studies": 12, "modalities": {"CT": 4, "MR": 9}}
        }
    )

    day: date = Field(description="The day.")
    studies: int = Field(description="How many studies.")
    modalities: dict[str, int] = Field(
        default_factory=dict,
        description="How many of them have series of a modality; one that has two counts for both.",
    )
