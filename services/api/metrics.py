"""The ledger's figures as metrics: law 2 on the dashboards."""

from prometheus_client import Gauge

from services.api.pipeline import service
from shared.ledger.counts import counts_by_project
from shared.runtime import Runtime

_DELIVERIES = Gauge(
    "sluse_deliveries",
    "Instances in transfers, by project and where they are.",
    ["project", "state"],
)
_ARRIVED = Gauge("sluse_ledger_rows", "What the ledger holds, by kind.", ["kind"])
_DEPTH = Gauge("sluse_queue_depth", "Messages waiting, by queue.", ["queue"])


async def refresh(runtime: Runtime) -> None:
    """Read the figures from the ledger and the broker."""
    figures = await service.read(runtime)
    async with runtime.ledger.reading() as connection:
        projects = await counts_by_project(connection)
    for project, counts in projects.items():
        for state, count in counts.model_dump().items():
            _DELIVERIES.labels(project, state).set(count)
    for kind, count in figures.arrivals.model_dump().items():
        _ARRIVED.labels(kind).set(count)
    _ARRIVED.labels("dead_letters").set(figures.dead_letters)
    _DEPTH.clear()  # an old figure must not stand for a broker that is away
    for queue, depth in figures.queues.items():
        if depth is not None:
            _DEPTH.labels(queue).set(depth)
