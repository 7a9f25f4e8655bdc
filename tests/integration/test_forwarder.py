"""The forwarder against Storage SCPs that take, refuse, are away or come back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, _config, evt
from sqlalchemy import insert, select, update
from structlog.testing import capture_logs

from demo.phantoms import Maker
from services.forwarder.consumer import AnonymizedConsumer
from services.forwarder.destinations import Destinations
from services.forwarder.dimse import DimseSender
from services.forwarder.outcome import Verdict
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.transcoding import Transcoder
from services.forwarder.work import Work, load
from shared.clock import now
from shared.dimse.requestor import Proposal
from shared.errors import Reason
from shared.events import InstanceAnonymized
from shared.ledger.states import TransferState
from shared.ledger.tables import (
    Association,
    Delivery,
    Destination,
    Instance,
    Participant,
    Project,
    Series,
    Study,
    Transfer,
    core,
)
from shared.runtime import Runtime
from tests.helpers import handle, make_destination, make_project, message, part10, rows
from tests.servers.common import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"


class Pacs:
    """A Storage SCP that answers as it is told."""

    def __init__(self) -> None:
        self.status = 0x0000
        self.got: list[str] = []
        self.associations = 0
        self.port = 0

    @contextmanager
    def listening(
        self, port: int = 0, contexts: list[tuple[str, list[str]]] | None = None,
        ae_title: str = "RESEARCHPACS",
    ) -> Iterator["Pacs"]:  # fmt: skip
        entity = AE(ae_title)
        entity.require_called_aet = True
        for sop_class, syntaxes in contexts or [(CT, [ExplicitVRLittleEndian])]:
            entity.add_supported_context(sop_class, syntaxes)
        server = entity.start_server(
            ("127.0.0.1", port), block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_ESTABLISHED, self._count)],
        )  # fmt: skip
        self.port = server.server_address[1]
        try:
            yield self
        finally:
            entity.shutdown()

    def _store(self, event: Any) -> int:
        self.got.append(str(event.request.AffectedSOPInstanceUID))
        return self.status

    def _count(self, event: Any) -> None:
        self.associations += 1


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> Pacs:
    # The receiver's tests, in the same process, let every storage class in.
    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", False)
    return Pacs()


@pytest.fixture
def transcoder(runtime: Runtime) -> Iterator[Transcoder]:
    found = Transcoder(runtime.settings)
    yield found
    found.close()


@pytest.fixture
async def destinations(runtime: Runtime) -> AsyncIterator[Destinations]:
    found = Destinations(runtime.settings)
    yield found
    await asyncio.to_thread(found.close)


@pytest.fixture
def consumer(runtime: Runtime, destinations: Destinations) -> AnonymizedConsumer:
    return AnonymizedConsumer(runtime.settings, runtime.ledger, runtime.spool, destinations)


async def anonymized(
    runtime: Runtime, port: int | None, count: int = 2, syntax: str = ExplicitVRLittleEndian
) -> InstanceAnonymized:
    """De-identified copies in the spool and in the ledger; the event that says so."""
    destination = await make_destination(runtime, port) if port is not None else None
    project = await make_project(runtime, destination_id=destination)
    images = Maker(1, size=16).ct(count).instances
    moment = now()
    async with runtime.ledger.transaction() as connection:

        async def enter(model: Any, **values: Any) -> int:
            table = core(model)
            row = await connection.execute(insert(table).values(values).returning(table.c.id))
            return row.scalar_one()  # type: ignore[no-any-return]

        await enter(
            Association, id="a" * 32, calling_aet="", called_aet="", peer_address="",
            opened_at=moment, completed=True,
        )  # fmt: skip
        study = await enter(
            Study, study_instance_uid="1.2", patient_id="", patient_name="", patient_birth_date="",
            patient_sex="", accession_number="", study_date="", study_description="",
            routing_note="", first_received_at=moment, last_received_at=moment,
        )  # fmt: skip
        series = await enter(
            Series, study_id=study, series_instance_uid="1.3", modality="", series_number="",
            series_description="", facts={}, first_received_at=moment,
        )  # fmt: skip
        participant = await enter(
            Participant, project_id=project, pseudonym="P_1", created_at=moment
        )
        transfer = await enter(
            Transfer, study_id=study, project_id=project, participant_id=participant, event="",
            site="", state="running", requested_by="rest", requested_at=moment, changed_at=moment,
        )  # fmt: skip
        deliveries = []
        for image in images:
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            raw = part10(image)
            if syntax != ExplicitVRLittleEndian:  # the same length, so that the file stays whole
                old = ExplicitVRLittleEndian.encode() + b"\0"
                raw = raw.replace(
                    old + b"\2\0\x12\0", syntax.encode().ljust(20, b"\0") + b"\2\0\x12\0"
                )
            key = runtime.spool.released_key(transfer, "2.25.1", image.SOPInstanceUID, 1)
            with runtime.spool.writing(key) as file:
                file.write(raw)
            instance = await enter(
                Instance, series_id=series, sop_instance_uid=image.SOPInstanceUID,
                sop_class_uid=CT, transfer_syntax_uid=str(syntax), spool_key=key, size=1, digest="",
                revision=1, association_id="a" * 32, received_at=moment,
            )  # fmt: skip
            deliveries.append(
                await enter(
                    Delivery,
                    transfer_id=transfer,
                    instance_id=instance,
                    series_id=series,
                    revision=1,
                    state="anonymized",
                    released_key=key,
                    released_sop_uid=image.SOPInstanceUID,
                    attempts=0,
                    detail="",
                    due_at=moment,
                    nudges=0,
                    changed_at=moment,
                )
            )
    return InstanceAnonymized(
        transfer_id=transfer, series_id=series, delivery_ids=tuple(deliveries)
    )


async def state_of(runtime: Runtime) -> tuple[set[str], str]:
    deliveries = await rows(runtime, Delivery)
    (transfer,) = await rows(runtime, Transfer)
    return {d.state for d in deliveries}, transfer.state


async def test_images_are_delivered_over_one_association(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening():
        event = await anonymized(runtime, pacs.port, 3)
        first = event.model_copy(update={"delivery_ids": event.delivery_ids[:2]})
        rest = event.model_copy(update={"delivery_ids": event.delivery_ids[2:]})
        outcome = await handle(consumer, first)
        assert await state_of(runtime) == ({"forwarded", "anonymized"}, TransferState.RUNNING)
        outcome = await handle(consumer, rest)
        assert [e.type for e in outcome.published] == ["instance.forwarded"]
    assert await state_of(runtime) == ({"forwarded"}, TransferState.COMPLETE)
    assert len(pacs.got) == 3 and pacs.associations == 1


async def test_a_repeated_message_sends_nothing_again(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening():
        event = await anonymized(runtime, pacs.port)
        await handle(consumer, event)
        outcome = await handle(consumer, event)
    assert outcome.published == [] and len(pacs.got) == 2


async def test_an_absent_pacs_makes_images_wait_until_it_comes(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    port = free_port()
    event = await anonymized(runtime, port)
    outcome = await handle(consumer, event)
    assert len(outcome.retried) == 2
    deliveries = await rows(runtime, Delivery)
    assert {(d.state, d.reason, d.attempts) for d in deliveries} == {
        ("anonymized", Reason.DESTINATION_AWAY, 1)
    }
    with pacs.listening(port):
        await handle(consumer, event, attempt=1)
    assert await state_of(runtime) == ({"forwarded"}, TransferState.COMPLETE)
    assert {d.reason for d in await rows(runtime, Delivery)} == {None}


async def test_a_pacs_that_rejects_the_association_makes_images_wait(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening(ae_title="OTHER"):
        await handle(consumer, await anonymized(runtime, pacs.port))
    details = {d.detail for d in await rows(runtime, Delivery)}
    assert details == {"association rejected: Called AE title not recognised"}


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (0xA700, "anonymized", Reason.DESTINATION_BUSY),
        (0xA900, "failed", Reason.DESTINATION_REFUSED),
        (0xC000, "failed", Reason.DESTINATION_REFUSED),
        (0x0122, "failed", Reason.SYNTAX_REFUSED),
        (0xB000, "forwarded", None),
    ],
)
async def test_every_status_has_its_consequence(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs, status: int, state: str,
    reason: Reason | None,
) -> None:  # fmt: skip
    pacs.status = status
    with pacs.listening():
        await handle(consumer, await anonymized(runtime, pacs.port))
    deliveries = await rows(runtime, Delivery)
    assert {(d.state, d.reason) for d in deliveries} == {(state, reason)}
    assert all(d.detail.startswith(f"{status:04X}") for d in deliveries)
    (transfer,) = await rows(runtime, Transfer)
    assert transfer.state == {
        "failed": TransferState.ATTENTION, "forwarded": TransferState.COMPLETE,
        "anonymized": TransferState.RUNNING,
    }[state]  # fmt: skip


async def test_what_the_pacs_takes_in_no_form_fails_with_a_reason(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    with pacs.listening(contexts=[(mr, [ImplicitVRLittleEndian])]), capture_logs() as logs:
        await handle(consumer, await anonymized(runtime, pacs.port))
    deliveries = await rows(runtime, Delivery)
    assert {(d.state, d.reason, d.detail) for d in deliveries} == {
        ("failed", Reason.SYNTAX_REFUSED, "CT Image Storage in Explicit VR Little Endian")
    }
    assert pacs.got == []
    (warning,) = [entry for entry in logs if entry["event"] == "not delivered"]
    assert (warning["destination"], warning["images"]) == (1, len(deliveries))


async def test_where_its_syntax_is_refused_an_image_goes_in_another(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening(contexts=[(CT, [ImplicitVRLittleEndian])]):
        await handle(consumer, await anonymized(runtime, pacs.port))
    assert await state_of(runtime) == ({"forwarded"}, TransferState.COMPLETE)
    assert len(pacs.got) == 2
    assert list((runtime.settings.spool_path / "tmp").iterdir()) == []


async def test_a_copy_that_is_damaged_fails_and_its_neighbours_are_sent(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening():
        event = await anonymized(runtime, pacs.port)
        first, *others = await rows(runtime, Delivery)
        runtime.spool.path(first.released_key).write_bytes(bytes(200))
        await handle(consumer, event)
    found = {d.id: (d.state, d.reason) for d in await rows(runtime, Delivery)}
    assert found.pop(first.id) == ("failed", Reason.UNREADABLE)
    assert set(found.values()) == {("forwarded", None)} and len(found) == len(others)


async def test_a_project_without_destination_says_so(
    runtime: Runtime, consumer: AnonymizedConsumer
) -> None:
    outcome = await handle(consumer, await anonymized(runtime, None))
    assert [e.type for e in outcome.published] == ["instance.failed"]
    assert {d.reason for d in await rows(runtime, Delivery)} == {Reason.NO_DESTINATION}


async def test_a_copy_that_is_gone_is_made_again(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    with pacs.listening():
        event = await anonymized(runtime, pacs.port)
        runtime.spool.discard([(await rows(runtime, Delivery))[0].released_key])
        await handle(consumer, event)
    assert [d.state for d in await rows(runtime, Delivery)] == ["assigned", "forwarded"]
    (transfer,) = await rows(runtime, Transfer)
    assert transfer.state == TransferState.RUNNING


async def test_a_changed_destination_counts_at_once(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    event = await anonymized(runtime, free_port())
    await handle(consumer, event)
    with pacs.listening():
        other = await make_destination(runtime, pacs.port, "RESEARCHPACS2")
        async with runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Project)).values(destination_id=other))
    with pacs.listening(pacs.port, ae_title="RESEARCHPACS2"):
        await handle(consumer, event)
    assert (await state_of(runtime))[0] == {"forwarded"}


async def test_outside_a_destinations_hours_images_wait(
    runtime: Runtime, consumer: AnonymizedConsumer, pacs: Pacs
) -> None:
    hour = now().astimezone().hour
    closed = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
    with pacs.listening():
        event = await anonymized(runtime, pacs.port)
        async with runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Destination)).values(hours=closed))
        outcome = await handle(consumer, event)
        assert len(outcome.retried) == 2 and pacs.associations == 0
        (waiting, *_) = await rows(runtime, Delivery)
        assert (waiting.state, waiting.reason) == ("anonymized", Reason.DESTINATION_CLOSED)
        # The bus tries after a minute or so; at the hour itself the reconciler does.
        assert waiting.due_at <= now() + timedelta(hours=2)
        async with runtime.ledger.transaction() as connection:
            await connection.execute(update(core(Destination)).values(hours=""))
        await handle(consumer, event)
    assert (await state_of(runtime))[0] == {"forwarded"}


async def test_series_go_side_by_side_and_each_in_its_order(
    destinations: Destinations, pacs: Pacs, tmp_path: Path
) -> None:
    some = _parcels(tmp_path, [(CT, str(ExplicitVRLittleEndian))] * 12)
    with pacs.listening():
        peer = Peer(1, "RESEARCHPACS", "127.0.0.1", pacs.port, associations=2)
        work = [Work(one, peer, 1, now(), 1, number % 2) for number, one in enumerate(some)]
        answered = await destinations.send(work)
        assert {answer.verdict for _, answer in answered} == {Verdict.DONE}
        assert pacs.associations == 2
        for series in (0, 1):
            sent = [one.sop_instance_uid for one in some[series::2]]
            assert [uid for uid in pacs.got if uid in sent] == sent
        # A destination that somebody has changed gets associations of its own.
        slower = replace(peer, associations=1, images_per_second=20)
        began = time.monotonic()
        await destinations.send([Work(one, slower, 1, now(), 1, 0) for one in some[:5]])
        assert time.monotonic() - began >= 0.2
        assert list(destinations._lines) == [slower]


async def test_copies_go_study_by_study_in_the_order_of_their_series(runtime: Runtime) -> None:
    event = await anonymized(runtime, None, 3)
    first, second, third = event.delivery_ids
    async with runtime.ledger.transaction() as connection:
        (series,) = (await connection.execute(select(core(Series)))).mappings().all()
        for number in ("10", "2"):
            made = dict(series) | {"id": int(number), "series_number": number,
                                   "series_instance_uid": f"1.2.{number}"}  # fmt: skip
            await connection.execute(insert(core(Series)).values(**made))
        for delivery, series_id in ((first, 10), (third, 2)):
            await connection.execute(
                update(core(Delivery)).where(core(Delivery).c.id == delivery)
                .values(series_id=series_id)
            )  # fmt: skip
        work = await load(connection, event.delivery_ids, runtime.spool)
    assert [one.id for one in work if one.id != second] == [third, first]


async def test_given_up_images_have_failed(runtime: Runtime, consumer: AnonymizedConsumer) -> None:
    event = await anonymized(runtime, free_port())
    await consumer.give_up(message(event), Reason.GAVE_UP)
    assert await state_of(runtime) == ({"failed"}, TransferState.ATTENTION)


def _parcels(folder: Path, kinds: list[tuple[str, str]]) -> list[Parcel]:
    found = []
    for number, (sop_class, syntax) in enumerate(kinds, start=1):
        image = Maker(number, size=16).ct(1).instances[0]
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
        path = folder / f"{number}.dcm"
        if syntax == JPEGBaseline8Bit:
            del image.PixelData  # nobody looks
        image.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path, image, implicit_vr=False, little_endian=True, enforce_file_format=True
        )
        found.append(Parcel(number, path, sop_class, image.SOPInstanceUID, syntax))
    return found


def test_one_association_serves_several_kinds(
    runtime: Runtime, pacs: Pacs, tmp_path: Path, transcoder: Transcoder
) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    kinds = [(CT, ExplicitVRLittleEndian), (CT, JPEGBaseline8Bit), (mr, ExplicitVRLittleEndian)]
    contexts = [(CT, [ExplicitVRLittleEndian, JPEGBaseline8Bit]), (mr, [ExplicitVRLittleEndian])]
    with pacs.listening(contexts=contexts):
        sender = DimseSender(
            runtime.settings, Peer(1, "RESEARCHPACS", "127.0.0.1", pacs.port), transcoder
        )
        answers = sender.send(_parcels(tmp_path, [(k, str(s)) for k, s in kinds]))
        sender.release()
    assert {a.verdict for a in answers.values()} == {Verdict.DONE}
    assert pacs.associations == 1


def test_more_kinds_than_an_association_holds_take_several(
    runtime: Runtime, pacs: Pacs, tmp_path: Path, transcoder: Transcoder
) -> None:
    kinds = [(f"1.2.840.10008.5.1.4.1.1.999.{n}", str(ExplicitVRLittleEndian)) for n in range(140)]
    parcels = _parcels(tmp_path, [(CT, str(ExplicitVRLittleEndian))])
    contexts = [(kind, [ExplicitVRLittleEndian]) for kind, _ in kinds]
    with pacs.listening(contexts=[*contexts, (CT, [ExplicitVRLittleEndian])]):
        sender = DimseSender(
            runtime.settings, Peer(1, "RESEARCHPACS", "127.0.0.1", pacs.port), transcoder
        )
        sender._proposed = {Proposal(kind, (syntax,)) for kind, syntax in kinds}
        answers = sender.send(parcels)
        sender.release()
    assert [a.verdict for a in answers.values()] == [Verdict.DONE]


def test_idle_associations_are_released(
    runtime: Runtime, pacs: Pacs, tmp_path: Path, transcoder: Transcoder
) -> None:
    with pacs.listening():
        sender = DimseSender(
            runtime.settings, Peer(1, "RESEARCHPACS", "127.0.0.1", pacs.port), transcoder
        )
        sender.send(_parcels(tmp_path, [(CT, str(ExplicitVRLittleEndian))]))
        sender.release_if_idle()
        assert sender._association is not None
        sender._used_at -= 10
        sender.release_if_idle()
        assert sender._association is None
