"""`sluse up`: everything in one process, killed and started again over the same folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from demo.pacs import StandInPacs
from demo.phantoms import Maker
from demo.sending import send
from demo.system import System, free_port
from shared.identity import MasterKey
from tests.servers import dcmtk
from tests.servers.common import missing, wait_for

_SLUSE = Path(sys.executable).with_name("sluse")
_NO_BROKER = {"SLUSE_BUS_URL": "amqp://nobody@127.0.0.1:1/"}


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    direct = [int(line) for line in found.split()]
    return direct + [deeper for child in direct for deeper in _children(child)]


def test_killed_it_resumes_all_unfinished_work(tmp_path: Path) -> None:
    study = Maker(5, size=64).ct(120)
    pacs_port = free_port()  # nobody there yet: everything waits
    with System(tmp_path / "data") as first:
        destination = first.post(
            "/destinations", name="pacs", ae_title="RESEARCHPACS", host="127.0.0.1", port=pacs_port
        )
        first.post("/projects", code="BICAM", destination_id=destination["id"])
        send(study.instances, first.dicom_port, called="SLUSE", calling="CT1")
        wait_for(lambda: first.get("/studies")["items"], "the study")
        first.post("/transfers", study_instance_uid=study.uid, project="BICAM", participant="P_1")
        wait_for(lambda: first.get("/transfers/1")["counts"]["in_flight"], "work")
        family = _children(first.pid)
        os.kill(first.pid, signal.SIGKILL)
        wait_for(
            lambda: not [pid for pid in family if Path(f"/proc/{pid}").exists()],
            "the de-identification processes to end with their parent",
        )
    pacs = StandInPacs(tmp_path / "pacs", port=pacs_port)
    try:
        with System(tmp_path / "data") as second:
            transfer = wait_for(
                lambda: (t := second.get("/transfers/1"))["state"] == "complete" and t, "delivery"
            )
            assert transfer["counts"]["delivered"] == 120
            # What waited for the PACS before waits no longer than a restart.
            deliveries = second.get("/transfers/1/deliveries", limit=500)["items"]
            assert all(pacs.path(d["released_sop_uid"]).exists() for d in deliveries)
    finally:
        pacs.close()


def test_it_says_where_everything_is_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    http, dicom = free_port(), free_port()
    running = subprocess.Popen(
        [_SLUSE, "up", "--data", tmp_path, "--dicom-port", str(dicom), "--http-port", str(http)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: _answers(http), "the page")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0
    for text in (f"http://127.0.0.1:{http}/", f"http://127.0.0.1:{http}/docs", f"port {dicom}"):
        assert text in out
    assert "has stopped" in out
    assert "Traceback" not in err


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _fails(*arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [_SLUSE, *arguments], capture_output=True, text=True, timeout=60,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("door", ["http", "dicom"])
def test_a_port_in_use_is_said_plainly(tmp_path: Path, door: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"http": "0", "dicom": "0"} | {door: str(taken.getsockname()[1])}
        text = _fails(
            "up", "--data", tmp_path, "--http-port", ports["http"], "--dicom-port", ports["dicom"]
        )
    assert f"port {ports[door]}" in text and f"--{door}-port" in text
    assert len(text.splitlines()) == 1


def test_a_folder_that_can_not_be_used_is_said_plainly(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"the folder {file} can't be used" in _fails("up", "--data", file)
    assert "Not a directory" in _fails("up", "--data", file / "data")


def test_an_option_out_of_range_is_named_as_it_was_given(tmp_path: Path) -> None:
    text = _fails("up", "--data", tmp_path, "--http-port", "99999")
    assert "--http-port: Input should be less than or equal to 65535" in text


def test_a_folder_has_one_owner_and_is_private(tmp_path: Path) -> None:
    with System(tmp_path / "data") as system:
        send(Maker(1, size=16).ct(1).instances, system.dicom_port, called="SLUSE", calling="CT1")
        wait_for(lambda: system.get("/studies")["items"], "the study")
        assert "another Sluse is running" in _fails("up", "--data", tmp_path / "data")
        for path in (tmp_path / "data").rglob("*"):
            if path.name != "sluse.log":  # made by the test
                assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("harm", ["lost", "other", "damaged"])
def test_without_its_master_key_nothing_goes_on(tmp_path: Path, harm: str) -> None:
    data = tmp_path / "data"
    with System(data) as system:
        system.post("/projects", code="BICAM")
    key = data / "master.key"
    if harm == "lost":
        key.unlink()
    else:
        key.write_text(MasterKey.generate() if harm == "other" else "\0damaged")
    text = _fails("up", "--data", data, "--http-port", "0", "--dicom-port", "0")
    assert "master key" in text and "from your backup" in text
    assert key.exists() != (harm == "lost")


def test_the_readmes_walk_works(tmp_path: Path) -> None:
    """The commands of "A first project, step by step", typed as they stand there."""
    if shutil.which("curl") is None:
        missing("curl", "curl")
    text = (Path(__file__).parents[2] / "README.md").read_text()
    walk = text.partition("### A first project")[2].partition("\n### ")[0]
    script = "".join(walk.split("```")[1::2])
    studies = {"CT1": Maker(1, size=16).ct(2), "BICAM": Maker(2, size=16).ct(2, "BICAM_002")}
    for name, study in studies.items():
        (tmp_path / name).mkdir()
        for number, instance in enumerate(study.instances):
            instance.save_as(tmp_path / name / f"{number}.dcm", enforce_file_format=True)
    with System(tmp_path / "data") as system:
        shell = "set -e; curl() { command curl -sSf --noproxy '*' \"$@\"; echo; }\n"
        shell += 'storescu() { command storescu "$@"; sleep 3; }\n'
        script = script.replace("FOLDER", str(tmp_path / "CT1"), 1)
        script = script.replace("FOLDER", str(tmp_path / "BICAM"))
        for documented, here in ((":8080", f":{system.http_port}"), ("11112", system.dicom_port)):
            script = script.replace(documented, str(here))
        dcmtk.run("bash", "-c", shell + script)
        transfers = wait_for(
            lambda: len(t := system.get("/transfers")["items"]) == 2 and t, "both transfers"
        )
    by_request, by_rule = sorted(transfers, key=lambda transfer: str(transfer["participant"]))
    assert (by_request["participant"], by_request["requested_by"]) == ("BICAM_001", "rest")
    assert (by_rule["participant"], by_rule["requested_by"]) == ("BICAM_002", "rule")


def test_ports_come_from_the_environment_too(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"SLUSE_HTTP_PORT": str(port), "SLUSE_DICOM_PORT": "0"}
    running = subprocess.Popen(
        [_SLUSE, "up", "--data", tmp_path], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(port), "the page")
    finally:
        running.terminate()
        assert running.wait(20) == 0


def test_a_service_on_its_own_needs_a_broker(tmp_path: Path) -> None:
    assert "SLUSE_BUS_URL" in _fails("receiver", SLUSE_SPOOL_URL=(tmp_path / "spool").as_uri())


def test_it_knows_its_version() -> None:
    done = subprocess.run([_SLUSE, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"sluse {version('sluse')}\n"


@pytest.mark.parametrize(
    ("knob", "value", "says"),
    [
        ("SLUSE_AE_TITLE", "x" * 20, "SLUSE_AE_TITLE"),
        ("SLUSE_RETRY_DELAYS", "[]", "SLUSE_RETRY_DELAYS"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(
    tmp_path: Path, knob: str, value: str, says: str
) -> None:
    assert says in _fails("up", "--data", tmp_path, **{knob: value})


def test_a_service_refuses_a_database_that_is_not_migrated(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    text = _fails(
        "api", SLUSE_DATABASE_URL=url, SLUSE_SPOOL_URL=(tmp_path / "spool").as_uri(), **_NO_BROKER
    )
    assert "run `sluse migrate`" in text


def test_a_missing_master_key_is_explained(tmp_path: Path) -> None:
    environment = {
        "SLUSE_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'new.db'}",
        "SLUSE_SPOOL_URL": (tmp_path / "spool").as_uri(),
        "SLUSE_MASTER_KEY_FILE": str(tmp_path / "none"),
        **_NO_BROKER,
    }
    subprocess.run([_SLUSE, "migrate"], check=True, env=os.environ | environment)
    assert "master key" in _fails("api", **environment)


def test_the_last_resort_of_a_hanging_stop(tmp_path: Path) -> None:
    """A stop ends open associations instead of waiting for their senders."""
    from pynetdicom import AE

    with System(tmp_path / "data") as system:
        entity = AE("LINGERER")
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", system.dicom_port, ae_title="SLUSE")
        assert association.is_established
        started = time.monotonic()
    assert time.monotonic() - started < 15
    wait_for(lambda: not association.is_established, "the association to end")
