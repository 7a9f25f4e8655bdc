"""How fast the pipeline works, what has waited longest, and how much room is left."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from shared.clock import now
from shared.ledger import Connection
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import Delivery, Instance, Transfer, core
from shared.pressure import Because
from shared.runtime import Runtime

_instance, _delivery, _transfer = core(Instance), core(Delivery), core(Transfer)
_LATELY = timedelta(minutes=10)
_SAMPLE = 2000
"""The newest rows are looked at, which the primary key finds at once, however large the ledger."""
_ON_THEIR_WAY = (TransferState.REQUESTED, TransferState.RUNNING)


EXAMPLE: dict[str, Any] = {
    "received_per_minute": 240.0,
    "delivered_per_minute": 231.5,
    "oldest_on_its_way": "2020-02-14T10:11:12Z",
    "disk_free": 512000000000,
    "disk_total": 2000000000000,
    "disk_low": False,
    "backlog": 1200,
    "stopped_by": None,
}


class Pace(BaseModel):
    """How fast the pipeline works, and what it has to work with."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    received_per_minute: float = Field(description="Images, in the last ten minutes.")
    delivered_per_minute: float = Field(description="The same, delivered.")
    oldest_on_its_way: datetime | None = Field(
        description="When the first of the transfers was requested that are on their way; null for "
        "none."
    )
    disk_free: int | None = Field(
        description="Room in the spool, bytes; null where the disk does not say."
    )
    disk_total: int | None = Field(description="The whole of it, bytes.")
    disk_low: bool = Field(description="Whether there is less than SLUSE_DISK_WARN.")
    backlog: int = Field(
        description="Images received and not yet worked off, without what waits for a research "
        "PACS; counted up to a little more than SLUSE_BACKLOG_STOP."
    )
    stopped_by: Because | None = Field(
        description="Why no images are taken at present; null while they are."
    )


async def read(runtime: Runtime) -> Pace:
    """How fast the pipeline works now."""
    disk = await asyncio.to_thread(runtime.pressure.disk)
    async with runtime.ledger.reading() as connection:
        received = await _newest(connection, select(_instance.c.received_at), _instance.c.id)
        delivered = await _newest(
            connection,
            select(_delivery.c.changed_at, _delivery.c.state),
            _delivery.c.id,
            state=DeliveryState.FORWARDED,
        )
        oldest: datetime | None = await connection.scalar(
            select(func.min(_transfer.c.requested_at)).where(_transfer.c.state.in_(_ON_THEIR_WAY))
        )
    return Pace(
        received_per_minute=per_minute(received, now()),
        delivered_per_minute=per_minute(delivered, now()),
        oldest_on_its_way=oldest,
        disk_free=disk and disk.free,
        disk_total=disk and disk.total,
        disk_low=disk is not None and disk.low,
        backlog=runtime.pressure.backlog.images,
        stopped_by=runtime.pressure.against_senders(),
    )


def per_minute(moments: list[datetime], until: datetime, most: int = _SAMPLE) -> float:
    """How many things happened a minute lately.

    Parameters
    ----------
    moments
        When they happened; where there are `most`, earlier ones are not known.
    """
    lately = [one for one in moments if one > until - _LATELY]
    if not lately:
        return 0.0
    span = until - min(lately) if len(lately) >= most else _LATELY
    return round(len(lately) / max(span.total_seconds(), 1) * 60, 1)


async def _newest(connection: Connection, query: Any, key: Any, **only: str) -> list[datetime]:
    rows = (await connection.execute(query.order_by(key.desc()).limit(_SAMPLE))).all()
    return [row[0] for row in rows if all(getattr(row, k) == v for k, v in only.items())]
