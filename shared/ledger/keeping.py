"""How long files are kept, and what keeps them: the one place that decides (docs/retention.md).

Decided from what the ledger says of a study: its transfers, how long each project keeps, whether
it is under a legal hold, what a sender was promised. Nothing of it can be known from the disk.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, select

from shared.ledger.database import Connection
from shared.ledger.states import ENDED, RecallState, TransferState
from shared.ledger.tables import Project, Recall, Study, Transfer, core
from shared.settings import Settings

_study, _transfer = core(Study), core(Transfer)
_project, _recall = core(Project), core(Recall)


@dataclass(frozen=True)
class Rules:
    """What the system says of keeping; projects say the rest."""

    unassigned_days: int | None = None
    """Of originals that no project has; None: for ever."""
    promise_days: int = 0
    """After a sender was told that its images are safe here."""

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Those of the settings."""
        return cls(settings.keep_unassigned_days, settings.commitment_keep_days)


@dataclass(frozen=True)
class TransferFacts:
    """What matters of a transfer."""

    id: int
    state: TransferState
    changed_at: datetime
    unfinished: int
    """Its deliveries that are on their way, held or failed."""
    originals_days: int | None
    copies_days: int | None
    being_deleted: bool = False
    """It was taken back, and is still to be deleted somewhere."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing of it is to be delivered or verified any more."""
        done = self.state in {TransferState.COMPLETE, *ENDED}
        return done and not self.unfinished and not self.being_deleted


@dataclass(frozen=True)
class StudyFacts:
    """What matters of a study."""

    id: int
    settled: bool
    last_received_at: datetime
    under_hold: bool
    promised_at: datetime | None
    transfers: tuple[TransferFacts, ...] = ()


def originals_go_at(study: StudyFacts, rules: Rules) -> datetime | None:
    """When a study's originals may be removed; None where nobody can say, or never.

    Of several projects the longest time counts, from the moment at which the last was verified.
    What arrives again is kept as long once more.
    """
    if study.under_hold or not study.settled:
        return None
    if not all(one.at_rest for one in study.transfers):
        return None
    in_force = [one for one in study.transfers if one.state not in ENDED]
    wanted = [one.originals_days for one in in_force] or [rules.unassigned_days]
    known = [days for days in wanted if days is not None]
    if len(known) < len(wanted):
        return None
    longest = max(known)
    moments = [study.last_received_at + timedelta(days=longest)]
    for one in in_force or study.transfers:
        days = one.originals_days if in_force else rules.unassigned_days
        moments.append(one.changed_at + timedelta(days=days or longest))
    if study.promised_at is not None:
        moments.append(study.promised_at + timedelta(days=rules.promise_days))
    return max(moments)


def copies_go_at(study: StudyFacts, transfer: TransferFacts) -> datetime | None:
    """When a transfer's de-identified copies may be removed; None where nobody can say, or never.

    They can be made again as long as the originals are here.
    """
    if study.under_hold or not transfer.at_rest or transfer.copies_days is None:
        return None
    return transfer.changed_at + timedelta(days=transfer.copies_days)


async def lacks_originals(connection: Connection, study_ids: Collection[int]) -> set[int]:
    """Those of the studies of which originals were removed, or are about to be.

    It stays so, or not, for as long as the caller holds the studies' locks.
    """
    found = await connection.scalars(
        select(_study.c.id).where(_study.c.id.in_(list(study_ids)), _study.c.evicted > 0)
    )
    return set(found)


async def facts_of(connection: Connection, study_ids: Collection[int]) -> list[StudyFacts]:
    """What matters of studies, by their ids."""
    ids = list(study_ids)
    transfers = await _transfers(connection, ids)
    rows = await connection.execute(
        select(
            _study.c.id,
            _study.c.settled_at,
            _study.c.last_received_at,
            _study.c.held_since,
            _study.c.promised_at,
        )
        .where(_study.c.id.in_(ids))
        .order_by(_study.c.id)
    )
    return [
        StudyFacts(
            row.id,
            row.settled_at is not None,
            row.last_received_at,
            row.held_since is not None,
            row.promised_at,
            tuple(transfers[row.id]),
        )
        for row in rows
    ]


async def _transfers(
    connection: Connection, study_ids: list[int]
) -> dict[int, list[TransferFacts]]:
    deleting = exists().where(
        _recall.c.transfer_id == _transfer.c.id, _recall.c.state != RecallState.DONE
    )
    rows = await connection.execute(
        select(
            _transfer.c.study_id,
            _transfer.c.id,
            _transfer.c.state,
            _transfer.c.changed_at,
            (_transfer.c.held + _transfer.c.failed + _transfer.c.in_flight).label("unfinished"),
            _project.c.keep_originals_days,
            _project.c.keep_copies_days,
            deleting.label("being_deleted"),
        )
        .join_from(_transfer, _project)
        .where(_transfer.c.study_id.in_(study_ids))
        .order_by(_transfer.c.id)
    )
    found: dict[int, list[TransferFacts]] = defaultdict(list)
    for row in rows:
        found[row.study_id].append(
            TransferFacts(
                row.id,
                TransferState(row.state),
                row.changed_at,
                row.unfinished,
                row.keep_originals_days,
                row.keep_copies_days,
                bool(row.being_deleted),
            )
        )
    return found
