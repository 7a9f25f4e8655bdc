"""What a quarantined file looks like from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class QuarantineRead(BaseModel):
    """A file that arrived and could not be catalogued."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "spool_key": "quarantine/0123456789abcdef0123456789abcdef/00000007.dcm",
                "reason": "The image ends in the middle: part of it is missing. Send it again.",
                "detail": "",
                "size": 482113,
                "calling_aet": "CT1",
                "called_aet": "SLUSE",
                "peer_address": "10.0.0.17",
                "received_at": "2020-02-14T10:11:12Z",
            }
        }
    )

    id: int
    spool_key: str = Field(description="Where the file lies in the spool.")
    reason: str = Field(description="Why it could not be catalogued, in words.")
    detail: str
    size: int = Field(description="Bytes.")
    calling_aet: str = Field(description="Who sent it.")
    called_aet: str
    peer_address: str
    received_at: datetime
