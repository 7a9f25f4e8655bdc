"""The machine is lost in the middle of a load: a backup brings back what it knew, and the spool's
own files what came since.
"""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from demo.phantoms import Maker
from tests.e2e.deployment import SERVICES, Deployment
from tests.e2e.test_journey import held, save
from tests.servers import dcmtk
from tests.servers.common import wait_for
from tests.servers.orthanc import Orthanc


def destroy(system: Deployment, *, spool: bool) -> None:
    """End every service as a power cut does, and lose the database; also the spool."""
    for service in SERVICES:
        system.stop(service, signal.SIGKILL)
    subprocess.run(
        ["psql", "-q", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
         system.postgres_url.replace("+asyncpg", "")],
        check=True, capture_output=True,
    )  # fmt: skip
    if spool:
        shutil.rmtree(system.spool)


def bring_up(system: Deployment) -> None:
    """Start every service anew."""
    for service in SERVICES:
        system.log(service).rename(system.log(service).with_suffix(".before"))
        system.start(service)
    system.wait_until_ready()


def send(system: Deployment, study: Any, folder: Path) -> None:
    dcmtk.run(
        "storescu", "-aec", "SLUSE", "+sd", "127.0.0.1", system.dicom_port, save(study, folder)
    )


def released(pacs: Orthanc, participant: str) -> set[str]:
    return set(held(pacs, participant))


def in_flight(system: Deployment) -> int:
    found = system.get("/transfers", limit=9)["items"]
    return sum(one["counts"]["in_flight"] for one in found)


@pytest.mark.parametrize("spool_is_lost", [True, False], ids=["everything", "the database"])
def test_what_a_backup_knew_is_accounted_for_after_a_disaster_in_mid_load(
    deployment: Deployment, research_pacs: Orthanc, tmp_path: Path, spool_is_lost: bool
) -> None:
    system, mark = deployment, "ALL" if spool_is_lost else "DB"
    seed = 60 if spool_is_lost else 70
    system.project(research_pacs.dicom_port, research_pacs.ae_title)
    first, second, third = (
        Maker(seed + number, size=64).ct(images) for number, images in enumerate((40, 120, 30))
    )
    send(system, first, tmp_path / "first")
    system.transfer(first.uid, f"{mark}_1")
    system.ended(1, 40)
    before = released(research_pacs, f"{mark}_1")

    # In mid load: the second study is here, none of it is delivered yet.
    system.stop("forwarder")
    send(system, second, tmp_path / "second")
    system.transfer(second.uid, f"{mark}_2")
    wait_for(lambda: in_flight(system) == 120, "the second study to be on its way")
    backup = tmp_path / "backup"
    made = system.run("backup", backup, *(["--with-spool"] if spool_is_lost else []))
    assert made.returncode == 0, made.stderr
    knew = json.loads((backup / "backup.json").read_text())["rows"]
    assert knew["instance"] == 160 and knew["delivery"] == 160

    # Delivered after the backup, which does not know it; and what came after the backup can only
    # come back where the spool is still there.
    system.start("forwarder")
    wait_for(lambda: released(research_pacs, f"{mark}_2"), "the second study to be delivered")
    send(system, third, tmp_path / "third")
    wait_for(lambda: system.get("/studies", study_instance_uid=third.uid)["items"], "the third")
    destroy(system, spool=spool_is_lost)
    restored = system.run("restore", backup)
    assert "The database is what it was at" in restored.stdout, restored.stdout + restored.stderr
    bring_up(system)

    transfers = system.ended(2, 160)
    assert {one["state"] for one in transfers} == {"complete"}
    assert [one["counts"]["delivered"] for one in sorted(transfers, key=lambda t: t["id"])] == [
        40, 120,
    ]  # fmt: skip
    assert all(one["counts"]["held"] + one["counts"]["failed"] == 0 for one in transfers)
    # Delivered anew under the same UIDs: otherwise there would be more of them now.
    assert released(research_pacs, f"{mark}_1") == before
    assert len(released(research_pacs, f"{mark}_2")) == 120
    if not spool_is_lost:
        wait_for(
            lambda: [one["instances"] for one in
                     system.get("/studies", study_instance_uid=third.uid)["items"]] == [30],
            "the third study to be adopted",
        )  # fmt: skip
    examined = system.run("doctor", "--json", "--all")
    said = json.loads(examined.stdout)
    assert said["well"], [one for one in said["said"] if one["level"] == "wrong"]
    assert examined.returncode == 0


def test_a_restore_and_a_new_master_key_are_refused_while_services_run(
    deployment: Deployment, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    assert deployment.run("backup", backup).returncode == 0
    for command in (
        ["restore", backup, "--over-what-is-there"],
        ["rotate-master-key", "--into", tmp_path / "new.key"],
    ):
        refused = deployment.run(*command)
        assert refused.returncode == 1
        assert "services of Sluse are running on this database" in refused.stderr
    assert deployment.client.get("/pipeline").is_success
