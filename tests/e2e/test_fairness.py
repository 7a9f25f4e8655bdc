"""A single study goes before a bulk load, with everything real, and the bulk load goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from demo.phantoms import Maker
from tests.e2e.deployment import Deployment
from tests.e2e.test_journey import save
from tests.servers import dcmtk
from tests.servers.common import wait_for

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDIES, SLICES, SINGLE = 4, 500, 20
PACE = 40  # images a second


class Pacs:
    """A Storage SCP that remembers whose image came when."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.port = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        entity = AE("RESEARCHPACS")
        entity.add_supported_context(CT, ExplicitVRLittleEndian)
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port = server.server_address[1]
        try:
            yield
        finally:
            entity.shutdown()

    def _store(self, event: Any) -> int:
        self.came.append(str(event.dataset.PatientID))
        return 0

    def count(self, participant: str) -> int:
        return sum(1 for one in self.came if one.startswith(participant))


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    found = Pacs()
    with found.listening():
        yield found


@pytest.fixture
def deployment(tmp_path: Path, amqp_url: str, postgres_url: str) -> Iterator[Deployment]:
    # A PACS this slow takes longer than the impatient reconciler of the other tests allows.
    with Deployment(tmp_path, amqp_url, postgres_url, patience=120) as running:
        yield running


def test_a_single_study_goes_before_a_bulk_load(
    deployment: Deployment, pacs: Pacs, tmp_path: Path
) -> None:
    destination = deployment.post(
        "/destinations", name="paced", ae_title="RESEARCHPACS", host="127.0.0.1", port=pacs.port,
        images_per_second=PACE, associations=1, verification="none",
    )  # fmt: skip
    for code, priority in (("BIGSET", "bulk"), ("TRIAL", "normal")):
        deployment.post("/projects", code=code, destination_id=destination["id"], priority=priority)
    deployment.post("/peers", name="the archive", calling_aet="ARCHIVE", priority="bulk")
    studies = [Maker(70 + number, size=16).ct(SLICES) for number in range(STUDIES)]
    for number, study in enumerate(studies):
        folder = save(study, tmp_path / f"bulk{number}")
        _send(deployment, "ARCHIVE", folder)
        deployment.transfer(study.uid, f"BIG_{number}", "BIGSET")
    wait_for(lambda: pacs.count("BIG") >= 100, "the bulk load to be under way", 60)

    single = Maker(90, size=16).ct(SINGLE)
    folder = save(single, tmp_path / "single")
    _send(deployment, "SCANNER", folder)
    made = deployment.transfer(single.uid, "ONE_1", "TRIAL")
    asked = len(pacs.came)
    assert made["priority"] == "normal"
    wait_for(lambda: pacs.count("ONE") == SINGLE, "the single study", 60)
    last = len(pacs.came) - pacs.came[::-1].index("ONE_1")
    waited = last - asked - SINGLE
    still_waiting = STUDIES * SLICES - pacs.count("BIG")
    assert still_waiting > 200, "the bulk load is too small to tell anything"
    assert waited < still_waiting / 2, "it waited for too many of the bulk load"

    transfers = deployment.ended(STUDIES + 1, STUDIES * SLICES + SINGLE)
    assert {one["state"] for one in transfers} == {"complete"}
    assert {one["priority"] for one in transfers if one["project"] == "BIGSET"} == {"bulk"}
    # All the time: before it, while it was on its way, and after it.
    assert "ONE_1" not in pacs.came[last:]
    assert any(one != "ONE_1" for one in pacs.came[asked:last])
    assert pacs.count("BIG") == STUDIES * SLICES
    metrics = deployment.metrics()
    for queue in ("classifier.received", "anonymizer.assigned", "forwarder.anonymized"):
        assert f'queue="{queue}.bulk"' in metrics[queue.partition(".")[0]]


def _send(deployment: Deployment, calling: str, folder: Path) -> None:
    dcmtk.run(
        "storescu", "-aet", calling, "-aec", "SLUSE", "+sd", "127.0.0.1", deployment.dicom_port,
        folder,
    )  # fmt: skip
