"""Whether what Sluse stands on is there and fits: key, database, broker, disk, destinations."""

import asyncio
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select, text

from services.keeping.findings import Level, Said, some
from services.keeping.kept import is_kept
from shared.bus import open_bus
from shared.clock import now
from shared.errors import Retry, StartError
from shared.identity import MasterKey, MasterKeyError
from shared.inventory import Inventory
from shared.ledger import Connection, Ledger
from shared.ledger.schema import require_current
from shared.ledger.sealing import fits, sample, unreadable
from shared.ledger.states import ProjectState, Protocol
from shared.ledger.tables import Destination, Project, core
from shared.settings import Settings
from shared.spool import Spool

_PATIENCE = 5.0  # seconds for anybody to answer
_SKEW, _BAD_SKEW = 2.0, 60.0  # seconds that two clocks may differ
_ROOM, _PART = 10 << 30, 0.1  # bytes that should be free, and which part of the disk
_FILES = (
    "classification_rules", "dicom_tls_certificate", "dicom_tls_key", "dicom_tls_client_ca",
    "pacs_tls_ca", "pacs_tls_certificate", "pacs_tls_key", "pacs_credentials", "webhook_ca",
    "ldap_ca", "oidc_ca",
)  # fmt: skip


def files_of_settings(settings: Settings) -> Said:
    """Whether the files that settings name can be read."""
    named = {one: getattr(settings, one, None) for one in _FILES}
    bad = [f"SLUSE_{one.upper()}" for one, path in named.items() if path and not _readable(path)]
    if bad:
        return Said(
            "settings", Level.WRONG, f"what {', '.join(bad)} names can't be read",
            "put the files there, readable for the user that Sluse runs as",
        )  # fmt: skip
    return Said("settings", Level.OK, "they can be used, and every file that they name is there")


def _readable(path: Path) -> bool:
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except OSError:
        return False
    return True


async def schema(ledger: Ledger) -> Said:
    """Whether the database answers, and has the schema of this version."""
    try:
        await require_current(ledger)
    except StartError as error:
        return Said("database", Level.WRONG, str(error), "run `sluse migrate`")
    except (Retry, OSError) as error:
        return Said(
            "database", Level.WRONG, f"it does not answer ({type(error).__name__})",
            "see to it that it runs, and that SLUSE_DATABASE_URL names it",
        )  # fmt: skip
    return Said("database", Level.OK, "it answers, with the schema of this version")


async def master_key(connection: Connection, settings: Settings, *, every: bool) -> list[Said]:
    """Whether the key is there, fits, is nobody else's to read, and is kept somewhere."""
    try:
        key = settings.load_master_key()
    except MasterKeyError as error:
        if settings.makes_master_key and await sample(connection) is None:
            return [Said("master key", Level.NOTE, "there is none yet; the first start makes one")]
        return [Said("master key", Level.WRONG, str(error), "see docs/operations.md")]
    if not await fits(connection, key):
        interrupted = settings.next_master_key_file.exists()
        return [
            Said(
                "master key", Level.WRONG, "it does not open what the database holds",
                "a change of it was interrupted: run `sluse rotate-master-key` again" if interrupted
                else "put the right one back from where you keep it",
            )
        ]  # fmt: skip
    found = list(_about_the_file(settings))
    if every and (bad := await unreadable(connection, key)):
        places = ", ".join(f"{number} of {table}" for table, number in sorted(bad.items()))
        found.append(
            Said("master key", Level.WRONG, f"these secrets are under another key: {places}",
                 "restore a backup, or enter them anew")
        )  # fmt: skip
    found.append(await _kept(connection, key))
    return found


def _about_the_file(settings: Settings) -> Iterator[Said]:
    if settings.master_key is not None:
        yield Said("master key", Level.OK, "it comes from the environment, and fits")
        return
    path = settings.master_key_file
    yield Said("master key", Level.OK, "it is in its file, and fits")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Said(
            "master key", Level.WARNING, "others on this machine may read its file",
            f"chmod 600 {path}",
        )  # fmt: skip
    if earlier := sorted(one.name for one in path.parent.glob(f"{path.name}.old-*")):
        yield Said(
            "master key", Level.WARNING, f"earlier keys lie beside it: {some(earlier)}",
            "move them to where you keep keys: backups from before the change need them",
        )  # fmt: skip


async def _kept(connection: Connection, key: MasterKey) -> Said:
    if await is_kept(connection, key):
        return Said("master key", Level.OK, "a copy of it is kept, as somebody has said")
    return Said(
        "master key", Level.WARNING,
        "nobody has said that a copy of it is kept; if it is lost, nobody can ever again say who a "
        "participant is, or add to what was delivered",
        "copy it to a safe place, apart from the backups, and say so with `sluse key-is-kept`; or "
        "use `sluse backup --with-key`",
    )  # fmt: skip


