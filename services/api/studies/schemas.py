"""What a study looks like from outside."""

from datetime import datetime

from pydantic import ConfigDict, Field

from services.api.paging import Row


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
                "projects": ["BICAM"],
                "routing_note": None,
                "first_received_at": "2020-02-14T10:11:12Z",
                "last_received_at": "2020-02-14T10:12:40Z",
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
    projects: list[str] = Field(description="Codes of the projects it is assigned to.")
    routing_note: str | None = Field(
        description="Why a routing rule that matched did not assign it."
    )
    first_received_at: datetime = Field(description="When its first instance arrived.")
    last_received_at: datetime = Field(description="When its last instance arrived.")
