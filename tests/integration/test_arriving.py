"""From arrival to assignment: labels, strangers, ways into projects, when a study settles."""

import json
from copy import deepcopy
from datetime import timedelta

from pydicom import Dataset
from sqlalchemy import insert, select, update

from demo.phantoms import Maker
from services.classifier.settling import Settling
from shared.admission import Objection, Way
from shared.clock import now
from shared.errors import Reason
from shared.events import AssociationClosed, InstanceReceived
from shared.ledger.couplings import Kind
from shared.ledger.tables import (
    CouplingEntry,
    Delivery,
    Participant,
    Quarantine,
    RoutingRule,
    Series,
    Study,
    StudyAssociation,
    Transfer,
    core,
)
from shared.runtime import Runtime
from tests.helpers import arrive, handle, make_project, received_consumer, rows


def ct(slices: int = 3, patient_id: str = "BICAM_001", seed: int = 1) -> list[Dataset]:
    # Copied, since the images of a study share their patient.
    return [deepcopy(image) for image in Maker(seed, size=16).ct(slices, patient_id).instances]


async def receive(
    runtime: Runtime, images: list[Dataset], called: str = "SLUSE", *, closed: bool = True
) -> None:
    keys = arrive(runtime, images, called=called, closed=closed)
    await handle(received_consumer(runtime), InstanceReceived(keys=tuple(keys)))


async def settled(runtime: Runtime) -> list[bool]:
    await Settling(runtime.settings, runtime.bus, runtime.ledger).look()
    return [study.settled_at is not None for study in await rows(runtime, Study)]


async def pass_time(runtime: Runtime, seconds: float) -> None:
    study = core(Study)
    async with runtime.ledger.transaction() as connection:
        for one in await connection.execute(select(study.c.id, study.c.last_received_at)):
            earlier = one.last_received_at - timedelta(seconds=seconds)
            await connection.execute(
                update(study).where(study.c.id == one.id).values(last_received_at=earlier)
            )


# Settling


async def test_a_study_settles_when_nobody_sends_and_it_has_been_quiet(
    any_runtime: Runtime,
) -> None:
    await receive(any_runtime, ct())
    assert await settled(any_runtime) == [False]
    await pass_time(any_runtime, any_runtime.settings.settle_after + 1)
    assert await settled(any_runtime) == [True]


async def test_an_open_association_keeps_it_open_but_not_for_ever(any_runtime: Runtime) -> None:
    keys = arrive(any_runtime, ct(), closed=False)
    consumer = received_consumer(any_runtime)
    await handle(consumer, InstanceReceived(keys=tuple(keys)))
    await pass_time(any_runtime, any_runtime.settings.settle_after + 1)
    assert await settled(any_runtime) == [False]
    await pass_time(any_runtime, any_runtime.settings.settle_at_last)
    assert await settled(any_runtime) == [True]


async def test_the_end_of_the_association_lets_it_settle(any_runtime: Runtime) -> None:
    keys = arrive(any_runtime, ct(), closed=False)
    consumer = received_consumer(any_runtime)
    await handle(consumer, InstanceReceived(keys=tuple(keys)))
    await pass_time(any_runtime, any_runtime.settings.settle_after + 1)
    (link,) = await rows_of_links(any_runtime)
    sender = any_runtime.spool.read_association(link.association_id)
    assert sender is not None
    any_runtime.spool.write_association(
        link.association_id, sender.model_copy(update={"closed_at": now(), "completed": True})
    )
    await handle(consumer, AssociationClosed(association_id=link.association_id))
    assert await settled(any_runtime) == [True]


async def rows_of_links(runtime: Runtime) -> list[StudyAssociation]:
    async with runtime.ledger.reading() as connection:
        return list(await connection.execute(select(core(StudyAssociation))))


async def test_late_images_reopen_a_study_and_flow_by_themselves(any_runtime: Runtime) -> None:
    await make_project(any_runtime, participant_pattern="BICAM_[0-9]{3}")
    images = ct(4)
    await receive(any_runtime, images[:3], called="BICAM")
    await pass_time(any_runtime, any_runtime.settings.settle_after + 1)
    assert await settled(any_runtime) == [True]
    before = {row.id for row in await rows(any_runtime, Delivery)}
    await receive(any_runtime, images, called="SLUSE")
    assert await settled(any_runtime) == [False]
    after = {row.id for row in await rows(any_runtime, Delivery)}
    assert len(before) == 3 and len(after - before) == 1
    (transfer,) = await rows(any_runtime, Transfer)
    (study,) = await rows(any_runtime, Study)
    (series,) = await rows(any_runtime, Series)
    assert transfer.in_flight == series.instances == study.instances == 4 and study.series == 1


# Ways in