async def broker(settings: Settings) -> Said:
    """Whether RabbitMQ lets Sluse in."""
    if settings.bus_url.get_secret_value().startswith("memory:"):
        return Said("broker", Level.OK, "none is needed: the services run in one process")
    try:
        async with asyncio.timeout(2 * _PATIENCE), open_bus(settings, "doctor") as bus:
            from shared.bus import QUEUES

            while True:
                try:
                    waiting = sum([await bus.depth(queue) for queue in QUEUES])
                except Retry:
                    await asyncio.sleep(0.2)
                else:
                    return Said("broker", Level.OK, f"it answers; {waiting} messages wait")
    except (TimeoutError, OSError):
        return Said(
            "broker", Level.WRONG, "it does not answer, or does not let Sluse in",
            "see to it that it runs, and that SLUSE_BUS_URL has the right user and password; "
            "nothing is lost meanwhile",
        )  # fmt: skip


def disk(settings: Settings) -> list[Said]:
    """Whether the spool can be written, has room, and is nobody else's to read."""
    spool = Spool(settings.spool_path)
    try:
        spool.prepare()
    except StartError as error:
        return [
            Said("spool", Level.WRONG, str(error),
                 "give the user that Sluse runs as the right to write there")
        ]  # fmt: skip
    usage = shutil.disk_usage(settings.spool_path)
    free = f"{usage.free / (1 << 30):.1f} GiB are free"
    found = [Said("spool", Level.OK, f"it can be written; {free}")]
    if usage.free < min(_ROOM, _PART * usage.total):
        found = [
            Said("spool", Level.WARNING, f"it can be written, but only {free}",
                 "make room: without any, senders are told to wait")
        ]  # fmt: skip
    if spool.inventory().open_to_others():
        found.append(
            Said("spool", Level.WARNING, "everybody on this machine may look into it",
                 f"chmod o-rwx {settings.spool_path}")
        )  # fmt: skip
    if strangers := spool.inventory().strangers():
        found.append(
            Said("spool", Level.NOTE, f"{strangers} files in it are none of Sluse's",
                 "remove them; Sluse leaves them alone")
        )  # fmt: skip
    return found


def ports(settings: Settings) -> list[Said]:
    """Whether somebody listens; where other machines run the services, nobody does here."""
    found = []
    for what, host, port in (
        ("DICOM", settings.dicom_host, settings.dicom_port),
        ("HTTP", settings.http_host, settings.http_port),
    ):
        here = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
        if port and _answers(here, port):
            found.append(Said("ports", Level.OK, f"{what}: somebody listens on port {port}"))
        elif port:
            found.append(
                Said("ports", Level.NOTE, f"{what}: nobody listens on port {port} of this machine",
                     "start Sluse, if it should be running here")
            )  # fmt: skip
    return found


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _PATIENCE).close()
    except OSError:
        return False
    return True


async def destinations(connection: Connection) -> list[Said]:
    """Whether active projects have destinations, and these can be reached."""
    project, destination = core(Project), core(Destination)
    lacking = await connection.scalars(
        select(project.c.code)
        .where(project.c.state == ProjectState.ACTIVE, project.c.destination_id.is_(None))
        .order_by(project.c.code)
    )
    found = []
    if codes := lacking.all():
        found.append(
            Said("destinations", Level.WARNING, f"these projects have none: {some(codes)}",
                 "choose one for each on its page: until then its images fail")
        )  # fmt: skip
    rows = await connection.execute(select(destination).order_by(destination.c.id))
    for row in rows.all():
        if row.protocol != Protocol.DIMSE or not row.host or not row.port:
            continue
        if not await asyncio.to_thread(_answers, row.host, row.port):
            found.append(
                Said("destinations", Level.WARNING,
                     f"destination {row.id} ({row.name}) does not answer on its port",
                     "ask its administrator; Sluse tries again by itself")
            )  # fmt: skip
    return found or [Said("destinations", Level.OK, "every active project has one, all answer")]


async def clock(connection: Connection, spool: Inventory, *, is_postgres: bool) -> Said:
    """Whether this machine, the database's and the spool's agree on the time."""
    differences = {}
    if is_postgres:
        theirs = await connection.scalar(text("SELECT clock_timestamp()"))
        differences["the database server"] = abs((theirs - now()).total_seconds())
    differences["the spool's disk"] = abs(await asyncio.to_thread(spool.clock) - time.time())
    who, most = max(differences.items(), key=lambda one: one[1])
    if most <= _SKEW:
        return Said("clock", Level.OK, "all clocks agree")
    level = Level.WRONG if most > _BAD_SKEW else Level.WARNING
    return Said(
        "clock", level, f"this machine and {who} differ by {most:.0f} s",
        "have all machines set their clocks by the same time server",
    )  # fmt: skip
