"""One journey with everything real: dcmtk → Sluse on RabbitMQ and PostgreSQL → Orthanc."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pydicom
import pytest
from pydicom import Dataset

from demo.checking import leaks, secrets_of
from demo.phantoms import Maker, Study
from shared.identity import is_legal_uid
from tests.corpus import read, storage_objects
from tests.e2e.deployment import Deployment
from tests.helpers import part10
from tests.servers import dcmtk
from tests.servers.common import wait_for
from tests.servers.orthanc import Orthanc
from tests.wire import association, encoded, store_raw


def save(study: Study, folder: Path) -> Path:
    """The study as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, instance in enumerate(study.instances):
        instance.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    return folder


def held(pacs: Orthanc, participant: str) -> dict[str, Dataset]:
    """What Orthanc holds of a participant, by SOP Instance UID."""
    found = {}
    for instance in pacs.find_instances(PatientID=participant):
        data_set = pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(instance["ID"])))
        found[str(data_set.SOPInstanceUID)] = data_set
    return found


class Spy:
    """Listens to every message on the broker, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.bodies: list[str] = []
        self._stop, self._bound = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen(url)))
        self._thread.start()
        assert self._bound.wait(20)

    async def _listen(self, url: str) -> None:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind("sluse", "#")

            async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                self.bodies.append(
                    f"{message.body.decode()} {message.headers} {message.properties}"
                )
                await message.ack()

            await queue.consume(note)
            self._bound.set()
            while not self._stop.is_set():
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def spy(deployment: Deployment) -> Iterator[Spy]:
    listening = Spy(deployment.amqp_url)
    yield listening
    listening.stop()


def test_a_rule_and_a_request_take_studies_to_orthanc(
    deployment: Deployment, research_pacs: Orthanc, spy: Spy, tmp_path: Path
) -> None:
    maker = Maker(11, size=64)
    by_rule, by_request = maker.ct(70, "E2E_001"), maker.mr(20)
    deployment.project(
        research_pacs.dicom_port, research_pacs.ae_title, participant_pattern="E2E_[0-9]{3}",
        date_shift_days=11, rek_number="2020/1",
    )  # fmt: skip
    deployment.post(
        "/routing-rules", name="trusted", called_aet="BICAM", patient_id_pattern="E2E_",
        project="BICAM",
    )  # fmt: skip
    wait_for(lambda: _echo(deployment, "BICAM"), "the project's AE title")
    for study, called in ((by_rule, "BICAM"), (by_request, "SLUSE")):
        folder = save(study, tmp_path / called)
        dcmtk.run("storescu", "-aec", called, "+sd", "127.0.0.1", deployment.dicom_port, folder)
    deployment.transfer(by_request.uid, "E2E_002")
    transfers = deployment.ended(2, 90)

    assert {t["state"] for t in transfers} == {"complete"}
    assert {t["requested_by"] for t in transfers} == {"rule", "rest"}
    for study, participant in ((by_rule, "E2E_001"), (by_request, "E2E_002")):
        (transfer,) = (t for t in transfers if t["participant"] == participant)
        deliveries = deployment.get(f"/transfers/{transfer['id']}/deliveries", limit=500)["items"]
        copies = held(research_pacs, participant)
        assert len(copies) == len(study.instances) == len(deliveries)
        released = {d["sop_instance_uid"]: d["released_sop_uid"] for d in deliveries}
        for original in study.instances:
            copy = copies[released[str(original.SOPInstanceUID)]]
            _compare(original, copy, participant, transfer["released_study_uid"])
            assert leaks(copy, secrets_of(study, original, participant)) == []

    # An undisturbed journey is a quiet one, and nothing is left lying about.
    assert [w for w in deployment.warnings() if "AE title" not in w["event"]] == []
    assert list((deployment.spool / "tmp").iterdir()) == []
    wait_for(lambda: not list((deployment.spool / "inbox").iterdir()), "the inbox to be empty")
    assert deployment.get("/pipeline")["dead_letters"] == 0
    _nothing_told(deployment, spy, [by_rule, by_request])


def _echo(deployment: Deployment, called: str) -> bool:
    done = dcmtk.run("echoscu", "-aec", called, "127.0.0.1", deployment.dicom_port, check=False)
    return done.returncode == 0


def _compare(original: Dataset, copy: Dataset, participant: str, study_uid: str) -> None:
    assert copy.PatientID == copy.PatientName == participant
    assert copy.StudyInstanceUID == study_uid != original.StudyInstanceUID
    assert all(is_legal_uid(u) for u in (copy.StudyInstanceUID, copy.SeriesInstanceUID))
    assert copy.InstitutionName == copy.StationName == "BICAM"
    assert not copy.PatientBirthDate and "PatientAddress" not in copy
    assert copy.StudyDate != original.StudyDate
    assert copy.PixelData == original.PixelData
    assert copy.Modality == original.Modality
    assert copy.PatientSex == original.PatientSex


def _nothing_told(deployment: Deployment, spy: Spy, studies: list[Study]) -> None:
    """No message, log line or metric names a patient (law 5)."""
    told = _told(deployment, spy)
    assert all(told.values()) and len(spy.bodies) > 4
    for study in studies:
        first = study.instances[0]
        secrets = [*study.person.secrets, str(first.StudyDate), str(first.StudyDescription)]
        for where, text in told.items():
            found = [secret for secret in secrets if secret.lower() in text.lower()]
            assert not found, f"{where} names a patient"


def _told(deployment: Deployment, spy: Spy) -> dict[str, str]:
    told = {f"log of {k}": v for k, v in deployment.logs().items()}
    told |= {f"metrics of {k}": v for k, v in deployment.metrics().items()}
    return told | {"messages": "\n".join(spy.bodies)}


def test_the_corpus_goes_through_to_orthanc(deployment: Deployment, research_pacs: Orthanc) -> None:
    """Every bundled file that dcmtk sends and Orthanc takes arrives with its pixels untouched."""
    deployment.project(research_pacs.dicom_port, research_pacs.ae_title, code="CORPUS")
    originals: dict[str, Dataset] = {}
    for path in storage_objects():
        data_set = read(path)
        syntax = str(data_set.file_meta.TransferSyntaxUID)
        if str(data_set.SOPInstanceUID) not in originals:
            # A few damaged or exotic ones never leave dcmtk.
            sent = dcmtk.run(
                "storescu", *dcmtk.propose(syntax), "-aec", "SLUSE", "127.0.0.1",
                deployment.dicom_port, path, check=False,
            )  # fmt: skip
            if sent.returncode == 0:
                originals[str(data_set.SOPInstanceUID)] = data_set
    assert len(originals) >= 80
    seen: list[int] = []

    def settled() -> bool:
        seen.append(deployment.get("/pipeline")["arrivals"]["instances"])
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_for(settled, "the arrivals to settle")
    studies = deployment.get("/studies", limit=500)["items"]
    for number, study in enumerate(studies):
        deployment.post(
            "/transfers",
            study_id=study["id"],
            project="CORPUS",
            participant=f"C{number}",
            confirmed=True,  # some of its studies are of one patient
        )
    transfers = deployment.ended(len(studies), seen[-1])
    assert seen[-1] == len(originals)
    total = {key: sum(t["counts"][key] for t in transfers) for key in transfers[0]["counts"]}
    assert total["received"] == total["delivered"] + total["held"] + total["failed"] == seen[-1]
    assert total["delivered"] >= seen[-1] - 6
    for transfer in transfers:
        copies = held(research_pacs, transfer["participant"])
        path = f"/transfers/{transfer['id']}/deliveries"
        for delivery in deployment.get(path, limit=500, state="forwarded")["items"]:
            copy = copies[delivery["released_sop_uid"]]
            original = originals[delivery["sop_instance_uid"]]
            assert copy.get("PixelData") == original.get("PixelData")


def test_nothing_is_told_of_patients_in_bad_input_either(
    deployment: Deployment, spy: Spy, tmp_path: Path
) -> None:
    """Whatever a hostile or broken sender writes where, logs, messages and metrics keep quiet."""
    secret = "Nordmann^Kari"
    image = Maker(1, size=16).ct(1).instances[0]
    image.PatientName = image.PatientID = secret
    bodies = [encoded(image)[:-100], secret.encode() * 10, bytes(2)]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        broken = pydicom.dcmread(pydicom.filebase.DicomBytesIO(part10(image)))
        broken[keyword].VR = "LO"  # so that pydicom writes it
        broken[keyword].value = secret
        bodies.append(encoded(broken))
    with association(deployment.dicom_port, calling="KARI") as opened:
        assert store_raw(opened, encoded(image), sop_instance=secret) == 0x0117
        for number, body in enumerate(bodies):
            assert store_raw(opened, body, sop_instance=f"1.2.3.{number}") == 0
    for called in (secret, "NOSUCH"):
        with association(deployment.dicom_port, called=called) as opened:
            assert not opened.is_established
    wait_for(
        lambda: deployment.get("/pipeline")["arrivals"]["quarantined"] == len(bodies), "quarantine"
    )
    deployment.client.post("/projects", json={"code": secret})
    deployment.client.post("/transfers", json={"study_instance_uid": secret, "project": secret})
    deployment.client.get("/studies", params={"study_instance_uid": secret})
    assert len(deployment.get("/quarantine")["items"]) == len(bodies)
    for where, text in _told(deployment, spy).items():
        for form in ("nordmann", b"Nordmann^Kari".hex(), "Tm9yZG1hbm5eS2FyaQ"):
            assert form.lower() not in text.lower(), f"{where} repeats what was sent"
