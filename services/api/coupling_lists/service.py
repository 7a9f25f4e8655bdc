"""Takes, shows and removes coupling lists, and takes the studies that are here already."""

import asyncio
from collections.abc import Collection, Iterable
from itertools import islice

from sqlalchemy import or_, select

from services.api.coupling_lists.checking import Known, Verdict, check
from services.api.coupling_lists.reading import Complaint, CouplingList, UnreadableError, read
from services.api.coupling_lists.schemas import (
    EntryRead,
    RowRemark,
    StudiesReport,
    StudyRefusal,
    UploadReport,
)
from services.api.nudging import nudge_requested
from services.api.paging import Page, page_of
from services.api.problems import not_found, rule_broken
from services.api.rights.person import Person
from services.api.rights.studies import seen_by
from shared import telemetry
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.assigning import Answer, lock_projects
from shared.ledger.auditing import Action, audit
from shared.ledger.coupling_lists import (
    Entry,
    Key,
    Target,
    coupled,
    matching,
    remove,
    store,
    stored,
    take_listed,
    wait_for_arrivals,
)
from shared.ledger.couplings import Kind
from shared.ledger.tables import CouplingEntry, Project, core
from shared.runtime import Runtime

log = telemetry.logger("api")

_AT_MOST = 1000  # remarks in an answer
_STUDIES_AT_ONCE = 100  # so that arrivals never wait long
_project, _entry = core(Project), core(CouplingEntry)


async def upload(
    runtime: Runtime, person: Person, code: str, file: bytes, *, dry_run: bool, partial: bool
) -> UploadReport:
    """Take a list, as far as nothing is wrong with it, and the studies on it that are here.

    Parameters
    ----------
    dry_run
        Only say what would come of it.
    partial
        Take the rows that are right even when others are wrong.
    """
    try:
        found = await read(file)
    except UnreadableError as error:
        raise rule_broken("file", str(error)) from None
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        project_id, project = await find_project(connection, code)
        known = Known(await stored(connection, project_id), await coupled(connection, project_id))
    verdict = await asyncio.to_thread(check, found, project, known, master_key)
    storing = not dry_run and (partial or not verdict.wrong)
    if storing:
        await _store(runtime, project_id, verdict, known, master_key)
    studies = await _studies(
        runtime, project_id, verdict.entries, master_key, person, taking=storing
    )
    report = _report(found, verdict, studies, storing=storing)
    counts = report.model_dump(include={"rows", "new", "changed", "unchanged", "wrong"})
    log.info("coupling list uploaded", project=project_id, stored=storing, **counts)
    return report


async def apply(runtime: Runtime, person: Person, code: str) -> StudiesReport:
    """Take the studies on the list that are here, as far as the person sees them."""
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        project_id, _ = await find_project(connection, code)
        keys = (await stored(connection, project_id)).keys()
    return await _studies(runtime, project_id, keys, master_key, person, taking=True)


