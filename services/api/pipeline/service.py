"""Reads the pipeline's figures."""

from sqlalchemy import func, select

from services.api.dead_letters import service as dead_letters
from services.api.pipeline import pace
from services.api.pipeline.pace import Pace
from services.api.pipeline.schemas import Pipeline, Unrouted
from shared.admission import Objection
from shared.bus import QUEUES, Bus, Queue
from shared.errors import Retry
from shared.ledger import Ledger
from shared.ledger.counts import arrivals, total_counts, transfers_by_state, unrouted
from shared.ledger.states import RecallState
from shared.ledger.tables import Recall, core
from shared.runtime import Runtime


async def read(runtime: Runtime) -> Pipeline:
    """The pipeline at a glance."""
    queues = {queue.name: await _depth(runtime.bus, queue) for queue in QUEUES}
    return await read_ledger(runtime.ledger, queues, await pace.read(runtime))


async def read_ledger(
    ledger: Ledger, queues: dict[str, int | None], speed: Pace | None = None
) -> Pipeline:
    """The same with the figures given that are not the ledger's."""
    async with ledger.reading() as connection:
        return Pipeline(
            arrivals=await arrivals(connection),
            assigned=await total_counts(connection),
            transfers=await transfers_by_state(connection),
            unrouted=[
                Unrouted(reason=Objection(note).in_words, studies=studies)
                for note, studies in (await unrouted(connection)).items()
            ],
            queues=queues,
            pace=speed,
            dead_letters=await dead_letters.count_open(connection),
            to_be_deleted=await connection.scalar(
                select(func.count()).where(core(Recall).c.state == RecallState.BY_HAND)
            )
            or 0,
        )


async def _depth(bus: Bus, queue: Queue) -> int | None:
    try:
        return await bus.depth(queue)
    except Retry:
        return None
