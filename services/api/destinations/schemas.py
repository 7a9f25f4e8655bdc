"""What a destination looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Host, Name, WebAddress, like, optional
from shared.hours import PATTERN
from shared.ledger.states import Deletion, Verification

_EXAMPLE: dict[str, Any] = {
    "name": "research-pacs",
    "ae_title": "RESEARCHPACS",
    "host": "pacs.local",
    "port": 104,
    "deletion": "orthanc",
    "deletion_url": "https://pacs.local:8042",
    "calling_aet": None,
    "tls": False,
    "associations": 2,
    "images_per_second": 0,
    "hours": "22:00-06:00",
    "verification": "query",
}


Hours = Annotated[str, *optional(PATTERN, "write it like 22:00-06:00")]


class DestinationWrite(BaseModel):
    """A research PACS, as it is entered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Name = Field(description="What people call it.")
    ae_title: AeTitle = Field(description="Its AE title.")
    host: Host = Field(description="Host name or address.")
    port: Annotated[int, Field(ge=1, le=65535, description="Its DICOM port.")]
    deletion: Deletion = Field(
        Deletion.NONE,
        description="How a study that was delivered there by mistake is deleted. `none`: by a "
        "person. `overwrites`: by a person, but images that come again take the place of those "
        "there. `orthanc`: by Sluse, with Orthanc's REST API. `dicomweb`: by Sluse, with DELETE of "
        "the study's DICOMweb resource.",
    )
    deletion_url: WebAddress = Field(
        "",
        description="Where Sluse deletes: the address of Orthanc's REST API, or of the DICOMweb "
        "service (what stands before `/studies`). Without user name and password.",
    )
    calling_aet: AeTitle | None = Field(
        None, description="What Sluse calls itself there; its own AE title otherwise."
    )
    tls: bool = Field(False, description="Whether it is spoken to over TLS.")
    associations: Annotated[int, Field(ge=1, le=16)] = Field(
        2,
        description="Associations open there at once, at most, from each forwarder. A series goes "
        "over one of them.",
    )
    images_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="Pace of each forwarder, at most; 0 for any."
    )
    hours: Hours = Field(
        "",
        description="When it takes images, in Sluse's local time: `22:00-06:00` for nights only. "
        "Empty for always.",
    )
    verification: Verification = Field(
        Verification.QUERY,
        description="How Sluse makes sure that everything is there before a transfer is complete. "
        "`query`: it asks what is there (C-FIND). `none`: the word of the research PACS, given for "
        "each image, is enough.",
    )


class DestinationRead(BaseModel):
    """A research PACS."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra=like(DestinationWrite, {"id": 1, **_EXAMPLE})
    )

    id: int = Field(description="Its number here.")
    name: str
    ae_title: str
    host: str
    port: int
    deletion: Deletion
    deletion_url: str
    calling_aet: str | None
    tls: bool
    associations: int
    images_per_second: int
    hours: str
    verification: Verification


class Echo(BaseModel):
    """What came of trying a destination."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "answers": False,
                "detail": "association rejected: Called AE title not recognised",
                "milliseconds": 12,
            }
        }
    )

    answers: bool = Field(description="Whether it answers as it should.")
    detail: str = Field(description="What it said, or why it did not.")
    milliseconds: int = Field(description="How long it took.")
