"""What a coupling list looks like from outside."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.paging import Row
from services.api.problems import Problem
from shared.ledger.couplings import Kind

CSV_EXAMPLE = """accession number;patient id;participant;event;site
A0012345;;BICAM_001;baseline;
A0012399;;BICAM_002;baseline;
"""

_ROW = {"row": 7, "column": "deltaker", "message": "The participant is missing."}
_STUDIES: dict[str, Any] = {
    "matching": 12,
    "taken": 10,
    "already": 1,
    "refused": 1,
    "refusals": [
        {"study_id": 17, "reasons": ["The study was withdrawn: it must not be taken again."]}
    ],
}
_REPORT: dict[str, Any] = {
    "stored": True,
    "form": "CSV, semicolon, Windows-1252",
    "rows": 120,
    "new": 100,
    "changed": 1,
    "unchanged": 18,
    "wrong": 1,
    "problems": [_ROW],
    "warnings": [
        {"row": 9, "column": "deltaker", "message": "The list said BICAM_008, baseline before."}
    ],
    "remarks": [],
    "studies": _STUDIES,
}


class RowRemark(BaseModel):
    """What is wrong with a row, or odd about it."""

    row: int = Field(description="As the spreadsheet counts.")
    column: str = Field(description="As the file names it; empty for the whole row.")
    message: str = Field(description="What is wrong with it.")


class StudyRefusal(BaseModel):
    """A study that is on the list, and that the gate refused."""

    study_id: int = Field(description="The study.")
    reasons: list[str] = Field(description="In words.")


class StudiesReport(BaseModel):
    """What became of the studies that are here already."""

    model_config = ConfigDict(json_schema_extra={"example": _STUDIES})

    matching: int = Field(description="Studies here that the rows name.")
    taken: int = Field(0, description="Taken into the project by this call.")
    already: int = Field(0, description="In the project already, just so.")
    refused: int = Field(0, description="How many were not taken; the first of them follow.")
    refusals: list[StudyRefusal] = Field(
        default_factory=list, description="Why; the first 1000 of them."
    )


class UploadReport(BaseModel):
    """What became of an uploaded list: rows = new + changed + unchanged + wrong."""

    model_config = ConfigDict(json_schema_extra={"example": _REPORT})

    stored: bool = Field(description="Whether the list was changed.")
    form: str = Field(description="How the file was read.")
    rows: int = Field(description="Rows that are not blank, the headings left out.")
    new: int = Field(description="Rows that are new.")
    changed: int = Field(description="Rows that replace what the list said before.")
    unchanged: int = Field(description="Rows that were there already.")
    wrong: int = Field(description="Rows that are wrong.")
    problems: list[RowRemark] = Field(description="What is wrong; the first 1000.")
    warnings: list[RowRemark] = Field(description="What to look at again; the first 1000.")
    remarks: list[str] = Field(description="What is to be said of the file as a whole.")
    studies: StudiesReport = Field(description="What became of studies that are here.")


class ListRefused(Problem):
    """Some rows are wrong, so that nothing was taken."""

    report: UploadReport


class EntryRead(Row):
    """A row of the list."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "kind": "accession",
                "value": "A0012345",
                "participant": "BICAM_001",
                "event": "baseline",
                "site": "",
                "uploaded_at": "2020-02-14T10:15:00Z",
            }
        }
    )

    kind: Kind = Field(description="What the row goes by.")
    value: str = Field(description="The accession number, StudyInstanceUID or patient id.")
    participant: str = Field(description="Who it is in the project.")
    event: str = Field(description="The event (visit); empty for none.")
    site: str = Field(description="The site; empty for none.")
    uploaded_at: datetime = Field(description="When it was uploaded.")


class Removed(BaseModel):
    """What was removed."""

    model_config = ConfigDict(json_schema_extra={"example": {"removed": 1}})

    removed: int = Field(description="How many rows.")
