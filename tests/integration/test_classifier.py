"""The classifier: what arrived goes into the ledger and to its projects, on both databases."""

import asyncio
import json
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import insert

from demo.phantoms import Maker
from services.classifier.consumer import ReceivedConsumer, TransferConsumer
from shared.admission import Way
from shared.clock import now
from shared.errors import Reason
from shared.events import AssociationClosed, InstanceAssigned, InstanceReceived, TransferRequested
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import (
    Association,
    Delivery,
    Instance,
    Participant,
    Quarantine,
    RoutingRule,
    Series,
    Study,
    Transfer,
    core,
)
from shared.runtime import Runtime
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
def received(any_runtime: Runtime) -> ReceivedConsumer:
    return received_consumer(any_runtime)


@pytest.fixture
def requested(any_runtime: Runtime) -> TransferConsumer:
    return TransferConsumer(any_runtime.settings, any_runtime.ledger)


def ct(slices: int = 3, patient_id: str | None = None, seed: int = 1) -> list[Dataset]:
    return Maker(seed, size=16).ct(slices, patient_id).instances


def inbox(runtime: Runtime) -> list[str]:
    return [k for a in runtime.spool.waiting_associations() for k in [a]]


async def add_rule(runtime: Runtime, project_id: int, **columns: object) -> None:
    values = {
        "name": "rule", "enabled": True, "priority": 100, "event": "", "site": "",
        "project_id": project_id, "created_at": now(), "called_aet": "BICAM",
        "patient_id_pattern": "BICAM_",
    } | columns  # fmt: skip
    async with runtime.ledger.transaction() as connection:
        await connection.execute(insert(core(RoutingRule)).values(values))


async def request(runtime: Runtime, project_id: int, study_id: int = 1) -> int:
    async with runtime.ledger.transaction() as connection:
        found = await request_transfer(
            connection, study_id=study_id, project_id=project_id, participant="P_1", event="",
            site="", requested_by=Way.REST,
        )  # fmt: skip
    assert found is not None
    return found


async def test_what_arrived_is_catalogued(any_runtime: Runtime, received: ReceivedConsumer) -> None:
    instances = ct()
    keys = arrive(any_runtime, instances, calling="CT1", called="SLUSE")
    await handle(received, InstanceReceived(keys=tuple(keys)))

    (study,) = await rows(any_runtime, Study)
    (series,) = await rows(any_runtime, Series)
    found = await rows(any_runtime, Instance)
    (association,) = await rows(any_runtime, Association)
    assert study.study_instance_uid == instances[0].StudyInstanceUID
    assert study.patient_name == str(instances[0].PatientName)
    assert (series.modality, series.series_number) == ("CT", "2")
    assert series.facts["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert [i.sop_instance_uid for i in found] == [i.SOPInstanceUID for i in instances]
    assert (association.calling_aet, association.completed) == ("CT1", True)

    folder = any_runtime.spool.path(found[0].spool_key).parent
    assert folder.name == instances[0].SeriesInstanceUID
    assert folder.parent.name == instances[0].StudyInstanceUID
    assert [p.read_bytes() for p in sorted(folder.iterdir())] == [
        part10(i) for i in sorted(instances, key=lambda i: i.SOPInstanceUID)
    ]
    facts = json.loads(folder.with_name(f"{folder.name}.json").read_text())
    assert facts["NumFiles"] == 3 and facts["Modality"] == "CT"
    assert facts["IncomingConnection"] == {
        "AETitleCaller": "CT1", "AETitleCalled": "SLUSE", "CallerIP": "127.0.0.1"
    }  # fmt: skip
    assert inbox(any_runtime) == []


async def test_the_same_message_twice_changes_nothing(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    keys = tuple(arrive(any_runtime, ct()))
    await handle(received, InstanceReceived(keys=keys), InstanceReceived(keys=keys))
    await handle(received, InstanceReceived(keys=keys))
    assert len(await rows(any_runtime, Instance)) == 3
    assert {row.revision for row in await rows(any_runtime, Instance)} == {1}


async def test_the_same_images_again_are_recognised(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    instances = ct()
    for _ in range(2):
        keys = arrive(any_runtime, instances)
        outcome = await handle(received, InstanceReceived(keys=tuple(keys)))
    assert len(await rows(any_runtime, Instance)) == 3
    assert outcome.published == []
    assert inbox(any_runtime) == []


async def test_a_changed_image_is_a_new_revision_and_delivered_again(
    any_runtime: Runtime, received: ReceivedConsumer, requested: TransferConsumer
) -> None:
    instances = ct()
    await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, instances))))
    transfer = await request(any_runtime, await make_project(any_runtime))
    await handle(requested, TransferRequested(transfer_id=transfer))

    instances[1].SeriesDescription = "changed"
    keys = arrive(any_runtime, instances)
    outcome = await handle(received, InstanceReceived(keys=tuple(keys)))

    found = await rows(any_runtime, Instance)
    assert [row.revision for row in found] == [1, 2, 1]
    assert found[1].spool_key.endswith(".r2.dcm")
    old = any_runtime.spool.path(found[1].spool_key.replace(".r2", ""))
    assert old.exists() and any_runtime.spool.path(found[1].spool_key).exists()
    (announced,) = [e.event() for e in outcome.published]
    deliveries = await rows(any_runtime, Delivery)
    assert isinstance(announced, InstanceAssigned)
    assert announced.delivery_ids == (deliveries[1].id,)
    assert [d.revision for d in deliveries] == [1, 2, 1]


