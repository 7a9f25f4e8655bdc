"""What the anonymizer does with a `preview.requested`: makes the copy, and notes how it differs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from services.anonymizer.engine import ObjectUids
from services.anonymizer.pool import Pool
from services.anonymizer.previews.job import PreviewJob, PreviewMade
from services.anonymizer.work import plan_of
from shared import telemetry
from shared.bus import ANONYMIZER_PREVIEWS, Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import PreviewRequested
from shared.identity import MasterKey
from shared.ledger import Connection, Ledger
from shared.ledger.states import PreviewState
from shared.ledger.tables import (
    Instance,
    Participant,
    Preview,
    Project,
    Series,
    Study,
    Transfer,
    core,
)
from shared.ledger.writing import clip

log = telemetry.logger("anonymizer")
_preview, _transfer, _instance = core(Preview), core(Transfer), core(Instance)
_series, _study, _project = core(Series), core(Study), core(Project)
_participant = core(Participant)


class PreviewConsumer:
    """Makes previews, one at a time: nothing that is on its way waits long for them."""

    queue = ANONYMIZER_PREVIEWS

    def __init__(self, ledger: Ledger, master_key: MasterKey, pool: Pool) -> None:
        self._ledger, self._master_key, self._pool = ledger, master_key, pool

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Make the previews that nobody has made yet."""
        for message in batch:
            assert isinstance(message.event, PreviewRequested)
            preview_id = message.event.preview_id
            async with self._ledger.reading() as connection:
                job = await _load(connection, preview_id, self._master_key)
            if job is None:
                continue  # made already, or asked again since
            made = await self._pool.preview(job)
            await self._note(preview_id, made)
            log.info(
                "preview made", preview=preview_id, held=made.held, failed=made.failed,
            )  # fmt: skip

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Say so to whoever waits for it."""
        assert isinstance(message.event, PreviewRequested)
        await self._note(message.event.preview_id, PreviewMade(failed=reason))

    async def _note(self, preview_id: int, made: PreviewMade) -> None:
        sealed, state = "", PreviewState.FAILED
        if made.comparison is not None:
            sealed, state = made.comparison.sealed(self._master_key), PreviewState.DONE
        elif made.held is not None:
            state = PreviewState.HELD
        async with self._ledger.transaction() as connection:
            await connection.execute(
                update(_preview)
                .where(_preview.c.id == preview_id, _preview.c.state == PreviewState.ASKED)
                .values(
                    state=state,
                    reason=made.held or made.failed,
                    detail=clip(_preview, "detail", made.detail),
                    result=sealed,
                    done_at=now(),
                )
            )


async def _load(
    connection: Connection, preview_id: int, master_key: MasterKey
) -> PreviewJob | None:
    """What a preview asks for; None when it is answered, or gone."""
    rows = await connection.execute(
        select(
            _instance.c.spool_key,
            _instance.c.sop_instance_uid,
            _series.c.series_instance_uid,
            _study.c.study_instance_uid,
            _transfer.c.event,
            _transfer.c.site,
            _participant.c.pseudonym,
            _project.c.code,
            _project.c.secret,
            _project.c.date_shift_days,
            _project.c.identifier_scheme,
            _preview.c.profile,
        )
        .join_from(_preview, _instance, _instance.c.id == _preview.c.instance_id)
        .join(_series, _series.c.id == _instance.c.series_id)
        .join(_study, _study.c.id == _series.c.study_id)
        .join(_transfer, _transfer.c.id == _preview.c.transfer_id)
        .join(_participant, _participant.c.id == _transfer.c.participant_id)
        .join(_project, _project.c.id == _preview.c.project_id)
        .where(_preview.c.id == preview_id, _preview.c.state == PreviewState.ASKED)
    )
    row: Any = rows.first()
    if row is None:
        return None
    uids = ObjectUids(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
    return PreviewJob(row.spool_key, plan_of(row, master_key), uids)
