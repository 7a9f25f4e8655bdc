"""What a destination looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Host, Name, WebAddress, like
from shared.ledger.states import Deletion

_EXAMPLE: dict[str, Any] = {
    "name": "research-pacs",
    "ae_title": "RESEARCHPACS",
    "host": "pacs.local",
    "port": 104,
    "deletion": "orthanc",
    "deletion_url": "https://pacs.local:8042",
}


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