async def test_two_versions_in_one_batch_both_keep_their_files(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    first, second = ct(1)[0], ct(1)[0]
    second.SeriesDescription = "changed"
    keys = arrive(any_runtime, [first, second])
    await handle(received, InstanceReceived(keys=tuple(keys)))
    (row,) = await rows(any_runtime, Instance)
    assert row.revision == 2
    assert any_runtime.spool.path(row.spool_key).read_bytes() == part10(second)
    assert any_runtime.spool.path(row.spool_key.replace(".r2", "")).read_bytes() == part10(first)


def _without(image: Dataset, keyword: str) -> bytes:
    delattr(image, keyword)
    return part10(image)


def _with(image: Dataset, keyword: str, value: str) -> bytes:
    raw = part10(image)
    uid = str(image[keyword].value)
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    return raw.replace(padded, value.encode().ljust(len(padded), b"\0"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda image: b"not DICOM at all" * 20, Reason.NOT_DICOM),
        (lambda image: b"", Reason.NOT_DICOM),
        (lambda image: part10(image)[:-100], Reason.TRUNCATED),
        (lambda image: part10(image)[:700], Reason.TRUNCATED),
        (lambda image: _without(image, "StudyInstanceUID"), Reason.MISSING_UID),
        (lambda image: _without(image, "SeriesInstanceUID"), Reason.MISSING_UID),
        (lambda image: _with(image, "StudyInstanceUID", "../../../tmp/x"), Reason.ILLEGAL_UID),
        (lambda image: _with(image, "SeriesInstanceUID", "/etc/passwd"), Reason.ILLEGAL_UID),
        (lambda image: _with(image, "SOPInstanceUID", "1.2.x"), Reason.ILLEGAL_UID),
    ],
)
async def test_what_can_not_be_catalogued_is_held_and_its_neighbours_are_not(
    any_runtime: Runtime, received: ReceivedConsumer, spoil: object, reason: Reason
) -> None:
    good, bad = ct(2)
    keys = arrive(any_runtime, [good, spoil(bad)])  # type: ignore[operator]
    await handle(received, InstanceReceived(keys=tuple(keys)))
    (row,) = await rows(any_runtime, Quarantine)
    assert row.reason == reason
    assert any_runtime.spool.path(row.spool_key).exists()
    assert len(await rows(any_runtime, Instance)) == 1
    assert inbox(any_runtime) == []
    root = any_runtime.settings.spool_path
    assert not [p for p in root.parent.rglob("*.dcm") if not p.is_relative_to(root)]
    # Again: the message may come twice.
    await handle(received, InstanceReceived(keys=tuple(keys)))
    assert len(await rows(any_runtime, Quarantine)) == 1


async def test_overlong_and_odd_texts_are_cut_not_refused(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    (image,) = ct(1)
    image.PatientID = "x" * 300
    image.SeriesDescription = "ø" * 200
    image.StudyDescription = "nul\0inside"
    await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, [image]))))
    (study,) = await rows(any_runtime, Study)
    assert study.patient_id == "x" * 64
    assert study.study_description == "nulinside"


