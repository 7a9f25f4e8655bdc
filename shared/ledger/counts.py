"""Law 2 in figures: `received = delivered + held + failed + in flight`."""

from pydantic import BaseModel, Field, computed_field
from sqlalchemy import ColumnElement, func, literal_column, select, true

from shared.ledger.database import Connection
from shared.ledger.states import ENDED, TransferState
from shared.ledger.tables import Project, Quarantine, Study, Transfer, core
from shared.ledger.tables.transfers import IN_FORCE

_transfer = core(Transfer)


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


class Arrivals(BaseModel):
    """What arrived, whether assigned or not."""

    studies: int = Field(description="Studies in the ledger.")
    instances: int = Field(description="Instances in the ledger.")
    unassigned_studies: int = Field(description="Studies that no project has yet.")
    quarantined: int = Field(description="Files that could not be catalogued, held for a person.")


COUNTERS = tuple(_transfer.c[name] for name in ("delivered", "held", "failed", "in_flight"))
"""The columns of `transfer` that hold its counts."""


async def total_counts(connection: Connection, project_id: int | None = None) -> Counts:
    """The counts over all transfers, or over those of a project."""
    query = select(*map(_sum, COUNTERS)).where(_of(project_id))
    row = (await connection.execute(query)).one()
    return Counts.model_validate(row._asdict())


async def counts_by_project(connection: Connection) -> dict[str, Counts]:
    """The counts of each project that has transfers, by its code."""
    code = core(Project).c.code
    rows = await connection.execute(
        select(code, *map(_sum, COUNTERS)).join_from(_transfer, core(Project)).group_by(code)
    )
    return {row.code: Counts.model_validate(row._asdict()) for row in rows}


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0).label(column.name)


async def arrivals(connection: Connection) -> Arrivals:
    """What arrived."""
    # The index of transfers in force is read from end to end, which is faster than any join.
    assigned = select(_transfer.c.study_id).where(IN_FORCE).distinct().subquery()
    row = (
        await connection.execute(
            select(
                func.count().label("studies"),
                func.coalesce(func.sum(core(Study).c.instances), 0).label("instances"),
                select(func.count()).select_from(assigned).scalar_subquery().label("assigned"),
                select(func.count())
                .select_from(core(Quarantine))
                .scalar_subquery()
                .label("quarantined"),
            ).select_from(core(Study))
        )
    ).one()
    return Arrivals(
        studies=row.studies,
        instances=row.instances,
        unassigned_studies=row.studies - row.assigned,
        quarantined=row.quarantined,
    )


async def transfers_by_state(
    connection: Connection, project_id: int | None = None
) -> dict[TransferState, int]:
    """How many transfers, or those of a project, are in each state; 0 is left out."""
    state = _transfer.c.state
    rows = await connection.execute(
        select(state, func.count()).where(_of(project_id)).group_by(state)
    )
    return {TransferState(row[0]): row[1] for row in rows}


async def unrouted(connection: Connection) -> dict[str, int]:
    """Studies that a rule matched and did not take, and nobody since, by the gate's objection."""
    study = core(Study)
    rows = await connection.execute(
        select(study.c.routing_note, func.count())
        # Written out, as it is in the index.
        .where(study.c.routing_note != literal_column("''"), _unassigned())
        .group_by(study.c.routing_note)
        .order_by(func.count().desc())
    )
    return {row[0]: row[1] for row in rows}


def _of(project_id: int | None) -> ColumnElement[bool]:
    return true() if project_id is None else _transfer.c.project_id == project_id


def _unassigned() -> ColumnElement[bool]:
    return ~(
        select(_transfer.c.id)
        .where(_transfer.c.study_id == core(Study).c.id, _transfer.c.state.not_in(ENDED))
        .exists()
    )
