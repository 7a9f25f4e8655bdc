"""The commands that speak to a running Sluse, typed as people type them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.phantoms import Maker
from demo.sending import send
from demo.system import System, free_port
from tests.servers.common import wait_for

_SLUSE = Path(sys.executable).with_name("sluse")
_PASSWORD = "correct horse battery"
_BIG, _PIECE = 64 << 20, 128 << 10  # bytes; in so many pieces that there is time to interrupt


class Shell:
    """Types `sluse …` with a token."""

    def __init__(self, system: System, token: str) -> None:
        self.system, self.token = system, token

    @property
    def environment(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.system.http_port}"
        return os.environ | {"SLUSE_URL": url, "SLUSE_TOKEN": self.token}

    def __call__(self, *arguments: object, code: int = 0, **environment: str) -> tuple[str, str]:
        done = subprocess.run(
            [_SLUSE, *map(str, arguments)], capture_output=True, text=True, timeout=120,
            env=self.environment | environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def json(self, *arguments: object, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code)[0])


def _token(system: System) -> str:
    """A token of an administrator who owns the project."""
    system.post("/accounts", username="root", password=_PASSWORD, system_role="administrator")
    url = f"http://127.0.0.1:{system.http_port}"
    with httpx.Client(base_url=url, trust_env=False) as browser:
        browser.post("/sign-in", data={"username": "root", "password": _PASSWORD})
        page = browser.get("/", headers={"accept": "text/html"}).text
        browser.headers["x-form-token"] = page.split('name="form_token" value="')[1].split('"')[0]
        member = browser.put("/api/v1/projects/BICAM/members/root", json={"role": "owner"})
        assert member.is_success, member.text
        rights = browser.get("/api/v1/account").json()
        body = {"name": "commands", "rights": _rights(rights), "days": 1}
        made = browser.post("/api/v1/tokens", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["token"])


def _rights(own: Any) -> list[str]:
    return sorted({*own["rights"], *(right for some in own["projects"].values() for right in some)})


@pytest.fixture(scope="module")
def sluse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Sluse with a project, a study on its way into it to a PACS that is away, and another."""
    folder = tmp_path_factory.mktemp("remote") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUSE_IMPORT_MAX_CHUNK", str(_PIECE))
        started = System(folder)
    with started as system:
        system.post(
            "/destinations", name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port()
        )
        system.post("/projects", code="BICAM", destination_id=1, title="Ærlig prosjekt")
        studies = [Maker(1, size=16).ct(3), Maker(2, size=16).mr(2)]
        for study in studies:
            send(study.instances, system.dicom_port, called="SLUSE", calling="CT1")
        wait_for(lambda: len(system.get("/studies")["items"]) == 2, "the studies")
        system.post(
            "/transfers", study_instance_uid=studies[0].uid, project="BICAM", participant="P_1"
        )
        wait_for(lambda: system.get("/transfers/1")["counts"]["received"] == 3, "the transfer")
        yield Shell(system, _token(system))


def test_status_counts_what_is_here(sluse: Shell) -> None:
    out, _ = sluse("status")
    lines = [line.split() for line in out.splitlines()]
    counts = sluse.json("status")
    # Other tests may have brought more.
    assert counts["arrivals"]["studies"] >= 2
    assert counts["arrivals"]["instances"] >= 5
    for name, count in (
        ("studies", counts["arrivals"]["studies"]),
        ("images", counts["arrivals"]["instances"]),
        ("received", counts["assigned"]["received"]),
    ):
        assert [name, str(count)] in lines
    assert "Nothing needs attention." in out


def test_transfers_are_listed_shown_and_cancelled(sluse: Shell) -> None:
    out, err = sluse("transfers", "list", "--project", "BICAM")
    heading, *rows = out.splitlines()
    assert heading.split()[:3] == ["ID", "PROJECT", "PARTICIPANT"]
    assert ["1", "BICAM", "P_1"] in [row.split()[:3] for row in rows]
    assert not err
    assert 1 in [one["id"] for one in sluse.json("transfers", "list")]
    assert sluse.json("transfers", "list", "--state", "complete") == []
    assert "3 received" in sluse("transfers", "show", 1)[0]
    assert "one of requested" in sluse("transfers", "list", "--state", "lost", code=2)[1]
    assert "no such transfer" in sluse("transfers", "show", 99, code=1)[1]
    sluse("transfers", "cancel", 1, code=1)  # nobody says yes
    assert sluse.json("transfers", "show", 1)["state"] != "cancelled"
    assert sluse.json("transfers", "cancel", 1, "--yes")["state"] == "cancelled"


def test_studies_are_listed_without_identities(sluse: Shell) -> None:
    everything = sluse.system.client.get(
        "/studies", headers={"authorization": f"Bearer {sluse.token}"}
    ).json()["items"]
    secrets = {
        one[key]
        for one in everything
        for key in ("patient_id", "patient_name", "accession_number", "study_instance_uid")
    }
    assert len(secrets) >= 4
    shown = "".join([*sluse("studies", "list"), *sluse("studies", "list", "--json")])
    assert "CT" in shown
    assert "MR" in shown
    assert not [secret for secret in secrets if secret and secret in shown]
    _, err = sluse("studies", "list", "--most", 1)
    assert "There are more" in err


