"""Law 2 in figures: `received = delivered + held + failed + in flight`."""

from collections import defaultdict
from collections.abc import Iterable

from pydantic import BaseModel, Field, computed_field
from sqlalchemy import ColumnElement, func, select

from shared.ledger.database import Connection
from shared.ledger.states import IN_FLIGHT, DeliveryState, TransferState
from shared.ledger.tables import (
    Delivery,
    Instance,
    Project,
    Quarantine,
    Series,
    Study,
    Transfer,
    core,
)

_delivery, _transfer = core(Delivery), core(Transfer)


class Counts(BaseModel):
    """Instances of one transfer, or of several, by where they are."""

    delivered: int = Field(0, description="The destination has them.")
    held: int = Field(0, description="A person must look at them.")
    failed: int = Field(0, description="The destination refused them, or trying was given up.")
    in_flight: int = Field(0, description="On their way.")

    @computed_field(description="All of them: delivered + held + failed + in flight.")  # type: ignore[prop-decorator]
    @property
    def received(self) -> int:
        """All of them."""
        return self.delivered + self.held + self.failed + self.in_flight

    @classmethod
    def of(cls, by_state: dict[str, int]) -> "Counts":
        """From numbers by delivery state."""
        return cls(
            delivered=by_state.get(DeliveryState.FORWARDED, 0),
            held=by_state.get(DeliveryState.HELD, 0),
            failed=by_state.get(DeliveryState.FAILED, 0),
            in_flight=sum(by_state.get(state, 0) for state in IN_FLIGHT),
        )


class Arrivals(BaseModel):
    """What arrived, whether assigned or not."""

    studies: int = Field(description="Studies in the ledger.")
    instances: int = Field(description="Instances in the ledger.")
    unassigned_studies: int = Field(description="Studies that no project has yet.")
    quarantined: int = Field(description="Files that could not be catalogued, held for a person.")


async def transfer_counts(connection: Connection, transfer_ids: Iterable[int]) -> dict[int, Counts]:
    """The counts of each transfer."""
    wanted = list(transfer_ids)
    rows = await connection.execute(
        select(_delivery.c.transfer_id, _delivery.c.state, func.count())
        .where(_delivery.c.transfer_id.in_(wanted))
        .group_by(_delivery.c.transfer_id, _delivery.c.state)
    )
    by_state: dict[int, dict[str, int]] = {transfer_id: {} for transfer_id in wanted}
    for transfer_id, state, count in rows:
        by_state[transfer_id][state] = count
    return {transfer_id: Counts.of(states) for transfer_id, states in by_state.items()}


async def total_counts(connection: Connection) -> Counts:
    """The counts over all transfers."""
    rows = await connection.execute(
        select(_delivery.c.state, func.count()).group_by(_delivery.c.state)
    )
    return Counts.of({row[0]: row[1] for row in rows})


async def counts_by_project(connection: Connection) -> dict[str, Counts]:
    """The counts of each project that has transfers, by its code."""
    code = core(Project).c.code
    rows = await connection.execute(
        select(code, _delivery.c.state, func.count())
        .join_from(_delivery, _transfer)
        .join(core(Project))
        .group_by(code, _delivery.c.state)
    )
    by_state: dict[str, dict[str, int]] = defaultdict(dict)
    for project, state, count in rows:
        by_state[project][state] = count
    return {project: Counts.of(states) for project, states in by_state.items()}


async def arrivals(connection: Connection) -> Arrivals:
    """What arrived."""
    study = core(Study)

    async def count(statement: object) -> int:
        return await connection.scalar(statement) or 0  # type: ignore[call-overload]

    return Arrivals(
        studies=await count(select(func.count()).select_from(study)),
        instances=await count(select(func.count()).select_from(core(Instance))),
        unassigned_studies=await count(
            select(func.count()).select_from(study).where(_unassigned())
        ),
        quarantined=await count(select(func.count()).select_from(core(Quarantine))),
    )


async def transfers_by_state(connection: Connection) -> dict[TransferState, int]:
    """How many transfers are in each state; states without any are left out."""
    state = _transfer.c.state
    rows = await connection.execute(select(state, func.count()).group_by(state))
    return {TransferState(row[0]): row[1] for row in rows}


async def unrouted(connection: Connection) -> dict[str, int]:
    """Studies that a rule matched and did not take, and nobody since, by the gate's objection."""
    study = core(Study)
    rows = await connection.execute(
        select(study.c.routing_note, func.count())
        .where(study.c.routing_note != "", _unassigned())
        .group_by(study.c.routing_note)
        .order_by(func.count().desc())
    )
    return {row[0]: row[1] for row in rows}


def _unassigned() -> ColumnElement[bool]:
    return ~select(_transfer.c.id).where(_transfer.c.study_id == core(Study).c.id).exists()


async def instances_by_study(
    connection: Connection, study_ids: Iterable[int]
) -> dict[int, tuple[int, int]]:
    """For each study its number of series and of instances."""
    series, instance = core(Series), core(Instance)
    rows = await connection.execute(
        select(series.c.study_id, func.count(series.c.id.distinct()), func.count(instance.c.id))
        .join_from(series, instance)
        .where(series.c.study_id.in_(list(study_ids)))
        .group_by(series.c.study_id)
    )
    return {study_id: (n_series, n_instances) for study_id, n_series, n_instances in rows}
