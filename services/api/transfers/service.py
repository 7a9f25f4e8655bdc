"""Reads and requests transfers."""

from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select, true

from services.api.admitting import field_errors
from services.api.paging import Page, newest_first, page_of
from services.api.problems import ProblemError, not_found, rule_broken, taken
from services.api.studies.days import within
from services.api.transfers.schemas import (
    MOST_TROUBLES,
    DeliveryRead,
    TransferCreate,
    TransferRead,
    Trouble,
)
from shared.admission import Way
from shared.errors import Reason
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.assigning import Answer, Request, lock_projects, take
from shared.ledger.auditing import Action, audit
from shared.ledger.counts import Counts
from shared.ledger.deliveries import hurry
from shared.ledger.recalling import waits_for_deletion
from shared.ledger.starting import Assigned, retry_failed
from shared.ledger.states import ENDED, DeliveryState, Keeping, TransferState
from shared.ledger.tables import (
    Delivery,
    Instance,
    Participant,
    Project,
    Release,
    RoutingRule,
    SentTo,
    Study,
    Transfer,
    core,
)
from shared.ledger.transfers import lock_studies
from shared.ledger.verifying import verify_again

_transfer, _delivery, _study = core(Transfer), core(Delivery), core(Study)
_project, _participant, _rule = core(Project), core(Participant), core(RoutingRule)
_instance, _release, _sent_to = core(Instance), core(Release), core(SentTo)


async def request(connection: Connection, body: TransferCreate, master_key: MasterKey) -> int:
    """Enter a transfer; its id. A problem when the gate refuses, or the study is there already."""
    project_id = await project_of(connection, body.project)
    wanted = Request(
        study_id=await find_study(connection, body),
        project_id=project_id,
        way=Way.REST,
        participant=body.participant,
        event=body.event,
        site=body.site,
        confirmed=body.confirmed,
        priority=body.priority,
    )
    project = (await lock_projects(connection, [project_id]))[project_id]
    made = transfer_of(await take(connection, wanted, project, master_key), project)
    await audit(connection, Action.TRANSFER_REQUESTED, transfer=made, study=wanted.study_id)
    return made


async def project_of(connection: Connection, code: str) -> int:
    """The id of the project with this code; a problem when there is none."""
    found: int | None = await connection.scalar(
        select(_project.c.id).where(_project.c.code == code)
    )
    if found is None:
        raise rule_broken("project", "There is no such project.")
    return found


def transfer_of(answer: Answer, project: Project) -> int:
    """The new transfer's id; a problem where the gate objects or the study is there already."""
    if answer.existing_id is not None:
        words = f"The study is in this project already: transfer {answer.existing_id}."
        raise taken("project", words)
    if answer.transfer_id is None:
        raise ProblemError(422, "The request breaks a rule.", field_errors(answer.against, project))
    return answer.transfer_id


async def list_page(
    connection: Connection,
    *,
    project: str | None = None,
    state: TransferState | None = None,
    participant: str | None = None,
    event: str | None = None,
    requested_from: date | None = None,
    requested_to: date | None = None,
    within_projects: list[int] | None = None,
    limit: int,
    after: int | None,
) -> Page[TransferRead]:
    """Transfers, the newest first.

    Parameters
    ----------
    within_projects
        Only those of these; None for all.
    """
    requested = within(_transfer.c.requested_at, requested_from, requested_to)
    query = newest_first(_select().where(*requested), _transfer.c.id, limit, after)
    query = query.where(*_in_projects(within_projects))
    if project is not None:
        query = query.where(_project.c.code == project)
    if state is not None:
        query = query.where(_transfer.c.state == state)
    if participant is not None:
        query = query.where(_participant.c.pseudonym == participant)
    if event is not None:
        query = query.where(_transfer.c.event == event)
    found = await _read(connection, query)
    return page_of(found, limit)


async def get(connection: Connection, transfer_id: int) -> TransferRead:
    """One transfer; a 404 problem when there is none."""
    found = await _read(connection, _select().where(_transfer.c.id == transfer_id))
    if not found:
        raise not_found("transfer")
    return found[0]


async def deliveries(
    connection: Connection,
    transfer_id: int,
    *,
    state: DeliveryState | None,
    limit: int,
    after: int | None,
) -> Page[DeliveryRead]:
    """A transfer's instances, in the order in which they were assigned."""
    await get(connection, transfer_id)
    query = (
        select(_delivery, _instance.c.sop_instance_uid)
        .join_from(_delivery, _instance)
        .where(_delivery.c.transfer_id == transfer_id, _delivery.c.id > (after or 0))
        .order_by(_delivery.c.id)
        .limit(limit + 1)
    )
    if state is not None:
        query = query.where(_delivery.c.state == state)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    found = [
        DeliveryRead.model_validate(row | {"reason": _in_words(row["reason"])}) for row in rows
    ]
    return page_of(found, limit)


