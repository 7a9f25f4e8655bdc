"""Legal holds: who may set and lift one, and doing so.

A hold keeps a study's files from being removed, whatever time they are given. Its reason stays in
the ledger beside the study; the audit knows who set and lifted it, and when.
"""

from sqlalchemy import select, update
from sqlalchemy.engine import RowMapping

from services.api.problems import ProblemError, not_found
from services.api.rights.person import Person, refused
from services.api.rights.studies import require_seen
from services.api.studies.schemas import Hold, HoldSet
from services.api.studies.service import hold_of
from shared.clock import now
from shared.ledger import Connection
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import Study, core
from shared.people import Right
from shared.runtime import Runtime

_study = core(Study)


async def require_may_hold(
    person: Person, connection: Connection, runtime: Runtime, study_id: int
) -> None:
    """Go no further without the right to hold a study: who runs Sluse, and who may see whose it is.

    Raises
    ------
    ProblemError
        404 for whoever may not know of the study, otherwise 403.
    """
    if person.may(Right.OPERATE):
        return
    if not person.may_somewhere(Right.IDENTIFY):
        raise refused(Right.IDENTIFY)
    await require_seen(person, connection, runtime, study_id)


async def read(connection: Connection, study_id: int) -> Hold:
    """The hold of a study; a 404 problem where there is none."""
    found = hold_of(await _row(connection, study_id))
    if found is None:
        raise not_found("legal hold")
    return found


async def put(connection: Connection, study_id: int, body: HoldSet, actor: str) -> Hold:
    """Set a hold, or give the one that is there another reason."""
    before = await _locked(connection, study_id)
    moment = now()
    await connection.execute(
        update(_study)
        .where(_study.c.id == study_id)
        .values(
            hold_reason=body.reason, hold_by=actor[:96], held_since=before["held_since"] or moment
        )
    )
    # Of the reason nothing: it is a person's free text.
    await audit(
        connection, Action.HOLD_SET, study=study_id, before=before["held_since"] is not None
    )
    return await read(connection, study_id)


async def lift(connection: Connection, study_id: int) -> None:
    """Lift a hold: from now on the study's files have their time again; a problem for none."""
    before = await _locked(connection, study_id)
    if before["held_since"] is None:
        raise ProblemError(409, "The study is not under a legal hold.")
    await connection.execute(
        update(_study)
        .where(_study.c.id == study_id)
        .values(hold_reason="", hold_by="", held_since=None)
    )
    await audit(
        connection, Action.HOLD_LIFTED, study=study_id, set_by=before["hold_by"],
        since=before["held_since"].isoformat(),
    )  # fmt: skip


async def _row(connection: Connection, study_id: int) -> RowMapping:
    columns = (_study.c.hold_reason, _study.c.hold_by, _study.c.held_since)
    rows = await connection.execute(select(*columns).where(_study.c.id == study_id))
    row = rows.mappings().first()
    if row is None:
        raise not_found("study")
    return row


async def _locked(connection: Connection, study_id: int) -> RowMapping:
    """A study's hold, which nobody else changes; and nobody removes its files meanwhile."""
    await connection.execute(
        select(_study.c.id).where(_study.c.id == study_id).with_for_update(key_share=True)
    )
    return await _row(connection, study_id)
