"""What a destination looks like from outside."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Host, Name, WebAddress, like, optional
from services.api.versions import Edited
from shared.credentials import NAME
from shared.hours import PATTERN
from shared.ledger.states import Deletion, Protocol, Verification

_EXAMPLE: dict[str, Any] = {
    "name": "research-pacs",
    "protocol": "dimse",
    "ae_title": "RESEARCHPACS",
    "host": "pacs.local",
    "port": 104,
    "url": "",
    "credentials": "",
    "transfer_syntax": "",
    "deletion": "orthanc",
    "deletion_url": "https://pacs.local:8042",
    "calling_aet": None,
    "tls": False,
    "associations": 2,
    "images_per_second": 0,
    "hours": "22:00-06:00, Sat-Sun 00:00-00:00",
    "verification": "query",
}


Hours = Annotated[str, *optional(PATTERN, "write it like 22:00-06:00, Sat-Sun 08:00-16:00")]
Credentials = Annotated[
    str, *optional(NAME, "the name of a folder: small letters, digits, dots and dashes, please")
]


class TransferSyntax(StrEnum):
    """What a destination may prefer: uncompressed, or lossless."""

    ANY = ""
    IMPLICIT = "1.2.840.10008.1.2"
    EXPLICIT = "1.2.840.10008.1.2.1"
    JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
    RLE_LOSSLESS = "1.2.840.10008.1.2.5"


class DestinationWrite(BaseModel):
    """A research PACS, as it is entered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Name = Field(description="What people call it.")
    protocol: Protocol = Field(
        Protocol.DIMSE,
        description="How images go there. `dimse`: over associations (C-STORE). `dicomweb`: over "
        "HTTP (STOW-RS).",
    )
    ae_title: AeTitle | None = Field(None, description="Its AE title; for `dimse`.")
    host: Host | None = Field(None, description="Host name or address; for `dimse`.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Its DICOM port; for `dimse`."
    )
    url: WebAddress = Field(
        "",
        description="Its DICOMweb service: what stands before `/studies`; for `dicomweb`. Without "
        "user name and password.",
    )
    credentials: Credentials = Field(
        "",
        description="Name of the folder with the secrets for it, which hospital IT puts in place "
        "(docs/forwarding.md). Empty where it needs none of its own.",
    )
    transfer_syntax: TransferSyntax = Field(
        TransferSyntax.ANY,
        description="UID of the transfer syntax that it is offered first where it refuses the one "
        "that an image has. Nothing that it takes as it is is touched.",
    )
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
        description="When it takes images, in Sluse's local time: `22:00-06:00` for nights only, "
        "`22:00-06:00, Sat-Sun 00:00-00:00` for whole weekends besides. Empty for always.",
    )
    verification: Verification = Field(
        Verification.QUERY,
        description="How Sluse makes sure that everything is there before a transfer is complete. "
        "`query`: it asks what is there (C-FIND, QIDO-RS). `commitment`: it asks that everything "
        "be kept (storage commitment), and what is there where that is not answered; for `dimse`. "
        "`none`: the word of the research PACS, given for each image, is enough.",
    )


class DestinationRead(Edited):
    """A research PACS."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra=like(DestinationWrite, {"id": 1, **_EXAMPLE})
    )

    id: int = Field(description="Its number here.")
    name: str
    protocol: Protocol
    ae_title: str | None
    host: str | None
    port: int | None
    url: str
    credentials: str
    transfer_syntax: TransferSyntax
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
