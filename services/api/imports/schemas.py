"""What an import looks like from outside."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.api.fields import Name, OptionalName, ProjectCode, Text, Uid, like
from services.api.paging import Row
from shared.importing import LONGEST_LABEL, Kind, label
from shared.ledger.states import ImportState

MOST_AT_ONCE = 1000
"""Files that are named in one request."""
_FOR: dict[str, Any] = {
    "project": "BICAM",
    "participant": "BICAM_001",
    "event": "baseline",
    "site": "",
}
_FILE: dict[str, Any] = {"id": 311, "path": "CD1/DICOM/IM000001", "size": 525312, "offset": 262144}


Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL), AfterValidator(label)]


class ImportCreate(BaseModel):
    """An import to begin. What is not known yet can be said when it is accepted."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": _FOR | {"note": "CD from Bergen"}}
    )

    project: ProjectCode = Field(description="The project's code.")
    participant: Name | None = Field(
        None, description="The participant's pseudonym; left out, Sluse chooses it by the patient."
    )
    event: OptionalName = Field("", description="One of the project's events.")
    site: OptionalName = Field("", description="One of the project's sites.")
    note: Text = Field("", description="For people: where it comes from. No names, please.")


class FoundCounts(BaseModel):
    """What was found in the files that were read so far."""

    images: int = Field(0, description="DICOM objects that can be imported.")
    duplicates: int = Field(0, description="Those that are there several times: taken once.")
    ignored: int = Field(0, description="Files that are not DICOM.")
    listings: int = Field(0, description="Tables of contents (DICOMDIR).")
    missing: int = Field(0, description="Images that a DICOMDIR names, and that are not there.")
    unreadable: int = Field(0, description="DICOM files that can't be imported.")
    refused: int = Field(0, description="ZIPs, or files in them, that are not opened.")


class Progress(BaseModel):
    """How far the upload and the reading are."""

    files: int = Field(0, description="Files that were named.")
    files_received: int = Field(0, description="Those that are here completely.")
    files_read: int = Field(0, description="Those that were looked into.")
    bytes: int = Field(0, description="Size of all files.")
    bytes_received: int = Field(0, description="Bytes that are here.")


class Outcome(BaseModel):
    """What became of an accepted study."""

    study_instance_uid: str = Field(description="The study's received UID.")
    study_id: int | None = Field(description="The study, once it is in the ledger.")
    transfer_id: int | None = Field(description="Its transfer into the project, once there is one.")
    refusal: str | None = Field(
        description="Why it was not assigned, in words: assign it by hand (`POST /transfers`)."
    )


_READ: dict[str, Any] = {
    "id": 7,
    **_FOR,
    "note": "CD from Bergen",
    "state": "review",
    "reason": None,
    "progress": {
        "files": 812,
        "files_received": 812,
        "files_read": 812,
        "bytes": 419430400,
        "bytes_received": 419430400,
    },
    "found": FoundCounts(images=790, ignored=19, listings=1, duplicates=2).model_dump(),
    "studies": [],
    "quarantined": 0,
    "created_at": "2020-02-14T10:15:00Z",
    "changed_at": "2020-02-14T10:19:31Z",
}


class ImportRead(Row):
    """An import and how far it is."""

    model_config = ConfigDict(json_schema_extra=like(ImportCreate, _READ))

    project: str
    participant: str | None
    event: str
    site: str
    note: str
    state: ImportState = Field(description="How far it is.")
    reason: str | None = Field(description="Why it waits or has failed, in words.")
    progress: Progress = Field(description="How far upload and reading are.")
    found: FoundCounts = Field(description="What was found so far.")
    studies: list[Outcome] = Field(description="The accepted studies and what became of them.")
    quarantined: int = Field(
        description="Accepted images that could not be catalogued after all (`GET /quarantine`)."
    )
    created_at: datetime = Field(description="When it was begun.")
    changed_at: datetime = Field(description="When its state changed last.")


class FileCreate(BaseModel):
    """A file that is going to be sent."""

    model_config = ConfigDict(extra="forbid")

    path: Label = Field(
        description="Its name as the browser has it (`webkitRelativePath`): a label, and what it "
        "is known by when the same folder is chosen again."
    )
    size: int = Field(ge=0, le=2**53, description="Bytes.")


class FilesCreate(BaseModel):
    """Files that are going to be sent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"files": [{"path": _FILE["path"], "size": _FILE["size"]}]}},
    )

    files: list[FileCreate] = Field(min_length=1, max_length=MOST_AT_ONCE, description="The files.")


class FileRead(Row):
    """A file of an import."""

    model_config = ConfigDict(json_schema_extra={"example": _FILE})

    path: str = Field(description="Its label.")
    size: int = Field(description="Bytes.")
    offset: int = Field(description="Bytes that are here: the next piece starts there.")


class FilesRead(BaseModel):
    """Files of an import, in the order in which they were named."""

    files: list[FileRead] = Field(description="The files.")
    max_chunk: int = Field(description="Longest piece that one PATCH may bring, bytes.")


class ItemRead(Row):
    """Something that was found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 9,
                "path": "CD1/autorun.inf",
                "kind": "ignored",
                "why": "This is not a DICOM file.",
                "size": 43,
            }
        }
    )

    path: str = Field(description="Its label; in a ZIP behind that of the ZIP.")
    kind: Kind = Field(description="What it is.")
    why: str = Field(description="Why it is no image, in words; empty for images.")
    size: int = Field(description="Bytes.")


class ImportAccept(BaseModel):
    """What is to be taken, and for whom. What is left out stays as the import has it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "participant": "BICAM_001",
                "event": "baseline",
                "studies": ["1.2.826.0.1.3680043.8.498.1"],
            }
        },
    )

    studies: list[Uid] = Field(
        min_length=1, max_length=10_000, description="Received UIDs of the studies to take."
    )
    participant: Name | None = Field(
        None,
        description="The participant's pseudonym. Left out here and in the import, Sluse chooses: "
        "the one that the patient has in the project, or the next one of its template.",
    )
    event: OptionalName | None = Field(None, description="One of the project's events.")
    site: OptionalName | None = Field(None, description="One of the project's sites.")
    confirmed: bool = Field(
        False,
        description="You have seen that the patient is another participant in the project already, "
        "or that the participant is another patient, and it is right all the same.",
    )
