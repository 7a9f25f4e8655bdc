"""Law 1 with everything real: what becomes of the messages does not matter."""

import asyncio
import signal
from pathlib import Path

from demo.phantoms import Maker
from shared.bus import open_bus
from shared.settings import Settings
from tests.e2e.deployment import SERVICES, Deployment
from tests.e2e.test_journey import held, save
from tests.servers import dcmtk
from tests.servers.orthanc import Orthanc


async def _purge(url: str) -> None:
    async with open_bus(Settings(bus_url=url, retry_delays=(0.5, 1)), "tests") as bus:
        await bus.purge()


def test_purging_every_queue_in_mid_flow_loses_nothing(
    deployment: Deployment, research_pacs: Orthanc, tmp_path: Path
) -> None:
    study = Maker(21, size=64).ct(150)
    deployment.project(research_pacs.dicom_port, research_pacs.ae_title)
    folder = save(study, tmp_path / "study")
    # Messages of every stage, one after the other, are thrown away while nobody takes them.
    deployment.stop("classifier")
    dcmtk.run("storescu", "-aec", "SLUSE", "+sd", "127.0.0.1", deployment.dicom_port, folder)
    asyncio.run(_purge(deployment.amqp_url))
    deployment.stop("anonymizer")
    deployment.start("classifier")
    deployment.transfer(study.uid, "PURGED_1")
    for _ in range(3):
        asyncio.run(_purge(deployment.amqp_url))
    deployment.stop("forwarder")
    deployment.start("anonymizer")
    asyncio.run(asyncio.sleep(2))
    asyncio.run(_purge(deployment.amqp_url))
    deployment.start("forwarder")
    (transfer,) = deployment.ended(1, 150)
    assert transfer["state"] == "complete"
    assert transfer["counts"]["delivered"] == 150
    assert len(held(research_pacs, "PURGED_1")) == 150


def test_killed_services_take_up_their_work_again(
    deployment: Deployment, research_pacs: Orthanc, tmp_path: Path
) -> None:
    deployment.project(research_pacs.dicom_port, research_pacs.ae_title)
    for number, service in enumerate(SERVICES, start=1):
        study = Maker(30 + number, size=64).ct(40)
        folder = save(study, tmp_path / service)
        dcmtk.run("storescu", "-aec", "SLUSE", "+sd", "127.0.0.1", deployment.dicom_port, folder)
        deployment.transfer(study.uid, f"KILLED_{number}")
        deployment.stop(service, signal.SIGKILL)
        deployment.start(service)
        deployment.wait_until_ready()
        transfers = deployment.ended(number, 40 * number)
        assert {t["counts"]["delivered"] for t in transfers} == {40}
        assert len(held(research_pacs, f"KILLED_{number}")) == 40


def test_a_graceful_stop_is_quick_and_clean(deployment: Deployment) -> None:
    for service in ("api", "forwarder", "anonymizer", "classifier", "receiver"):
        assert deployment.stop(service) == 0