async def test_a_rule_assigns_what_a_trusted_sender_brings(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    project = await make_project(any_runtime)
    await add_rule(any_runtime, project)
    keys = arrive(any_runtime, ct(3, "BICAM_001"), called="BICAM")
    outcome = await handle(received, InstanceReceived(keys=tuple(keys)))
    (transfer,) = await rows(any_runtime, Transfer)
    (participant,) = await rows(any_runtime, Participant)
    assert (transfer.requested_by, transfer.state) == ("rule", TransferState.RUNNING)
    assert participant.pseudonym == "BICAM_001"
    (event,) = [e.event() for e in outcome.published]
    assert isinstance(event, InstanceAssigned) and len(event.delivery_ids) == 3


async def test_late_images_flow_through_the_open_transfer(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    await add_rule(any_runtime, await make_project(any_runtime))
    instances = ct(5, "BICAM_001")
    for some in (instances[:2], instances[2:]):
        keys = arrive(any_runtime, some, called="BICAM")
        outcome = await handle(received, InstanceReceived(keys=tuple(keys)))
    (event,) = [e.event() for e in outcome.published]
    assert isinstance(event, InstanceAssigned) and len(event.delivery_ids) == 3
    assert len(await rows(any_runtime, Transfer)) == 1
    assert len(await rows(any_runtime, Delivery)) == 5


@pytest.mark.parametrize(
    ("patient_id", "pattern", "note"),
    [("", ".*", "participant-missing"), ("Nordmann/1", ".*", "participant-pattern"),
     ("BICAM_1", "OTHER.*", "participant-pattern")],
)  # fmt: skip
async def test_a_rule_without_a_possible_participant_leaves_the_study_to_a_person(
    any_runtime: Runtime, received: ReceivedConsumer, patient_id: str, pattern: str, note: str
) -> None:
    project = await make_project(any_runtime, participant_pattern=pattern)
    await add_rule(any_runtime, project, patient_id_pattern=None, patient_name_pattern=".*")
    (image,) = ct(1)
    image.PatientID = patient_id
    await handle(
        received, InstanceReceived(keys=tuple(arrive(any_runtime, [image], called="BICAM")))
    )
    (study,) = await rows(any_runtime, Study)
    assert study.routing_note == note
    assert await rows(any_runtime, Transfer) == []


async def test_a_requested_transfer_gets_all_images_in_events_of_one_series(
    any_runtime: Runtime, received: ReceivedConsumer, requested: TransferConsumer
) -> None:
    instances = ct(70)
    for number, image in enumerate(instances):
        if number >= 66:
            image.SeriesInstanceUID = "1.2.3.4"
    await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, instances))[:64]))
    keys = [k for a in any_runtime.spool.waiting_associations()
            for k in any_runtime.spool.waiting_files(a, 2**40)]  # fmt: skip
    await handle(received, InstanceReceived(keys=tuple(keys)))
    transfer = await request(any_runtime, await make_project(any_runtime))
    outcome = await handle(requested, TransferRequested(transfer_id=transfer))
    events = [e.event() for e in outcome.published]
    assert sorted(len(e.delivery_ids) for e in events if isinstance(e, InstanceAssigned)) == [
        2,
        4,
        64,
    ]
    assert {e.correlation_id for e in outcome.published} == {"journey"}
    again = await handle(requested, TransferRequested(transfer_id=transfer))
    assert again.published == []
    assert await transfer_state(any_runtime, transfer) == TransferState.RUNNING


async def test_no_image_slips_between_arrival_and_request(
    any_runtime: Runtime, received: ReceivedConsumer, requested: TransferConsumer
) -> None:
    """Images arrive in many batches while the transfer is requested and expanded."""
    instances = ct(30)
    await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, instances[:1]))))
    project = await make_project(any_runtime)

    async def bring(image: Dataset) -> None:
        await handle(received, InstanceReceived(keys=tuple(arrive(any_runtime, [image]))))

    async def ask() -> None:
        transfer = await request(any_runtime, project)
        await handle(requested, TransferRequested(transfer_id=transfer))

    middle = len(instances) // 2
    await asyncio.gather(*map(bring, instances[1:middle]), ask(), *map(bring, instances[middle:]))
    assert len(await rows(any_runtime, Instance)) == 30
    assert len(await rows(any_runtime, Delivery, state=DeliveryState.ASSIGNED)) == 30


async def test_two_classifiers_at_once_enter_everything_once(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    instances = ct(12)
    batches = [arrive(any_runtime, instances), arrive(any_runtime, list(reversed(instances)))]
    await asyncio.gather(
        *(handle(received, InstanceReceived(keys=tuple(keys))) for keys in batches * 2)
    )
    assert len(await rows(any_runtime, Instance)) == 12
    assert {row.revision for row in await rows(any_runtime, Instance)} == {1}
    assert inbox(any_runtime) == []


async def test_the_end_of_an_association_is_noted(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    keys = arrive(any_runtime, ct(1), closed=False)
    association = any_runtime.spool.association_of(keys[0])
    await handle(received, InstanceReceived(keys=tuple(keys)))
    sender = any_runtime.spool.read_association(association)
    assert sender is not None
    any_runtime.spool.write_association(
        association, sender.model_copy(update={"closed_at": now(), "completed": False})
    )
    await handle(received, AssociationClosed(association_id=association))
    (row,) = await rows(any_runtime, Association)
    assert row.closed_at is not None and not row.completed
    assert inbox(any_runtime) == []
    await handle(received, AssociationClosed(association_id=association))


async def test_given_up_files_are_held(any_runtime: Runtime, received: ReceivedConsumer) -> None:
    keys = arrive(any_runtime, ct(1))
    await received.give_up(message(InstanceReceived(keys=tuple(keys))), Reason.GAVE_UP)
    (row,) = await rows(any_runtime, Quarantine)
    assert row.reason == Reason.GAVE_UP
    assert inbox(any_runtime) == []


async def test_a_lost_note_of_the_sender_loses_no_image(
    any_runtime: Runtime, received: ReceivedConsumer
) -> None:
    keys = arrive(any_runtime, ct(1))
    Path(any_runtime.spool.path(keys[0]).parent / "association.json").unlink()
    await handle(received, InstanceReceived(keys=tuple(keys)))
    assert len(await rows(any_runtime, Instance)) == 1
