"""Archives send here: dcmtk's by C-MOVE, Orthanc's by C-STORE and by its DICOMweb plugin."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from demo.phantoms import Maker
from services.receiver.scp import StorageScp
from shared.events import InstanceReceived
from shared.runtime import Runtime
from tests.helpers import arrive, handle, part10, received_consumer
from tests.integration.test_dicomweb import url
from tests.integration.test_receiver import door, run, scp, spooled
from tests.servers.common import free_port, wait_for
from tests.servers.orthanc import Orthanc

__all__ = ["door", "scp", "url"]

IMAGES = 4


def study() -> list[pydicom.Dataset]:
    return list(Maker(11, size=16).ct(IMAGES).instances)


def same(runtime: Runtime, sent: list[pydicom.Dataset]) -> bool:
    """Whether what is in the spool are these images, every element of them."""
    here = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, spooled(runtime))}
    return here.keys() == {one.SOPInstanceUID for one in sent} and all(
        here[one.SOPInstanceUID].PixelData == one.PixelData
        and here[one.SOPInstanceUID].PatientID == one.PatientID
        for one in sent
    )


@contextmanager
def dcmqrscp(folder: Path, sluse_port: int) -> Iterator[int]:
    """dcmtk's archive, which knows Sluse; its port."""
    port, database = free_port(), folder / "database"
    database.mkdir()
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nsluse = (SLUSE, 127.0.0.1, {sluse_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {database} RW (100, 1024mb) ANY\nAETable END\n"
    )
    with (folder / "dcmqrscp.log").open("wb") as log:
        server = subprocess.Popen(
            ["dcmqrscp", "-c", folder / "dcmqrscp.cfg"], stdout=log, stderr=log,
            env=os.environ | {"TCP_NODELAY": "1"},
        )  # fmt: skip
    try:
        wait_for(
            lambda: (
                not subprocess.run(
                    ["echoscu", "-aec", "ARCHIVE", "127.0.0.1", str(port)], capture_output=True
                ).returncode
            ),
            "dcmqrscp",
        )
        yield port
    finally:
        server.terminate()
        server.wait(10)


async def test_dcmtks_archive_moves_a_study_here(
    runtime: Runtime, scp: StorageScp, tmp_path: Path
) -> None:
    sent = study()
    for number, image in enumerate(sent):
        (tmp_path / f"{number}.dcm").write_bytes(part10(image))
    with dcmqrscp(tmp_path, scp.port) as port:
        place = ("-aec", "ARCHIVE", "127.0.0.1", port)
        await run("storescu", *place, *sorted(tmp_path.glob("*.dcm")))
        uid = sent[0].StudyInstanceUID
        level = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uid}")
        found = await run("findscu", "-S", *level, *place)
        assert uid in found.stdout + found.stderr
        await run("movescu", "-S", "-aem", "SLUSE", *level, *place)
    assert same(runtime, sent)


def stored(pacs: Orthanc, sent: list[pydicom.Dataset]) -> list[str]:
    """Orthanc's ids of images that it is given."""
    return [pacs.send("POST", "instances", part10(image))["ID"] for image in sent]


async def test_orthanc_sends_over_an_association(
    runtime: Runtime, scp: StorageScp, research_pacs: Orthanc
) -> None:
    sent = study()
    ids = await asyncio.to_thread(stored, research_pacs, sent)
    research_pacs.send("PUT", "modalities/sluse-in", ["SLUSE", "127.0.0.1", scp.port])
    await asyncio.to_thread(research_pacs.send, "POST", "modalities/sluse-in/store", ids)
    assert same(runtime, sent)


@pytest.mark.parametrize("chunked", ["0", "1"])
async def test_orthanc_sends_over_dicomweb(
    runtime: Runtime, url: str, research_pacs: Orthanc, chunked: str
) -> None:
    sent = study()
    ids = await asyncio.to_thread(stored, research_pacs, sent)
    server = {"Url": url, "ChunkedTransfers": chunked, "HasDelete": "0"}
    research_pacs.send("PUT", "dicom-web/servers/sluse", server)
    job = await asyncio.to_thread(
        research_pacs.send, "POST", "dicom-web/servers/sluse/stow", {"Resources": ids}
    )
    assert job["InstancesCount"] == str(IMAGES), job
    assert same(runtime, sent)


async def test_orthanc_finds_and_fetches_over_dicomweb(
    runtime: Runtime, url: str, research_pacs: Orthanc
) -> None:
    """Its client asks for what is here (QIDO-RS), and takes it (WADO-RS)."""
    sent = list(Maker(12, size=16).ct(IMAGES).instances)
    event = InstanceReceived(keys=tuple(arrive(runtime, sent)))
    await handle(received_consumer(runtime), event)
    uid = sent[0].StudyInstanceUID
    research_pacs.send("PUT", "dicom-web/servers/sluse", {"Url": url})
    asked = {"Uri": "/studies", "Arguments": {"StudyInstanceUID": uid}}
    (found,) = await asyncio.to_thread(
        research_pacs.send, "POST", "dicom-web/servers/sluse/qido", asked
    )
    assert uid in str(found)
    await asyncio.to_thread(
        research_pacs.send, "POST", "dicom-web/servers/sluse/retrieve",
        {"Resources": [{"Study": uid}]},
    )  # fmt: skip
    assert len(research_pacs.find_instances(StudyInstanceUID=uid)) == IMAGES
