"""Looks into the files of an import and enters what is in them, some files at a time.

What was read stays read: after a crash it goes on with the next files.
"""

import asyncio
from collections.abc import Iterable

from sqlalchemy import func, insert, select, update

from services.api.imports.contents import Contents, File
from services.api.imports.looking import Found
from services.api.imports.patients import Identity, may_be
from services.api.imports.service import locked, move
from shared import telemetry
from shared.clock import now
from shared.importing import Kind, Why
from shared.ledger import Connection
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportFile, ImportItem, ImportStudy, core
from shared.ledger.writing import clip, insert_or
from shared.runtime import Runtime
from shared.staging import Staging

log = telemetry.logger("api")

_file, _item, _study = core(ImportFile), core(ImportItem), core(ImportStudy)
_MOST_FILES = 50  # read in one go
_MOST_BYTES = 256 << 20  # the same
_AT_ONCE = 500  # values in one query

Read = list[tuple[File, list[Found]]]


async def read(runtime: Runtime, found: Import) -> None:
    """Read an import to its end; the state is `review` then.

    Raises
    ------
    Retry
        The disk is full or broken, or the database is away.
    """
    assert found.id is not None
    staging = runtime.spool.staging(found.association_id)
    while files := await _next(runtime, found.id):
        contents = Contents(
            runtime.settings, runtime.spool, staging, await _unpacked(runtime, found.id)
        )
        try:
            looked = await asyncio.to_thread(_look, contents, files)
        except asyncio.CancelledError:
            contents.stop()  # a thread goes on otherwise, and the process with it
            raise
        async with runtime.ledger.transaction() as connection:
            if (await locked(connection, found.id)).state != ImportState.READING:
                return  # discarded meanwhile
            entered = await _enter(connection, found.id, looked)
        await asyncio.to_thread(_tidy, staging, entered)
    async with runtime.ledger.transaction() as connection:
        await move(connection, found.id, ImportState.REVIEW)
    log.info("import read", imported=found.id)


async def _next(runtime: Runtime, import_id: int) -> list[File]:
    async with runtime.ledger.reading() as connection:
        rows = await connection.execute(
            select(_file.c.id, _file.c.path, _file.c.size)
            .where(_file.c.import_id == import_id, _file.c.read_at.is_(None))
            .order_by(_file.c.id)
            .limit(_MOST_FILES)
        )
        files = [File(*row) for row in rows]
    size = 0
    for count, one in enumerate(files):
        size += one.size
        if size > _MOST_BYTES:
            return files[: max(1, count)]
    return files


async def _unpacked(runtime: Runtime, import_id: int) -> int:
    async with runtime.ledger.reading() as connection:
        return int(
            await connection.scalar(
                select(func.coalesce(func.sum(_item.c.size), 0)).where(
                    _item.c.import_id == import_id,
                    _item.c.member > 0,
                    _item.c.kind.in_([Kind.IMAGE, Kind.DUPLICATE]),
                )
            )
            or 0
        )


def _look(contents: Contents, files: list[File]) -> Read:
    return [(one, contents.of(one)) for one in files]


async def _enter(connection: Connection, import_id: int, looked: Read) -> Read:
    """Enter what was found. Equal contents count once: the answer has them as duplicates."""
    digests = {one.digest for _, found in looked for one in found if one.digest}
    there = await _known(connection, import_id, digests)
    entered = [(file, [_once(one, there) for one in found]) for file, found in looked]
    await _enter_items(connection, import_id, entered)
    await _enter_studies(
        connection,
        import_id,
        [one for _, found in entered for one in found if one.kind is Kind.IMAGE],
    )
    await connection.execute(
        update(_file).where(_file.c.id.in_([file.id for file, _ in looked])).values(read_at=now())
    )
    return entered


async def _known(connection: Connection, import_id: int, digests: set[str]) -> set[str]:
    wanted, found = sorted(digests), set()
    for start in range(0, len(wanted), _AT_ONCE):
        found |= set(
            await connection.scalars(
                select(_item.c.digest).where(
                    _item.c.import_id == import_id,
                    _item.c.digest.in_(wanted[start : start + _AT_ONCE]),
                )
            )
        )
    return found


def _once(one: Found, there: set[str]) -> Found:
    """The thing itself, or a duplicate of what is there; it is there afterwards."""
    if one.digest is None:
        return one
    if one.digest in there:
        return Found(one.path, Kind.DUPLICATE, Why.DUPLICATE, one.size, one.member, sop=one.sop)
    there.add(one.digest)
    return one


async def _enter_items(connection: Connection, import_id: int, entered: Read) -> None:
    rows = [
        {
            "import_id": import_id,
            "file_id": file.id,
            "member": one.member,
            "path": one.path,
            "kind": one.kind,
            "why": one.why or "",
            "size": one.size,
            "digest": one.digest,
            "study_instance_uid": one.study,
            "series_instance_uid": one.series,
            "sop_instance_uid": one.sop.replace("\0", ""),
            "modality": clip(_item, "modality", one.modality),
            "burned_in": one.burned_in,
        }
        for file, found in entered
        for one in found
    ]
    for start in range(0, len(rows), _AT_ONCE):
        await connection.execute(insert(_item), rows[start : start + _AT_ONCE])


async def _enter_studies(connection: Connection, import_id: int, images: Iterable[Found]) -> None:
    """Enter the studies of these images, with whose they are; note where images disagree."""
    by_study: dict[str, dict[Identity, Found]] = {}
    for one in images:
        by_study.setdefault(one.study, {}).setdefault(Identity.of(one.about), one)
    for uid, found in sorted(by_study.items()):
        first = next(iter(found.values()))
        statement = insert_or(connection, _study).values(
            import_id=import_id,
            study_instance_uid=uid,
            several_patients=False,
            objection="",
            **{name: clip(_study, name, value) for name, value in first.about.items()},
        )
        result = await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["import_id", "study_instance_uid"],
                set_={"study_instance_uid": uid},
            ).returning(_study.c.id, *(_study.c[name] for name in Identity._fields))
        )
        study_id, *known = result.one()
        if not all(may_be(Identity(*known), one) for one in found):
            await connection.execute(
                update(_study).where(_study.c.id == study_id).values(several_patients=True)
            )


def _tidy(staging: Staging, entered: Read) -> None:
    """Remove what no image is in: the ZIPs, which are unpacked, and all that is left out."""
    for file, found in entered:
        kept = {one.member for one in found if one.kind is Kind.IMAGE}
        for member in {0, *(one.member for one in found)} - kept:
            staging.drop(file.id, member)
