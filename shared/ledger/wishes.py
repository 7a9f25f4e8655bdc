"""The wishes of accepted imports: which project a study is to come into once it is in the ledger.

A wish is noted before the import's files go into the inbox, and met in the transaction that
catalogues them, so that nothing can come in between.
"""

from collections.abc import Iterable

from sqlalchemy import select, update

from shared.admission import Way
from shared.clock import now
from shared.ledger.assigning import Answer, Request
from shared.ledger.database import Connection
from shared.ledger.tables import Import, ImportStudy, Study, StudyAssociation, core

_import, _wish = core(Import), core(ImportStudy)
_study, _bringer = core(Study), core(StudyAssociation)


async def requests(connection: Connection, study_ids: Iterable[int]) -> list[Request]:
    """What imports that brought something of these studies want, and nobody has looked at yet."""
    rows = await connection.execute(
        select(
            _study.c.id,
            _import.c.project_id,
            _import.c.participant,
            _import.c.event,
            _import.c.site,
            _import.c.confirmed,
            _wish.c.id.label("wish_id"),
        )
        .join_from(_wish, _import)
        .join(_study, _study.c.study_instance_uid == _wish.c.study_instance_uid)
        .join(
            _bringer,
            (_bringer.c.study_id == _study.c.id)
            & (_bringer.c.association_id == _import.c.association_id),
        )
        .where(
            _study.c.id.in_(list(study_ids)),
            _wish.c.accepted_at.is_not(None),
            _wish.c.decided_at.is_(None),
        )
        .order_by(_wish.c.id)
    )
    return [
        Request(
            study_id=row.id,
            project_id=row.project_id,
            way=Way.IMPORT,
            participant=row.participant,
            event=row.event,
            site=row.site,
            confirmed=row.confirmed,
            wish_id=row.wish_id,
        )
        for row in rows
    ]


async def decide(connection: Connection, wish_id: int, answer: Answer) -> None:
    """Note what became of a wish; the page shows it."""
    objection = str(answer.against[0].objection) if answer.against else ""
    await connection.execute(
        update(_wish)
        .where(_wish.c.id == wish_id)
        .values(
            decided_at=now(),
            objection=objection,
            transfer_id=None if objection else answer.transfer_id or answer.existing_id,
        )
    )