async def show_page(
    runtime: Runtime,
    person: Person,
    code: str,
    *,
    limit: int,
    after: int | None,
    wanted: str = "",
) -> Page[EntryRead]:
    """A project's list, with the identities, which is audited: nothing else shows them.

    Parameters
    ----------
    wanted
        Only rows of a participant whose id begins so, or of exactly this study or patient.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.reading() as connection:
        page = await _page(connection, code, master_key, limit, after, wanted)
    if person.account_id is not None and page.items:
        async with runtime.ledger.transaction() as connection:
            entries = [one.id for one in page.items]
            await audit(connection, Action.IDENTITIES_SHOWN, project=code, entries=entries)
    return page


async def _page(
    connection: Connection,
    code: str,
    master_key: MasterKey,
    limit: int,
    after: int | None,
    wanted: str,
) -> Page[EntryRead]:
    project_id, _ = await find_project(connection, code)
    query = (
        select(_entry)
        .where(_entry.c.project_id == project_id, _entry.c.id > (after or 0))
        .order_by(_entry.c.id)
        .limit(limit + 1)
    )
    if wanted:
        keys = [master_key.index(kind, wanted) for kind in Kind]
        begins = _entry.c.participant.istartswith(wanted, autoescape=True)
        query = query.where(or_(begins, _entry.c.value_key.in_(keys)))
    rows = await connection.execute(query)
    found = [
        EntryRead.model_validate(dict(row) | {"value": master_key.decrypt(row["value"]).decode()})
        for row in rows.mappings()
    ]
    return page_of(found, limit)


async def delete(connection: Connection, code: str, entry_id: int | None = None) -> int:
    """Remove one row, or all; a 404 problem where there is no such row."""
    project_id, _ = await find_project(connection, code)
    removed = await remove(connection, project_id, entry_id)
    if entry_id is not None and not removed:
        raise not_found("row")
    await audit(connection, Action.LIST_REMOVED, project=project_id, rows=removed)
    log.info("coupling list removed", project=project_id, rows=removed)
    return removed


async def find_project(connection: Connection, code: str) -> tuple[int, Project]:
    """A project and its id; a 404 problem when there is none."""
    rows = await connection.execute(select(_project).where(_project.c.code == code))
    row = rows.mappings().first()
    if row is None:
        raise not_found("project")
    return row["id"], Project.model_validate(dict(row))


async def _store(
    runtime: Runtime, project_id: int, verdict: Verdict, known: Known, master_key: MasterKey
) -> None:
    """Store what differs from the list as it is when the project's lock is had."""

    def sealed(key: Key) -> str:
        return master_key.encrypt(verdict.entries[key][0].encode())

    def differing(listed: dict[Key, Target]) -> list[Key]:
        return [key for key, (_, target) in verdict.entries.items() if listed.get(key) != target]

    # Encrypting takes longest, and nobody is to wait for the lock meanwhile.
    values = await asyncio.to_thread(lambda: {key: sealed(key) for key in differing(known.stored)})
    async with runtime.ledger.transaction() as connection:
        await lock_projects(connection, [project_id])
        entries = [
            Entry(key, values.get(key) or sealed(key), verdict.entries[key][1])
            for key in differing(await stored(connection, project_id))
        ]
        await store(connection, project_id, entries)
        await audit(connection, Action.LIST_UPLOADED, project=project_id, rows=len(entries))


async def _studies(
    runtime: Runtime,
    project_id: int,
    keys: Collection[Key],
    master_key: MasterKey,
    person: Person,
    *,
    taking: bool,
) -> StudiesReport:
    """Find the studies here that a list names, and take them if `taking`."""
    async with runtime.ledger.transaction() as connection:
        await wait_for_arrivals(connection)
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)
        wanted = await matching(connection, keys, master_key, seen)
    report = StudiesReport(matching=len(wanted))
    for start in range(0, len(wanted) if taking else 0, _STUDIES_AT_ONCE):
        batch = wanted[start : start + _STUDIES_AT_ONCE]
        async with runtime.ledger.transaction() as connection:
            answers = await take_listed(connection, project_id, batch, master_key)
        _count(report, answers)
        taken = [one.transfer_id for one in answers.values() if one.transfer_id is not None]
        if taken:
            await nudge_requested(runtime, taken)
    return report


def _count(report: StudiesReport, answers: dict[int, Answer]) -> None:
    for study_id, answer in answers.items():
        if answer.against:
            report.refused += 1
            if len(report.refusals) < _AT_MOST:
                reasons = [one.objection.in_words for one in answer.against]
                report.refusals.append(StudyRefusal(study_id=study_id, reasons=reasons))
        elif answer.transfer_id is not None:
            report.taken += 1
        else:
            report.already += 1


def _report(
    found: CouplingList, verdict: Verdict, studies: StudiesReport, *, storing: bool
) -> UploadReport:
    return UploadReport(
        stored=storing,
        form=found.form,
        rows=found.rows,
        new=verdict.new,
        changed=verdict.changed,
        unchanged=verdict.unchanged,
        wrong=len({one.row for one in verdict.wrong}),
        problems=_remarks(verdict.wrong),
        warnings=_remarks(verdict.warnings),
        remarks=verdict.remarks,
        studies=studies,
    )


def _remarks(complaints: Iterable[Complaint]) -> list[RowRemark]:
    return [RowRemark(**one._asdict()) for one in islice(complaints, _AT_MOST)]