async def retry(connection: Connection, transfer_id: int, patience: float) -> Assigned:
    """Start a transfer's failed instances again, and have those that wait tried now."""
    if (await get(connection, transfer_id)).state in ENDED:
        raise ProblemError(409, "The transfer was cancelled or recalled: assign the study anew.")
    await lock_studies(connection, [transfer_id])
    if await _needs_evicted(connection, transfer_id):
        raise ProblemError(409, Reason.ORIGINAL_EVICTED.in_words)
    await verify_again(connection, transfer_id)
    await hurry(connection, transfer_id=transfer_id)
    assigned = await retry_failed(connection, transfer_id, patience=patience)
    instances = sum(len(batch.delivery_ids) for batch in assigned)
    await audit(connection, Action.TRANSFER_RETRIED, transfer=transfer_id, instances=instances)
    return assigned


async def _needs_evicted(connection: Connection, transfer_id: int) -> bool:
    """Whether what failed, or is missing there, can't be sent: its original was removed here."""
    troubled = (_delivery.c.state == DeliveryState.FAILED) | (
        (_delivery.c.state == DeliveryState.FORWARDED) & _delivery.c.reason.is_not(None)
    )
    found = await connection.scalar(
        select(_delivery.c.id)
        .join_from(_delivery, _instance)
        .where(
            _delivery.c.transfer_id == transfer_id, troubled, _instance.c.keeping != Keeping.HERE
        )
        .limit(1)
    )
    return found is not None


async def find_study(
    connection: Connection, body: TransferCreate, seen: ColumnElement[bool] | None = None
) -> int:
    """The study's id; nobody else takes the study anywhere until this transaction ends."""
    if (body.study_id is None) == (body.study_instance_uid is None):
        raise rule_broken("study_id", "Name the study by study_id or by study_instance_uid.")
    field = "study_id" if body.study_id is not None else "study_instance_uid"
    which = (
        _study.c.id == body.study_id
        if body.study_id is not None
        else _study.c.study_instance_uid == body.study_instance_uid
    )
    study_id: int | None = await connection.scalar(
        select(_study.c.id)
        .where(which, true() if seen is None else seen)
        .with_for_update(key_share=True)
    )
    if study_id is None:
        raise rule_broken(field, "There is no such study here.")
    return study_id


async def several(
    connection: Connection, transfer_ids: list[int], within_projects: list[int] | None
) -> list[TransferRead]:
    """Those of the transfers that are there and in the projects; None for all projects."""
    return await _read(
        connection,
        _select()
        .where(_transfer.c.id.in_(transfer_ids))
        .where(*_in_projects(within_projects))
        .order_by(_transfer.c.id),
    )


async def of_study(
    connection: Connection, study_id: int, within_projects: list[int] | None
) -> list[TransferRead]:
    """A study's transfers in the projects, the newest first; None for all projects."""
    return await _read(
        connection,
        _select()
        .where(_transfer.c.study_id == study_id)
        .where(*_in_projects(within_projects))
        .order_by(_transfer.c.id.desc()),
    )


def _in_projects(ids: list[int] | None) -> list[ColumnElement[bool]]:
    return [] if ids is None else [_transfer.c.project_id.in_(ids)]


def _select() -> Select[Any]:
    return (
        select(
            _transfer,
            _project.c.code.label("project"),
            _participant.c.pseudonym.label("participant"),
            _rule.c.name.label("rule"),
            _release.c.released_study_uid,
            ((_transfer.c.state == TransferState.REQUESTED) & waits_for_deletion()).label(
                "waits_for_deletion"
            ),
            (
                _transfer.c.state.not_in(ENDED)
                & ~exists().where(_sent_to.c.transfer_id == _transfer.c.id)
            ).label("can_be_undone"),
        )
        .join_from(_transfer, _project)
        .join(_participant, _participant.c.id == _transfer.c.participant_id)
        .outerjoin(_rule, _rule.c.id == _transfer.c.rule_id)
        .outerjoin(
            _release,
            (_release.c.study_id == _transfer.c.study_id)
            & (_release.c.project_id == _transfer.c.project_id),
        )
    )


async def _read(connection: Connection, query: Select[Any]) -> list[TransferRead]:
    rows = (await connection.execute(query)).mappings().all()
    ids = [row["id"] for row in rows]
    troubles = await _troubles(connection, ids)
    return [
        TransferRead.model_validate(
            dict(row)
            | {"counts": Counts(**row), "troubles": troubles[row["id"]]}
            | {"reason": _in_words(row["reason"])}
        )
        for row in rows
    ]


async def _troubles(connection: Connection, transfer_ids: list[int]) -> dict[int, list[Trouble]]:
    transfer, *what = (
        _delivery.c.transfer_id, _delivery.c.state, _delivery.c.reason, _delivery.c.detail
    )  # fmt: skip
    rank = func.row_number().over(partition_by=transfer, order_by=[func.count().desc(), *what])
    counted = (
        select(transfer, *what, func.count().label("instances"), rank.label("rank"))
        .where(transfer.in_(transfer_ids), _delivery.c.reason.is_not(None))
        .group_by(transfer, *what)
        .subquery()
    )
    rows = await connection.execute(
        # A PACS may say something else about each of thousands of images.
        select(counted).where(counted.c.rank <= MOST_TROUBLES).order_by(counted.c.rank)
    )
    found: dict[int, list[Trouble]] = defaultdict(list)
    for transfer_id, state, reason, detail, count, _ in rows:
        found[transfer_id].append(
            Trouble(state=state, reason=_in_words(reason) or "", detail=detail, instances=count)
        )
    return found


def _in_words(reason: str | None) -> str | None:
    return Reason(reason).in_words if reason else None
