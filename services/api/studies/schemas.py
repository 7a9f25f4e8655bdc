"""What a study looks like from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class StudyRead(BaseModel):
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

    id: int
    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_description: str
    series: int = Field(description="Series received.")
    instances: int = Field(description="Instances received.")
    projects: list[str] = Field(description="Codes of the projects it is assigned to.")
    routing_note: str | None = Field(
        description="Why a routing rule that matched did not assign it."
    )
    first_received_at: datetime
    last_received_at: datetime
