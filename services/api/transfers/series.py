"""How far each series of a transfer is."""

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from services.api.series.schemas import labels_of
from shared.ledger import Connection
from shared.ledger.counts import Counts
from shared.ledger.states import IN_FLIGHT, DeliveryState
from shared.ledger.tables import Delivery, Series, core

_delivery, _series = core(Delivery), core(Series)
_MOST = 1000
_PLACES = {
    DeliveryState.FORWARDED: "delivered",
    DeliveryState.HELD: "held",
    DeliveryState.FAILED: "failed",
} | dict.fromkeys(IN_FLIGHT, "in_flight")


class SeriesProgress(BaseModel):
    """How far a series of a transfer is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "series_id": 3,
                "modality": "MR",
                "series_number": "4",
                "series_description": "t2_flair_sag",
                "labels": ["FLAIR"],
                "counts": {
                    "delivered": 120, "held": 0, "failed": 0, "in_flight": 7, "received": 127,
                },
            }
        }
    )  # fmt: skip

    series_id: int = Field(description="The series.")
    modality: str = Field(description="Its modality.")
    series_number: str = Field(description="Its number.")
    series_description: str | None = Field(
        description="Its description, as received. Only for who may see who the participants are."
    )
    labels: list[str] = Field(description="What the classification rules found.")
    counts: Counts = Field(description="Its instances by where they are.")


async def progress(
    connection: Connection, transfer_id: int, *, described: bool
) -> list[SeriesProgress]:
    """A transfer's series, in the order of their arrival; the first thousand.

    Parameters
    ----------
    described
        Whether what is written freely is shown, too.
    """
    rows = await connection.execute(
        select(_delivery.c.series_id, _delivery.c.state, func.count())
        .where(_delivery.c.transfer_id == transfer_id)
        .group_by(_delivery.c.series_id, _delivery.c.state)
        .order_by(_delivery.c.series_id)
    )
    counts: dict[int, dict[str, int]] = {}
    for series_id, state, number in rows:
        found = counts.setdefault(series_id, {})
        if (place := _PLACES.get(DeliveryState(state))) is not None:
            found[place] = found.get(place, 0) + number
    ids = list(counts)[:_MOST]
    series = await connection.execute(
        select(_series).where(_series.c.id.in_(ids)).order_by(_series.c.id)
    )
    return [
        SeriesProgress(
            series_id=one["id"],
            modality=one["modality"],
            series_number=one["series_number"],
            series_description=one["series_description"] if described else None,
            labels=labels_of(one["labels"]),
            counts=Counts(**counts[one["id"]]),
        )
        for one in series.mappings()
    ]
