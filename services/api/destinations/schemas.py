"""What a destination looks like from outside."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from shared.identity import AE_TITLE

_EXAMPLE: dict[str, Any] = {
    "name": "research-pacs",
    "ae_title": "RESEARCHPACS",
    "host": "pacs.local",
    "port": 104,
}


class DestinationWrite(BaseModel):
    """A research PACS, as it is entered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: Annotated[str, Field(pattern=r"^[\w. -]{1,64}$", description="What people call it.")]
    ae_title: Annotated[str, Field(pattern=f"^{AE_TITLE}$", description="Its AE title.")]
    host: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,253}$", description="Host name or address.")
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="Its DICOM port.")]


class DestinationRead(DestinationWrite):
    """A research PACS."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"example": {"id": 1, **_EXAMPLE}}
    )

    id: int
