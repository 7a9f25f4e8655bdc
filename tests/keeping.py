"""Systems with something of everything in them, for the tests of backup, doctor and keys."""

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert, select, update

from demo.phantoms import Maker
from shared.clock import now
from shared.events import InstanceReceived
from shared.identity import MasterKey
from shared.ledger import Connection, Ledger
from shared.ledger.couplings import Kind, Patient
from shared.ledger.deliveries import move
from shared.ledger.schema import migrate
from shared.ledger.starting import assign
from shared.ledger.states import DeliveryState
from shared.ledger.tables import (
    AnsweredPost,
    Coupling,
    CouplingEntry,
    Delivery,
    Instance,
    Preview,
    Throttle,
    Webhook,
    core,
)
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings
from tests.helpers import (
    arrive,
    handle,
    make_destination,
    make_project,
    part10,
    received_consumer,
    request_transfer,
)

PATIENT = Patient(id="17 05", name="Nordmann^Kari", birth_date="19700517", study_uid="1.2.3")
WEBHOOK, ANSWER, COMPARED, ACCESSION = b"shh", b"an answer", b"{}", "ACC 1"


@dataclass
class World:
    """What was made."""

    transfer: int
    keys: list[str]
    """Spool keys of the four originals."""
    deliveries: list[int]
    """Of them: forwarded, anonymized, assigned, assigned."""
    copies: list[str]
    """Spool keys of the first two's copies."""
    waiting: list[str]
    """What is in the inbox."""


async def fill(settings: Settings) -> World:
    """Make a system and stop it: four images in different states, one file waiting, all secrets."""
    settings.spool_path.parent.mkdir(parents=True, exist_ok=True)
    async with open_runtime(settings, "tests", migrating=True) as runtime:
        return await _fill(runtime)


async def _fill(runtime: Runtime) -> World:
    images = Maker(7, size=16).ct(4).instances
    keys = arrive(runtime, images)
    await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))
    destination = await make_destination(runtime, 9)
    project = await make_project(runtime, destination_id=destination)
    async with runtime.ledger.transaction() as connection:
        transfer = await request_transfer(connection, study_id=1, project_id=project)
        assert transfer is not None
        await assign(connection, [transfer], patience=60)
        ids = list(await connection.scalars(select(core(Delivery).c.id).order_by("id")))
        copies = [runtime.spool.released_key(transfer, "2.25.9", f"2.25.{n}", 1) for n in (1, 2)]
        for key, one in zip(copies, ids, strict=False):
            with runtime.spool.writing(key) as file:
                file.write(part10(images[0]))
            await to(connection, one, DeliveryState.ANONYMIZED, released_key=key)
        await to(connection, ids[0], DeliveryState.FORWARDED)
        found = list(await connection.scalars(select(core(Instance).c.spool_key).order_by("id")))
        await _secrets(connection, await runtime.load_master_key(), project, transfer)
    waiting = arrive(runtime, Maker(8, size=16).ct(1).instances)
    return World(transfer, found, ids, copies, waiting)


async def to(connection: Connection, delivery: int, state: DeliveryState, **values: Any) -> None:
    """Move a delivery."""
    row = {"id": delivery, "revision": 1, "since": None} | values
    assert await move(connection, state, [row], due_at=now(), step="tests")


async def _secrets(connection: Connection, key: MasterKey, project: int, transfer: int) -> None:
    await connection.execute(
        insert(core(Coupling)).values(
            project_id=project, participant_id=1, patient_key=PATIENT.index(key),
            original=key.encrypt(PATIENT.as_json()), created_at=now(),
        )
    )  # fmt: skip
    await connection.execute(
        insert(core(CouplingEntry)).values(
            project_id=project, kind=Kind.ACCESSION, participant="P_2", uploaded_at=now(),
            value_key=key.index(Kind.ACCESSION, ACCESSION), value=key.encrypt(ACCESSION.encode()),
        )
    )  # fmt: skip
    await connection.execute(
        insert(core(Webhook)).values(
            name="w", url="https://w.example/", events=[], secret=key.encrypt(WEBHOOK),
            created_at=now(),
        )
    )  # fmt: skip
    for number, body in enumerate((key.encrypt(ANSWER), "")):
        await connection.execute(
            insert(core(AnsweredPost)).values(
                who="kari", key_hash=str(number), fingerprint="", claim="", body=body,
                created_at=now(),
            )
        )  # fmt: skip
    await connection.execute(
        insert(core(Preview)).values(
            project_id=project, transfer_id=transfer, instance_id=1, asked_by="kari", profile="",
            result=key.encrypt(COMPARED), asked_at=now(), nudged_at=now(),
        )
    )  # fmt: skip
    await connection.execute(insert(core(Throttle)).values(key="k", failures=1, last_at=now()))


async def all_rows(settings: Settings, *models: Any) -> list[list[Any]]:
    """All rows of tables, in order."""
    ledger = Ledger(settings)
    try:
        async with ledger.reading() as connection:
            return [
                [
                    dict(row)
                    for row in (
                        await connection.execute(select(core(one)).order_by(core(one).c.id))
                    ).mappings()
                ]
                for one in models
            ]
    finally:
        await ledger.close()


async def change(settings: Settings, model: Any, row_id: int, **values: Any) -> None:
    """Change a row behind everybody's back."""
    ledger = Ledger(settings)
    try:
        async with ledger.transaction() as connection:
            await connection.execute(
                update(core(model)).where(core(model).c.id == row_id).values(values)
            )
    finally:
        await ledger.close()


async def empty(settings: Settings) -> None:
    """Make an empty database of the present schema."""
    ledger = Ledger(settings)
    try:
        await migrate(ledger)
    finally:
        await ledger.close()


def on(settings: Settings, url: str) -> Settings:
    """The same over another database."""
    return settings.model_copy(update={"database_url": SecretStr(url)})
