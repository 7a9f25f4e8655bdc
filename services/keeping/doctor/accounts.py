"""The ledger's own accounts: whether they add up, and what has been lying for too long."""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, case, exists, func, or_, select, true

from services.keeping.findings import Level, Said, some
from shared.clock import now
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.counting import COUNTED
from shared.ledger.recalling import waits_for_deletion
from shared.ledger.states import (
    ENDED,
    IN_FLIGHT,
    DeadLetterState,
    DeliveryState,
    RecallState,
    TransferState,
)
from shared.ledger.tables import (
    DeadLetter,
    Delivery,
    Instance,
    Recall,
    Series,
    Study,
    Transfer,
    core,
)

COUNTERS = tuple(sorted(set(COUNTED.values())))
_transfer, _delivery = core(Transfer), core(Delivery)
_study, _series, _instance = core(Study), core(Series), core(Instance)
_recall, _dead_letter = core(Recall), core(DeadLetter)


class Accounts(NamedTuple):
    """What does not add up, by ids."""

    transfers: list[int]
    """Whose counters are not what their deliveries are."""
    unassigned: list[int]
    """Transfers under way that lack deliveries of images that are here."""
    unsettled: list[int]
    """Transfers that are running with nothing in flight."""
    studies: list[int]
    """Whose number of images is not what they have."""


def counted() -> Any:
    """What each transfer's counters ought to be, as a subquery."""
    columns = [
        func.sum(case((_delivery.c.state.in_([s for s in COUNTED if COUNTED[s] == name]), 1),
                      else_=0)).label(name)
        for name in COUNTERS
    ]  # fmt: skip
    return select(_delivery.c.transfer_id, *columns).group_by(_delivery.c.transfer_id).subquery()


async def look(connection: Connection) -> Accounts:
    """Find what does not add up."""
    real = counted()
    transfers = (
        select(_transfer.c.id)
        .join_from(_transfer, real, real.c.transfer_id == _transfer.c.id, isouter=True)
        .where(or_(*(_transfer.c[n] != func.coalesce(real.c[n], 0) for n in COUNTERS)))
    )
    under_way = _transfer.c.state.not_in([*ENDED, TransferState.REQUESTED])
    unassigned = select(_transfer.c.id).where(
        under_way,
        ~waits_for_deletion(),
        exists().where(
            _series.c.study_id == _transfer.c.study_id,
            _instance.c.series_id == _series.c.id,
            ~exists().where(
                _delivery.c.transfer_id == _transfer.c.id, _delivery.c.instance_id == _instance.c.id
            ),
        ),
    )
    unsettled = select(_transfer.c.id).where(
        _transfer.c.state == TransferState.RUNNING,
        ~exists().where(
            _delivery.c.transfer_id == _transfer.c.id, _delivery.c.state.in_(IN_FLIGHT)
        ),
        exists().where(_delivery.c.transfer_id == _transfer.c.id),
    )
    have = (
        select(func.count())
        .select_from(_instance)
        .join(_series)
        .where(_series.c.study_id == _study.c.id)
        .scalar_subquery()
    )
    studies = select(_study.c.id).where(_study.c.instances != have)
    lists = [await _ids(connection, query) for query in (transfers, unassigned, unsettled, studies)]
    return Accounts(*lists)


async def _ids(connection: Connection, query: Select[Any]) -> list[int]:
    return sorted(await connection.scalars(query))


def said_of(accounts: Accounts) -> list[Said]:
    """The same in words."""
    texts = (
        (accounts.transfers, "the counts of {n} transfers are not what their images are ({ids})",
         "`sluse doctor --mend` counts again"),
        (accounts.unassigned, "{n} transfers lack images that are here ({ids})",
         "`sluse doctor --mend` assigns them"),
        (accounts.unsettled, "{n} transfers are running with nothing in flight ({ids})",
         "`sluse doctor --mend` ends them"),
        (accounts.studies, "the counts of {n} studies are not what they have ({ids})",
         "`sluse doctor --mend` counts again"),
    )  # fmt: skip
    found = [
        Said("counts", Level.WRONG, text.format(n=len(ids), ids=some(ids)), mend)
        for ids, text, mend in texts
        if ids
    ]
    return found or [
        Said(
            "counts", Level.OK, "of each transfer, received = delivered + held + failed + in flight"
        )
    ]


async def stuck(connection: Connection, hours: float) -> list[Said]:
    """What has not moved for some time, and why."""
    before = now() - timedelta(hours=hours)
    found = []
    rows = await connection.execute(
        select(_delivery.c.state, _delivery.c.reason, func.count().label("images"))
        .where(_delivery.c.state.in_(IN_FLIGHT), _delivery.c.changed_at < before)
        .group_by(_delivery.c.state, _delivery.c.reason)
        .order_by(_delivery.c.state)
    )
    for row in rows:
        doing = "sent" if row.state == DeliveryState.ANONYMIZED else "de-identified"
        why = (
            Reason(row.reason).in_words if row.reason else "Nothing says why: are all services up?"
        )
        found.append(
            Said(
                "stuck work",
                Level.WARNING,
                f"{row.images} images wait to be {doing} for more than {hours:g} h",
                why,
            )
        )
    for what, query in (
        (
            "transfers were requested and not begun",
            select(func.count())
            .select_from(_transfer)
            .where(
                _transfer.c.state == TransferState.REQUESTED,
                _transfer.c.requested_at < before,
                ~waits_for_deletion(),
            ),
        ),
        (
            "transfers wait for the research PACS to say that it has everything",
            select(func.count())
            .select_from(_transfer)
            .where(_transfer.c.state == TransferState.VERIFYING, _transfer.c.changed_at < before),
        ),
        (
            "deletions of recalled releases are not done",
            select(func.count())
            .select_from(_recall)
            .where(_recall.c.state != RecallState.DONE, _recall.c.asked_at < before, true()),
        ),
    ):
        if number := await connection.scalar(query):
            found.append(
                Said(
                    "stuck work",
                    Level.WARNING,
                    f"{number} {what}, for more than {hours:g} h",
                    "see them on the page, where each says why",
                )
            )
    return found or [Said("stuck work", Level.OK, f"nothing has been lying for {hours:g} h")]


async def dead_letters(connection: Connection) -> Said:
    """Messages that nobody could handle."""
    number = await connection.scalar(
        select(func.count())
        .select_from(_dead_letter)
        .where(_dead_letter.c.state == DeadLetterState.OPEN)
    )
    if not number:
        return Said("dead letters", Level.OK, "none is open")
    return Said(
        "dead letters", Level.WARNING, f"{number} are open",
        "retry or discard them, on the page Dead letters or with `sluse dead-letters`",
    )  # fmt: skip
