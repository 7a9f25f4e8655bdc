"""The anonymizer: ledger in, real processes, ledger out, on both databases."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo.phantoms import Maker
from services.anonymizer.consumer import AssignedConsumer
from services.anonymizer.jobs import Done, Job
from services.anonymizer.pool import Pool
from services.classifier.consumer import TransferConsumer
from shared.admission import Way
from shared.errors import Reason
from shared.events import (
    InstanceAnonymized,
    InstanceAssigned,
    InstanceHeld,
    InstanceReceived,
    TransferRequested,
)
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import Delivery, Finding, Instance, Project, Release, Transfer, core
from shared.runtime import Runtime
from shared.settings import Settings
from tests.corpus import read
from tests.helpers import (
    arrive,
    handle,
    make_project,
    message,
    part10,
    received_consumer,
    request_transfer,
    rows,
    transfer_state,
)


@pytest.fixture
async def pool(any_runtime: Runtime) -> AsyncIterator[Pool]:
    running = Pool(any_runtime.settings.model_copy(update={"workers": 1}))
    yield running
    running.close()


@pytest.fixture
async def consumer(any_runtime: Runtime, pool: Pool) -> AssignedConsumer:
    key = await any_runtime.load_master_key()
    return AssignedConsumer(any_runtime.settings, any_runtime.ledger, key, pool)


async def assigned(runtime: Runtime, slices: int = 3) -> InstanceAssigned:
    """A study in the ledger and assigned to a project; the event that says so."""
    keys = arrive(runtime, Maker(1, size=16).ct(slices).instances)
    received = received_consumer(runtime)
    await handle(received, InstanceReceived(keys=tuple(keys)))
    project = await make_project(runtime)
    async with runtime.ledger.transaction() as connection:
        transfer = await request_transfer(
            connection, study_id=1, project_id=project, participant="P_1", event="", site="",
            requested_by=Way.REST,
        )  # fmt: skip
    assert transfer is not None
    requested = TransferConsumer(runtime.settings, runtime.ledger)
    (envelope,) = (await handle(requested, TransferRequested(transfer_id=transfer))).published
    event = envelope.event()
    assert isinstance(event, InstanceAssigned)
    return event


async def test_copies_are_written_and_announced(
    any_runtime: Runtime, consumer: AssignedConsumer
) -> None:
    event = await assigned(any_runtime)
    outcome = await handle(consumer, event)
    (announced,) = [e.event() for e in outcome.published]
    assert announced == InstanceAnonymized(**event.model_dump())
    deliveries = await rows(any_runtime, Delivery)
    assert {d.state for d in deliveries} == {DeliveryState.ANONYMIZED}
    for delivery in deliveries:
        copy = read(any_runtime.spool.path(delivery.released_key))
        assert copy.SOPInstanceUID == delivery.released_sop_uid
        assert copy.PatientID == "P_1"
    (release,) = await rows(any_runtime, Release)
    assert release.released_study_uid == copy.StudyInstanceUID


async def test_a_projects_own_profile_is_followed(
    any_runtime: Runtime, consumer: AssignedConsumer
) -> None:
    event = await assigned(any_runtime, 1)
    rule = {"element": "SeriesDescription", "action": "remove"}
    profile = json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": [rule]})
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(core(Project).update().values(profile=profile))
    await handle(consumer, event)
    (delivery,) = await rows(any_runtime, Delivery)
    copy = read(any_runtime.spool.path(delivery.released_key))
    assert "SeriesDescription" not in copy and "StudyDescription" in copy


async def test_a_repeated_message_announces_again_and_works_no_more(
    any_runtime: Runtime, consumer: AssignedConsumer
) -> None:
    event = await assigned(any_runtime)
    await handle(consumer, event)
    before = {d.released_key: any_runtime.spool.path(d.released_key).stat().st_mtime_ns
              for d in await rows(any_runtime, Delivery)}  # fmt: skip
    outcome = await handle(consumer, event, event)
    assert {e.type for e in outcome.published} == {"instance.anonymized"}
    after = {key: any_runtime.spool.path(key).stat().st_mtime_ns for key in before}
    assert after == before


async def test_what_can_not_be_deidentified_is_held_alone(
    any_runtime: Runtime, consumer: AssignedConsumer
) -> None:
    event = await assigned(any_runtime)
    bad = (await rows(any_runtime, Instance))[1]
    document = Maker(1, size=16).ct(1).instances[0]
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    any_runtime.spool.path(bad.spool_key).write_bytes(part10(document))
    outcome = await handle(consumer, event)
    events = [e.event() for e in outcome.published]
    assert [type(e) for e in events] == [InstanceAnonymized, InstanceHeld]
    states = [d.state for d in await rows(any_runtime, Delivery)]
    assert states == [DeliveryState.ANONYMIZED, DeliveryState.HELD, DeliveryState.ANONYMIZED]
    (finding,) = await rows(any_runtime, Finding)
    assert finding.reason == Reason.NOT_DEIDENTIFIABLE
    assert finding.evidence == {
        "detail": "an encapsulated document: the project does not permit it"
    }
    held = (await rows(any_runtime, Delivery))[1]
    assert not list(any_runtime.settings.spool_path.glob(f"released/*/*/{held.released_sop_uid}*"))


async def test_a_missing_original_waits_and_is_held_in_the_end(
    any_runtime: Runtime, consumer: AssignedConsumer
) -> None:
    event = await assigned(any_runtime, 1)
    (instance,) = await rows(any_runtime, Instance)
    any_runtime.spool.path(instance.spool_key).unlink()
    outcome = await handle(consumer, event)
    assert [e.event() for e in outcome.retried] == [event]
    (delivery,) = await rows(any_runtime, Delivery)
    assert (delivery.state, delivery.reason) == ("assigned", Reason.SPOOL_FILE_MISSING)
    assert delivery.attempts == 1
    last = any_runtime.settings.max_attempts - 1
    outcome = await handle(consumer, event, attempt=last)
    assert outcome.retried == []
    (delivery,) = await rows(any_runtime, Delivery)
    assert delivery.state == DeliveryState.HELD
    assert await transfer_state(any_runtime, event.transfer_id) == TransferState.ATTENTION


async def test_a_full_disk_waits_and_leaves_nothing_half_done(
    any_runtime: Runtime, consumer: AssignedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await assigned(any_runtime, 2)

    async def full(jobs: list[Job]) -> list[Done]:
        return [Done(job.delivery_id, waits=Reason.DISK_FULL) for job in jobs]

    monkeypatch.setattr(consumer._pool, "do", full)
    outcome = await handle(consumer, event)
    assert len(outcome.retried) == 2
    monkeypatch.undo()
    await handle(consumer, event)
    deliveries = await rows(any_runtime, Delivery)
    assert {(d.state, d.reason, d.attempts) for d in deliveries} == {("anonymized", None, 0)}


async def test_the_result_of_an_old_revision_is_ignored(
    any_runtime: Runtime, consumer: AssignedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await assigned(any_runtime, 1)
    real = consumer._pool.do

    async def overtaken(jobs: list[Job]) -> list[Done]:
        done = await real(jobs)
        changed = Maker(1, size=16).ct(1).instances[0]
        changed.SeriesDescription = "changed"
        received = received_consumer(any_runtime)
        await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, [changed]))))
        return done

    monkeypatch.setattr(consumer._pool, "do", overtaken)
    await handle(consumer, event)
    (delivery,) = await rows(any_runtime, Delivery)
    assert (delivery.state, delivery.revision) == (DeliveryState.ASSIGNED, 2)
    monkeypatch.undo()
    await handle(consumer, event)
    (delivery,) = await rows(any_runtime, Delivery)
    assert (delivery.state, delivery.revision) == (DeliveryState.ANONYMIZED, 2)
    assert read(any_runtime.spool.path(delivery.released_key)).SeriesDescription == "changed"


async def test_given_up_images_are_held(any_runtime: Runtime, consumer: AssignedConsumer) -> None:
    event = await assigned(any_runtime, 1)
    await consumer.give_up(message(event), Reason.GAVE_UP)
    (delivery,) = await rows(any_runtime, Delivery)
    assert (delivery.state, delivery.reason) == (DeliveryState.HELD, Reason.GAVE_UP)
    (transfer,) = await rows(any_runtime, Transfer)
    assert transfer.state == TransferState.ATTENTION


def _die(spool_root: Path, some: list[Job]) -> list[Done]:
    """Stands for an engine that a file takes down."""
    if any(job.source_key.endswith("666.dcm") for job in some):
        os.kill(os.getpid(), signal.SIGKILL)
    return [Done(job.delivery_id) for job in some]


def _hang(spool_root: Path, some: list[Job]) -> list[Done]:
    if any(job.source_key.endswith("666.dcm") for job in some):
        time.sleep(60)
    return [Done(job.delivery_id) for job in some]


@pytest.mark.parametrize("harm", [_die, _hang], ids=["killed", "hangs"])
async def test_a_file_that_stops_its_process_is_held_and_its_neighbours_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: object
) -> None:
    monkeypatch.setattr("services.anonymizer.pool.do_jobs", harm)
    pool = Pool(Settings(spool_url=tmp_path.as_uri(), workers=1, instance_timeout=1))
    try:
        work = [Job(n, f"{n}.dcm", "", None, None) for n in (1, 666, 3)]  # type: ignore[arg-type]
        done = await pool.do(work)
    finally:
        pool.close()
    assert [(one.delivery_id, one.held) for one in done] == [
        (1, None), (666, Reason.ENGINE_CRASHED), (3, None)
    ]  # fmt: skip
