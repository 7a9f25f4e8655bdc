"""What a person looks at before an import is accepted."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.imports.schemas import FoundCounts

MOST_STUDIES = 1000
"""Studies in one review."""


class Code(StrEnum):
    """What is odd about an import or a study in it."""

    NOTHING = "nothing"
    SEVERAL_PATIENTS = "several-patients"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    REFUSED = "refused"
    TOO_MANY = "too-many"
    STUDY_HERE = "study-here"
    STUDY_ASSIGNED = "study-assigned"
    OTHER_PATIENT_HERE = "other-patient-here"
    KNOWN_AS_ANOTHER = "known-as-another"
    WITHDRAWN = "withdrawn"
    BURNED_IN = "burned-in"
    REPEATED = "repeated"


class Remark(BaseModel):
    """Something that a person should know before they accept."""

    code: Code = Field(description="For programs.")
    message: str = Field(description="For people.")


class Assigned(BaseModel):
    """Where a study is in the project already."""

    transfer_id: int = Field(description="The transfer.")
    participant: str = Field(description="The participant's pseudonym.")
    event: str = Field(description="The event; empty for none.")
    site: str = Field(description="The site; empty for none.")


class StudyFound(BaseModel):
    """A study that was found."""

    study_instance_uid: str = Field(description="Name it so to accept it.")
    patient_id: str = Field(description="PatientID, as the images say.")
    patient_name: str = Field(description="PatientName, as the images say.")
    patient_birth_date: str = Field(description="PatientBirthDate, `YYYYMMDD`.")
    patient_sex: str = Field(description="PatientSex.")
    accession_number: str = Field(description="AccessionNumber.")
    study_date: str = Field(description="StudyDate, `YYYYMMDD`.")
    study_description: str = Field(description="StudyDescription.")
    modalities: list[str] = Field(description="Its modalities.")
    series: int = Field(description="How many series were found.")
    images: int = Field(description="How many images were found.")
    bytes: int = Field(description="Their size.")
    study_id: int | None = Field(description="The study, where it is here already.")
    images_here: int = Field(description="How many images of it are here already.")
    assigned: Assigned | None = Field(description="Where it is in the project already.")
    known_as: list[str] = Field(description="The participants that the patient is in the project.")
    warnings: list[Remark] = Field(description="What is odd about it.")


_EXAMPLE: dict[str, Any] = {
    "found": FoundCounts(images=790, ignored=19, listings=1, missing=2).model_dump(),
    "warnings": [
        {"code": "missing", "message": "The CD's table of contents names 2 images that are not "
         "here. Read the CD again, or accept what there is."}
    ],
    "studies": [
        {
            "study_instance_uid": "1.2.826.0.1.3680043.8.498.1",
            "patient_id": "19700101-1",
            "patient_name": "PHANTOM^ANNA",
            "patient_birth_date": "19700101",
            "patient_sex": "F",
            "accession_number": "A0012345",
            "study_date": "20200110",
            "study_description": "MR caput",
            "modalities": ["MR"],
            "series": 8,
            "images": 790,
            "bytes": 414000000,
            "study_id": None,
            "images_here": 0,
            "assigned": None,
            "known_as": ["BICAM_001"],
            "warnings": [],
        }
    ],
}  # fmt: skip


class Review(BaseModel):
    """What was found in an import. Who the patients are is said here only."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    found: FoundCounts = Field(description="Everything by what it is; `items` lists it.")
    warnings: list[Remark] = Field(description="What is odd about the import.")
    studies: list[StudyFound] = Field(
        description=f"The studies, by date; the first {MOST_STUDIES}."
    )