async def test_a_projects_own_title_takes_a_study_with_its_patient_id(any_runtime: Runtime) -> None:
    await make_project(any_runtime, participant_pattern="BICAM_[0-9]{3}")
    await receive(any_runtime, ct(patient_id="BICAM_007"), called="BICAM")
    (transfer,) = await rows(any_runtime, Transfer)
    (participant,) = await rows(any_runtime, Participant)
    assert (transfer.requested_by, participant.pseudonym) == (Way.TITLE, "BICAM_007")


async def test_a_patient_id_that_is_no_participants_waits_for_a_person(
    any_runtime: Runtime,
) -> None:
    await make_project(any_runtime, participant_pattern="BICAM_[0-9]{3}")
    await receive(any_runtime, ct(patient_id="01019012345"), called="BICAM")
    assert not await rows(any_runtime, Transfer)
    (study,) = await rows(any_runtime, Study)
    assert study.routing_note == Objection.PARTICIPANT_PATTERN


async def test_the_coupling_list_goes_before_rules_and_titles(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime)
    images = ct(patient_id="01019012345")
    for image in images:
        image.AccessionNumber = "A-17"
    key = (await any_runtime.load_master_key()).index(Kind.ACCESSION, "a-17")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(CouplingEntry)).values(
                project_id=project, kind=Kind.ACCESSION, value_key=key, value="", event="",
                participant="BICAM_042", site="", uploaded_at=now(),
            )
        )  # fmt: skip
        await connection.execute(insert(core(RoutingRule)).values(rule(project, trusted=True)))
    await receive(any_runtime, images, called="BICAM")
    (transfer,) = await rows(any_runtime, Transfer)
    (participant,) = await rows(any_runtime, Participant)
    assert (transfer.requested_by, participant.pseudonym) == (Way.LIST, "BICAM_042")


async def test_a_rule_that_trusts_nobody_has_ids_chosen(any_runtime: Runtime) -> None:
    project = await make_project(any_runtime, participant_pattern="BICAM_{n:3}")
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(insert(core(RoutingRule)).values(rule(project, trusted=False)))
    await receive(any_runtime, ct(patient_id="01019012345", seed=1), called="BICAM")
    await receive(any_runtime, ct(patient_id="02029012345", seed=2), called="BICAM")
    found = [row.pseudonym for row in await rows(any_runtime, Participant)]
    assert found == ["BICAM_001", "BICAM_002"]
    assert {row.requested_by for row in await rows(any_runtime, Transfer)} == {Way.RULE}


def rule(project: int, *, trusted: bool) -> dict[str, object]:
    return {
        "name": "rule", "enabled": True, "priority": 1, "called_aet": "BICAM", "event": "",
        "patient_id_pattern": ".", "project_id": project, "site": "", "trusted": trusted,
        "created_at": now(),
    }  # fmt: skip


# Strangers and labels


async def test_another_patients_image_in_a_study_is_held_at_the_door(any_runtime: Runtime) -> None:
    images = ct(3)
    images[2].PatientID = "SOMEBODY"
    await receive(any_runtime, images)
    (held,) = await rows(any_runtime, Quarantine)
    assert held.reason == Reason.OTHER_PATIENT
    assert any_runtime.spool.path(held.spool_key).exists()
    (study,) = await rows(any_runtime, Study)
    assert (study.patient_id, study.instances) == ("BICAM_001", 2)


async def test_a_study_that_began_without_a_name_is_the_first_named_patients(
    any_runtime: Runtime,
) -> None:
    images = ct(3)
    images[0].PatientID = images[0].PatientName = ""
    images[2].PatientID = "SOMEBODY"
    for image in images:
        await receive(any_runtime, [image])
    (held,) = await rows(any_runtime, Quarantine)
    assert held.reason == Reason.OTHER_PATIENT
    (study,) = await rows(any_runtime, Study)
    assert (study.patient_id, study.instances) == ("BICAM_001", 2)


async def test_spellings_of_one_patient_are_no_strangers(any_runtime: Runtime) -> None:
    images = ct(3)
    images[1].PatientID = " bicam_001 "
    images[2].PatientID = ""
    images[2].PatientName = str(images[2].PatientName).upper()
    await receive(any_runtime, images)
    assert not await rows(any_runtime, Quarantine)
    (study,) = await rows(any_runtime, Study)
    assert study.instances == 3


async def test_series_are_labelled_in_the_ledger_and_beside_their_folder(
    any_runtime: Runtime,
) -> None:
    images = ct(3)
    await receive(any_runtime, images[:1])
    await receive(any_runtime, images[1:])
    (series,) = await rows(any_runtime, Series)
    assert {"CT native", "original"} <= set(series.labels["labels"])
    key = any_runtime.spool.received_key(
        images[0].StudyInstanceUID, images[0].SeriesInstanceUID, "1.2", 1
    )
    folder = any_runtime.spool.path(key).parent
    facts = json.loads(folder.with_name(f"{folder.name}.json").read_bytes())
    assert facts["ClassifyType"] == series.labels["labels"] and facts["NumFiles"] == 3
