"""What the integration tests do again and again."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import pydicom
from pydicom import Dataset
from sqlalchemy import insert, select

from services.classifier.consumer import ReceivedConsumer
from services.classifier.labels import Classifier, hospital_rules
from shared.admission import Way
from shared.bus import Message, Outcome
from shared.clock import now
from shared.errors import Reason
from shared.events import Envelope, Event
from shared.identity import new_project_key
from shared.ledger import Connection
from shared.ledger.couplings import enter_participant
from shared.ledger.deliveries import move
from shared.ledger.states import DeliveryState, TransferState, Verification
from shared.ledger.tables import Delivery, Destination, Project, Transfer, core
from shared.runtime import Runtime
from shared.spool import Association


def part10(data_set: Dataset) -> bytes:
    """A data set as a file."""
    target = BytesIO()
    pydicom.dcmwrite(target, data_set, enforce_file_format=True)
    return target.getvalue()


def arrive(
    runtime: Runtime, files: Sequence[bytes | Dataset], *, called: str = "SLUSE",
    calling: str = "SCANNER", closed: bool = True,
) -> list[str]:  # fmt: skip
    """Put files into the inbox as the receiver does; their keys."""
    association_id = uuid.uuid4().hex
    moment = now()
    runtime.spool.write_association(
        association_id,
        Association(
            calling_aet=calling, called_aet=called, peer_address="127.0.0.1", opened_at=moment,
            closed_at=moment if closed else None, completed=closed,
        ),
    )  # fmt: skip
    keys = []
    for number, content in enumerate(files, start=1):
        keys.append(runtime.spool.inbox_key(association_id, number))
        with runtime.spool.writing(keys[-1]) as file:
            file.write(content if isinstance(content, bytes) else part10(content))
    return keys


def received_consumer(runtime: Runtime) -> ReceivedConsumer:
    """The classifier's consumer of what arrives."""
    master_key = runtime.settings.load_master_key(new=True)
    return ReceivedConsumer(
        runtime.settings, runtime.ledger, runtime.spool, master_key, Classifier(hospital_rules())
    )


async def request_transfer(
    connection: Connection, *, study_id: int, project_id: int, participant: str = "P_1",
    event: str = "", site: str = "", requested_by: Way = Way.REST,
) -> int | None:  # fmt: skip
    """Enter a transfer past the gate; None when the study is in the project already."""
    there = await connection.scalar(
        select(core(Transfer).c.id).where(
            core(Transfer).c.study_id == study_id, core(Transfer).c.project_id == project_id
        )
    )
    if there is not None:
        return None
    participant_id = await enter_participant(connection, project_id, participant)
    moment = now()
    transfer_id: int = await connection.scalar(
        insert(core(Transfer))
        .values(
            study_id=study_id, project_id=project_id, participant_id=participant_id, event=event,
            site=site, state=TransferState.REQUESTED, requested_by=requested_by,
            requested_at=moment, changed_at=moment,
        )
        .returning(core(Transfer).c.id)
    )  # fmt: skip
    return transfer_id


def message(event: Event, attempt: int = 0) -> Message:
    """An event as a consumer gets it."""
    envelope = Envelope.around(event, producer="tests", correlation_id="journey")
    return Message(envelope.model_copy(update={"attempt": attempt}), event)


async def handle(consumer: Any, *events: Event, attempt: int = 0) -> Outcome:
    """Let a consumer handle events; what it wants published."""
    outcome = Outcome(consumer.queue.service)
    await consumer.handle([message(event, attempt) for event in events], outcome)
    return outcome


async def make_project(runtime: Runtime, code: str = "BICAM", **columns: Any) -> int:
    """Enter a project; its id."""
    values = {
        "code": code, "title": "", "principal_investigator": "", "rek_number": "",
        "participant_pattern": ".*", "events": [], "sites": [], "date_shift_days": 5,
        "secret": (await runtime.load_master_key()).encrypt(new_project_key()), "state": "active",
        "created_at": now(),
    } | columns  # fmt: skip
    async with runtime.ledger.transaction() as connection:
        result = await connection.execute(
            insert(core(Project)).values(values).returning(core(Project).c.id)
        )
        return int(result.scalar_one())


async def make_destination(runtime: Runtime, port: int, ae_title: str = "RESEARCHPACS") -> int:
    """Enter a destination on this machine; its id."""
    async with runtime.ledger.transaction() as connection:
        result = await connection.execute(
            insert(core(Destination))
            .values(
                name=ae_title,
                ae_title=ae_title,
                host="127.0.0.1",
                port=port,
                created_at=now(),
                verification=Verification.NONE,
            )
            .returning(core(Destination).c.id)
        )
        return int(result.scalar_one())


async def rows(runtime: Runtime, model: Any, **where: Any) -> list[Any]:
    """Rows of a table, by id."""
    table = core(model)
    query = select(table).order_by(table.c.id)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    async with runtime.ledger.reading() as connection:
        return list(await connection.execute(query))


async def delivery_states(connection: Connection, transfer_id: int) -> list[str]:
    """The states of a transfer's deliveries."""
    table = core(Delivery)
    found = await connection.scalars(
        select(table.c.state).where(table.c.transfer_id == transfer_id).order_by(table.c.id)
    )
    return list(found)


async def end_deliveries(
    connection: Connection, state: DeliveryState, reason: Reason, detail: str = ""
) -> None:
    """Have every delivery end in `state`."""
    table = core(Delivery)
    found = await connection.execute(select(table.c.id, table.c.revision))
    await move(
        connection, state,
        [{"id": one.id, "revision": one.revision, "reason": reason, "detail": detail}
         for one in found],
        due_at=now(), step="tests",
    )  # fmt: skip


async def transfer_state(runtime: Runtime, transfer_id: int) -> str:
    """The state of a transfer."""
    (row,) = await rows(runtime, Transfer, id=transfer_id)
    return str(row.state)


async def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the coroutine function `condition` gives once it is true."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
        return found
