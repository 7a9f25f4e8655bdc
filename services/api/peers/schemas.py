"""What a peer looks like from outside."""

from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.api.fields import AeTitle, Host, Name, like
from services.api.versions import Edited
from shared.priority import Priority

_EXAMPLE: dict[str, Any] = {
    "name": "MR scanner 3",
    "calling_aet": "MR3",
    "addresses": "10.1.2.0/24",
    "username": None,
    "report_host": "mr3.local",
    "report_port": 104,
    "priority": "normal",
    "enabled": True,
}


def _network(value: str) -> str:
    if not value:
        return value
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("write it like 10.1.2.3 or 10.1.2.0/24") from None


Network = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64),
                    AfterValidator(_network)]  # fmt: skip
Password = Annotated[str, StringConstraints(min_length=8, max_length=64)]


class PeerWrite(BaseModel):
    """A sender, as it is entered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": _EXAMPLE | {"password": None}}
    )

    name: Name = Field(description="What people call it.")
    calling_aet: AeTitle | None = Field(
        None, description="Its own AE title, in full; left out for any."
    )
    addresses: Network = Field(
        "", description="The address or the network that it sends from; empty for any."
    )
    username: Name | None = Field(
        None,
        description="User name that it must show with its password (DICOM user identity "
        "negotiation); left out where it need not.",
    )
    password: Password | None = Field(
        None,
        description="That password. It is kept as a hash and never shown; left out in a change, it "
        "stays as it is.",
    )
    report_host: Host | None = Field(
        None,
        description="Where reports of storage commitment go, if not to the address that it calls "
        "from.",
    )
    report_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None,
        description="The port there; left out where the sender waits for reports on the "
        "association that asked.",
    )
    priority: Priority = Field(
        Priority.NORMAL,
        description="Of what it sends, and of transfers that are made of it by themselves. `bulk` "
        "is for a sender that moves an archive: what others send goes first.",
    )
    enabled: bool = Field(True, description="Whether it is let in by this entry.")


class PeerRead(Edited):
    """A sender."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra=like(PeerWrite, {"id": 1, **_EXAMPLE})
    )

    id: int = Field(description="Its number here.")
    name: str
    calling_aet: str | None
    addresses: str
    username: str | None
    report_host: str
    report_port: int | None
    priority: Priority
    enabled: bool
