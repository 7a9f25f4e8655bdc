"""What a series looks like from outside."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from services.api.paging import Row


class SeriesRead(Row):
    """A series as received, with what its first image says of it. Not for logs."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 3,
                "study_id": 17,
                "series_instance_uid": "1.2.826.0.1.3680043.8.498.1.3",
                "modality": "MR",
                "series_number": "4",
                "series_description": "t2_flair_sag",
                "instances": 127,
                "evicted": 0,
                "labels": ["FLAIR", "original"],
                "facts": {"EchoTime": "388", "Manufacturer": "SIEMENS"},
                "first_received_at": "2020-02-14T10:11:12Z",
            }
        }
    )

    study_id: int = Field(description="The study that it is in.")
    series_instance_uid: str = Field(description="Its received UID.")
    modality: str = Field(description="Its modality.")
    series_number: str = Field(description="Its number, as received.")
    series_description: str = Field(description="Its description, as received.")
    instances: int = Field(description="Instances received.")
    evicted: int = Field(
        description="Of how many of them the original was removed in its time, or is about to be."
    )
    labels: list[str] = Field(description="What the classification rules found.")
    facts: dict[str, Any] = Field(description="Header facts, by keyword or by (group,element).")
    first_received_at: datetime = Field(description="When its first instance arrived.")


def labels_of(column: Mapping[str, Any]) -> list[str]:
    """The labels in the column `series.labels`, sorted."""
    return sorted(column.get("labels", []))