def test_projects_destinations_and_rules(sluse: Shell) -> None:
    assert "Ærlig prosjekt" in sluse("projects", "list")[0]
    [project] = sluse.json("projects", "list")
    assert project["code"] == "BICAM"
    assert "date_shift_days" not in project
    assert "Ærlig prosjekt" in sluse("projects", "show", "BICAM")[0]
    assert "pacs" in sluse("destinations", "list")[0]
    assert sluse.json("destinations", "echo", 1, code=1)["answers"] is False
    assert sluse("rules", "list")[1] == "There is none.\n"
    assert sluse.json("dead-letters", "list") == []


def test_a_sender_is_entered_and_a_wrong_one_refused_field_by_field(sluse: Shell) -> None:
    sluse("peers", "add", "CT scanner", "--aet", "CT1", "--addresses", "10.0.0.0/8")
    assert "CT scanner" in sluse("peers", "list")[0]
    _, err = sluse("peers", "add", "Wrong", "--aet", "X" * 30, code=1)
    assert "breaks a rule" in err
    assert "calling_aet:" in err


def test_a_coupling_list_is_uploaded_and_its_wrong_rows_are_named(
    sluse: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("accession number;participant\nA1;P_7\nA2;P_8\n")
    assert sluse.json("coupling-list", "upload", "BICAM", file, "--dry-run")["stored"] is False
    report = sluse.json("coupling-list", "upload", "BICAM", file)
    assert (report["stored"], report["new"]) == (True, 2)
    file.write_text("accession number;participant\nA3;\n")
    _, err = sluse("coupling-list", "upload", "BICAM", file, code=1)
    assert "1 of 1 rows are wrong" in err
    assert "row 2" in err
    sluse("coupling-list", "upload", "BICAM", tmp_path, code=2)


@pytest.mark.parametrize(("token", "words"), [("", "Set SLUSE_TOKEN"), ("nonsense", "not, or no")])
def test_a_refused_token_is_said_in_words(sluse: Shell, token: str, words: str) -> None:
    out, err = sluse("transfers", "list", code=1, SLUSE_TOKEN=token)
    assert words in err
    assert not out


def test_the_token_may_be_in_a_file(sluse: Shell, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(sluse.token + "\n")
    sluse("projects", "list", SLUSE_TOKEN="", SLUSE_TOKEN_FILE=str(file))
    assert "can't be read" in sluse("projects", "list", "--token-file", tmp_path, code=1)[1]


def test_a_sluse_that_is_away_is_said_in_a_line(sluse: Shell) -> None:
    _, err = sluse("status", "--url", f"http://127.0.0.1:{free_port()}", code=1)
    assert "can't be reached" in err
    assert len(err.splitlines()) == 1


def test_an_import_is_interrupted_continued_and_accepted(sluse: Shell, tmp_path: Path) -> None:
    cd = tmp_path / "cd"
    (cd / "DICOM").mkdir(parents=True)
    study = Maker(7, size=16).ct(3)
    for number, instance in enumerate(study.instances):
        instance.save_as(cd / "DICOM" / f"IM{number}", enforce_file_format=True)
    with (cd / "viewer.exe").open("wb") as viewer:
        viewer.truncate(_BIG)
    command = ("import", str(cd), "--project", "BICAM", "--participant", "P_9")

    def read() -> Any:
        bearer = {"authorization": f"Bearer {sluse.token}"}
        return sluse.system.client.get("/imports", headers=bearer).json()["items"]

    # Run in the background of a shell the tests ignore SIGINT, and so would what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [_SLUSE, *command], env=sluse.environment, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    wait_for(lambda: (all_ := read()) and all_[0]["progress"]["bytes_received"], "the first bytes")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "the same command goes on" in err
    assert "Traceback" not in err
    [broken] = read()
    assert broken["state"] == "uploading"
    assert 0 < broken["progress"]["bytes_received"] < broken["progress"]["bytes"]

    out, err = sluse(*command)
    assert f"Import {broken['id']} goes on." in err
    assert ["images", "3"] in [line.split() for line in out.splitlines()]
    assert str(study.instances[0].PatientName) not in out + err
    assert "--accept" in err
    [reviewed] = read()
    assert (reviewed["state"], reviewed["progress"]["files_received"]) == ("review", 4)

    taken = sluse.json(*command, "--accept")
    assert taken["id"] == broken["id"]
    assert taken["state"] in ("bringing", "accepted")
    wait_for(
        lambda: [one for one in sluse.json("transfers", "list") if one["participant"] == "P_9"],
        "the study in the project",
    )


def test_two_patients_do_not_become_one_participant_by_accident(
    sluse: Shell, tmp_path: Path
) -> None:
    for seed in (11, 12):
        for number, instance in enumerate(Maker(seed, size=16).ct(1).instances):
            instance.save_as(tmp_path / f"{seed}-{number}.dcm", enforce_file_format=True)
    command = ("import", tmp_path, "--project", "BICAM", "--participant", "P_5", "--accept")
    out, err = sluse(*command, code=1)
    assert "several patients" in err
    assert "--confirmed" in err
    assert not out
    assert not [one for one in sluse.json("transfers", "list") if one["participant"] == "P_5"]


def test_a_file_that_is_not_there_is_wrong_use(sluse: Shell, tmp_path: Path) -> None:
    sluse("import", tmp_path / "none", "--project", "BICAM", code=2)
    assert "no file" in sluse("import", tmp_path, "--project", "BICAM", code=1)[1]
