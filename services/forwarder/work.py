"""Which copies a batch is about, and where they go: read from the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import select

from services.forwarder.parcels import Parcel, Peer
from shared.ledger import Connection
from shared.ledger.starting import Place
from shared.ledger.states import DeliveryState
from shared.ledger.tables import (
    Delivery,
    Destination,
    Instance,
    Project,
    Series,
    Transfer,
    core,
)
from shared.priority import Priority
from shared.spool import Spool

_delivery, _transfer, _instance = core(Delivery), core(Transfer), core(Instance)
_project, _destination, _series = core(Project), core(Destination), core(Series)
_PLACE = tuple(field.name for field in fields(Peer) if field.name != "destination_id")


@dataclass(frozen=True)
class Work:
    """One delivery that waits to be sent. `peer` is None when its project has no destination."""

    parcel: Parcel
    peer: Peer | None
    revision: int
    since: datetime
    """When the delivery came into the state that this is about."""
    transfer_id: int
    series_id: int
    priority: Priority = Priority.NORMAL
    closed_for: float = 0.0
    """Seconds until its destination takes images."""

    @property
    def id(self) -> int:
        """Of the delivery."""
        return self.parcel.delivery_id

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return self.transfer_id, self.series_id, self.parcel.delivery_id


async def load(connection: Connection, delivery_ids: Iterable[int], spool: Spool) -> list[Work]:
    """The deliveries that wait to be sent, in the order in which they should go."""
    rows = await connection.execute(
        select(
            _delivery.c.id,
            _delivery.c.revision,
            _delivery.c.changed_at,
            _delivery.c.transfer_id,
            _delivery.c.series_id,
            _transfer.c.priority,
            _delivery.c.instance_id,
            _delivery.c.released_key,
            _delivery.c.released_sop_uid,
            _instance.c.sop_class_uid,
            _instance.c.transfer_syntax_uid,
            _destination.c.id.label("destination_id"),
            *(_destination.c[name] for name in _PLACE),
            _series.c.series_number,
        )
        .join_from(_delivery, _instance)
        .join(_series, _series.c.id == _delivery.c.series_id)
        .join(_transfer, _transfer.c.id == _delivery.c.transfer_id)
        .join(_project, _project.c.id == _transfer.c.project_id)
        .outerjoin(_destination, _destination.c.id == _project.c.destination_id)
        .where(
            _delivery.c.id.in_(list(delivery_ids)), _delivery.c.state == DeliveryState.ANONYMIZED
        )
    )
    return [
        Work(
            parcel=Parcel(
                row.id,
                spool.path(row.released_key),
                row.sop_class_uid,
                row.released_sop_uid,
                row.transfer_syntax_uid,
            ),
            peer=_peer(row),
            revision=row.revision,
            since=row.changed_at,
            transfer_id=row.transfer_id,
            series_id=row.series_id,
            priority=Priority(row.priority),
        )
        for row in sorted(rows.all(), key=_order)
    ]


def _peer(row: Any) -> Peer | None:
    if row.destination_id is None:
        return None
    return Peer(row.destination_id, **{name: getattr(row, name) for name in _PLACE})


def _order(row: Any) -> tuple[int, float, int, int]:
    """Study by study, each in the order of its series' numbers, and those as their images came.

    A PACS begins to show a series when it seems complete.
    """
    try:
        number = float(row.series_number)
    except ValueError:
        number = float("inf")
    return row.transfer_id, number, row.series_id, row.instance_id
