"""What a quarantined file looks like from outside."""

from datetime import datetime

from pydantic import ConfigDict, Field

from services.api.paging import Row


class QuarantineRead(Row):
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

    spool_key: str = Field(description="Where the file lies in the spool.")
    reason: str = Field(description="Why it could not be catalogued, in words.")
    detail: str = Field(description="Technical detail.")
    size: int = Field(description="Bytes of the file.")
    calling_aet: str = Field(description="The sender's AE title.")
    called_aet: str = Field(description="The AE title that the sender addressed.")
    peer_address: str = Field(description="The sender's network address.")
    received_at: datetime = Field(description="When it arrived.")
