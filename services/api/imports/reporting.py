"""Counts what an import has, and puts it into words."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, func, select

from services.api.imports.schemas import FoundCounts, ImportRead, Outcome, Progress
from shared.admission import Objection
from shared.errors import Reason
from shared.importing import Kind
from shared.ledger import Connection
from shared.ledger.states import IMPORT_ENDED
from shared.ledger.tables import (
    Import,
    ImportFile,
    ImportItem,
    ImportStudy,
    Project,
    Quarantine,
    Study,
    core,
)

_import, _file, _item = core(Import), core(ImportFile), core(ImportItem)
_wish, _project, _study = core(ImportStudy), core(Project), core(Study)
_quarantine = core(Quarantine)
_image = _item.alias("image")

_NAMES = {
    Kind.IMAGE: "images",
    Kind.DUPLICATE: "duplicates",
    Kind.IGNORED: "ignored",
    Kind.LISTING: "listings",
    Kind.UNREADABLE: "unreadable",
    Kind.REFUSED: "refused",
}


def is_missing() -> ColumnElement[bool]:
    """Whether an item is named by a DICOMDIR, and no image of the import is it."""
    there = exists().where(
        _image.c.import_id == _item.c.import_id,
        _image.c.sop_instance_uid == _item.c.sop_instance_uid,
        _image.c.kind == Kind.IMAGE,
    )
    return (_item.c.kind == Kind.NAMED) & ~there


def select_imports() -> Select[Any]:
    """Imports with their projects' codes."""
    return select(_import, _project.c.code.label("project")).join_from(_import, _project)


async def read(connection: Connection, query: Select[Any]) -> list[ImportRead]:
    """The imports of a query made from `select_imports`."""
    rows = (await connection.execute(query)).mappings().all()
    ids = [row["id"] for row in rows]
    alive = [row["id"] for row in rows if row["state"] not in IMPORT_ENDED]
    counts = await _counts(connection, alive)
    outcomes = await _outcomes(connection, ids)
    quarantined = await _quarantined(connection, [row["association_id"] for row in rows])
    found = []
    for row in rows:
        counted = counts[row["id"]] if row["id"] in counts else row["counts"]
        found.append(
            ImportRead.model_validate(
                dict(row)
                | {
                    "reason": Reason(row["reason"]).in_words if row["reason"] else None,
                    "progress": Progress.model_validate(counted),
                    "found": FoundCounts.model_validate(counted),
                    "studies": outcomes[row["id"]],
                    "quarantined": quarantined.get(row["association_id"], 0),
                }
            )
        )
    return found


async def counts_of(connection: Connection, import_id: int) -> dict[str, int]:
    """What is kept of an import whose rows are going to be forgotten."""
    return (await _counts(connection, [import_id]))[import_id]


async def _counts(connection: Connection, ids: list[int]) -> dict[int, dict[str, int]]:
    """Files, bytes and findings of imports, by the names of `Progress` and `FoundCounts`."""
    found: dict[int, dict[str, int]] = {one: {} for one in ids}
    complete = _file.c.received == _file.c.size
    files = await connection.execute(
        select(
            _file.c.import_id,
            func.count().label("files"),
            func.sum(case((complete, 1), else_=0)).label("files_received"),
            func.count(_file.c.read_at).label("files_read"),
            func.sum(_file.c.size).label("bytes"),
            func.sum(_file.c.received).label("bytes_received"),
        )
        .where(_file.c.import_id.in_(ids))
        .group_by(_file.c.import_id)
    )
    for row in files.mappings():
        found[row["import_id"]] |= {name: int(row[name]) for name in row if name != "import_id"}
    items = await connection.execute(
        select(_item.c.import_id, _item.c.kind, func.count())
        .where(_item.c.import_id.in_(ids), _item.c.kind != Kind.NAMED)
        .group_by(_item.c.import_id, _item.c.kind)
    )
    for import_id, kind, count in items:
        found[import_id][_NAMES[Kind(kind)]] = count
    missing = await connection.execute(
        select(_item.c.import_id, func.count())
        .where(_item.c.import_id.in_(ids), is_missing())
        .group_by(_item.c.import_id)
    )
    for import_id, count in missing:
        found[import_id]["missing"] = count
    return found


async def _outcomes(connection: Connection, ids: list[int]) -> dict[int, list[Outcome]]:
    rows = await connection.execute(
        select(
            _wish.c.import_id,
            _wish.c.study_instance_uid,
            _study.c.id,
            _wish.c.transfer_id,
            _wish.c.objection,
        )
        .outerjoin(_study, _study.c.study_instance_uid == _wish.c.study_instance_uid)
        .where(_wish.c.import_id.in_(ids), _wish.c.accepted_at.is_not(None))
        .order_by(_wish.c.id)
    )
    found: dict[int, list[Outcome]] = defaultdict(list)
    for import_id, uid, study_id, transfer_id, objection in rows:
        found[import_id].append(
            Outcome(
                study_instance_uid=uid,
                study_id=study_id,
                transfer_id=transfer_id,
                refusal=Objection(objection).in_words if objection else None,
            )
        )
    return found


async def _quarantined(connection: Connection, associations: list[str]) -> dict[str, int]:
    rows = await connection.execute(
        select(_quarantine.c.association_id, func.count())
        .where(_quarantine.c.association_id.in_(associations))
        .group_by(_quarantine.c.association_id)
    )
    return {row[0]: row[1] for row in rows}
