"""What a destination looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.fields import AeTitle, Host, Name, like

_EXAMPLE: dict[str, Any] = {
    "name": "research-pacs",
    "ae_title": "RESEARCHPACS",
    "host": "pacs.local",
    "port": 104,
}


class DestinationWrite(BaseModel):
    """A research PACS, as it is entered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Name = Field(description="What people call it.")
    ae_title: AeTitle = Field(description="Its AE title.")
    host: Host = Field(description="Host name or address.")
    port: Annotated[int, Field(ge=1, le=65535, description="Its DICOM port.")]


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
