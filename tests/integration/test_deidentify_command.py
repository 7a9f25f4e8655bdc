"""`sluse deidentify` as people run it: a process, its words, its exit code and what it leaves."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydicom import Dataset

from demo.checking import leaks, secrets_of
from demo.phantoms import Maker, Study
from shared.errors import Reason
from shared.identity import keyed_uid
from tests.corpus import all_files, read
from tests.helpers import part10
from tests.servers.common import wait_for

_SLUSE = Path(sys.executable).with_name("sluse")
KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a key, and a folder `in`."""
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "in").mkdir()
    return tmp_path


def command(*arguments: object) -> list[str]:
    return [str(_SLUSE), "deidentify", *map(str, arguments)]


def options(folder: Path, **others: object) -> list[object]:
    named: dict[str, object] = {
        "project": "BICAM", "participant": "BICAM_001", "key_file": folder / "key", "workers": 1,
    }  # fmt: skip
    pairs = [(name, value) for name, value in (named | others).items() if value is not None]
    return [part for name, value in pairs for part in (f"--{name.replace('_', '-')}", value)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)


def save(study: Study, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"IM{number}" for number in range(len(study.instances))]
    for path, image in zip(paths, study.instances, strict=True):
        path.write_bytes(part10(image))
    return paths


def count(said: str, row: str) -> int:
    """The number in one row of the summary."""
    (found,) = re.findall(rf"^  {row} +(\d+)", said, re.MULTILINE)
    return int(found)


def copies(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def released(image: Dataset, key: bytes = KEY) -> str:
    study, series, instance = (
        keyed_uid(key, image[name].value)
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    return f"BICAM_001/{study}/{series}/{instance}.dcm"


def test_folders_become_copies_and_a_second_run_changes_nothing(folder: Path) -> None:
    ct, mr = Maker(1, size=32).ct(5), Maker(2, size=32).mr(12)
    save(ct, folder / "in/ct")
    save(mr, folder / "in/deeper/mr")
    (folder / "in/notes.txt").write_text("nothing")
    first = run(
        folder / "in", folder / "out",
        *options(folder, workers=2, event="baseline", site="north", date_shift=-3),
        "--several-patients",
    )  # fmt: skip
    assert (first.returncode, first.stderr) == (0, "")
    assert count(first.stdout, "patients") == 2
    assert (count(first.stdout, "written"), count(first.stdout, "skipped")) == (17, 1)
    written = copies(folder / "out")
    originals = {
        released(image): secrets_of(study, image, "BICAM_001")
        for study in (ct, mr)
        for image in study.instances
    }
    assert set(written) == set(originals)
    for path, secrets in originals.items():
        copy = read(folder / "out" / path)
        assert copy.PatientID == "BICAM_001"
        assert copy.ClinicalTrialTimePointID == "baseline"
        assert copy.ClinicalTrialSiteName == "north"
        assert copy.LongitudinalTemporalInformationModified == "MODIFIED"
        assert leaks(copy, secrets) == []
    assert [path.name for path in (folder / "out").iterdir()] == ["BICAM_001"]

    again = run(
        folder / "in", folder / "out",
        *options(folder, event="baseline", site="north", date_shift=-3), "--several-patients",
    )  # fmt: skip
    assert again.returncode == 0
    assert count(again.stdout, "written") == 0
    assert count(again.stdout, "already there") == 17
    assert copies(folder / "out") == written


def test_the_corpus_is_answered_file_by_file(folder: Path) -> None:
    folders = sorted({path.parent for path in all_files()})
    done = run(folders[0].parent, folder / "out", *options(folder, report=folder / "r.json"),
               "--several-patients")  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert Reason.TRUNCATED.in_words in done.stdout
    report = json.loads((folder / "r.json").read_text())
    summary = report["summary"]
    outcomes = [one["outcome"] for one in report["files"]]
    assert len(outcomes) == summary["found"] and summary["not_reached"] == 0
    assert outcomes.count("written") == summary["written"] == len(copies(folder / "out")) > 100
    assert outcomes.count("held") == summary["held"] > 0
    assert summary["skipped_by_kind"]["DICOMDIR"] > 0
    for one in report["files"]:
        assert (one["outcome"] in ("held", "skipped")) == (one["output"] is None)
        assert (one["outcome"] in ("held", "skipped")) == bool(one["in_words"])


def test_what_is_held_does_not_depend_on_the_number_of_processes(folder: Path) -> None:
    source = all_files()[0].parent.parent
    outputs, words = [], []
    for workers in (1, 2):
        out = folder / f"out{workers}"
        done = run(source, out, *options(folder, workers=workers), "--several-patients")
        outputs.append(copies(out))
        words.append(done.stdout.replace(str(out), "OUT"))
    assert words[0] == words[1]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_files_of_several_patients_are_refused_unless_that_is_asked_for(
    folder: Path, workers: int
) -> None:
    studies = [Maker(1, size=16).ct(40), Maker(2, size=16).mr(3)]
    for name, study in zip("ab", studies, strict=True):
        save(study, folder / "in" / name)
    named = options(folder, workers=workers, report=folder / "report.json")
    for more in ([], ["--dry-run"]):
        done = run(folder / "in", folder / "out", *named, *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert "IN holds files of 2 patients" in done.stderr
        assert re.findall(r"patient \d: (\d+) files", done.stderr) == ["40", "3"]
        assert str(folder / "in/a/IM0") in done.stderr and "--several-patients" in done.stderr
        for study in studies:
            for secret in secrets_of(study, study.instances[0], "BICAM_001").values():
                assert secret.casefold() not in done.stderr.casefold()
    assert {path.name for path in folder.iterdir()} == {"in", "key"}
    done = run(folder / "in", folder / "out", *named, "--several-patients")
    assert (done.returncode, count(done.stdout, "patients"), count(done.stdout, "written")) == (
        0, 2, 43,
    )  # fmt: skip
    assert json.loads((folder / "report.json").read_text())["summary"]["patients"] == 2


def test_another_image_in_the_place_of_a_copy_is_left_alone(folder: Path) -> None:
    (image,) = Maker(1, size=16).ct(1).instances
    (source,) = save(Study("", Maker(1).ct(1).person, [image]), folder / "in")
    target = folder / "out" / released(image)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody's work")
    done = run(source, folder / "out", *options(folder))
    assert done.returncode == 1
    assert "was left as it is" in done.stdout and str(source) in done.stdout
    assert copies(folder / "out") == {released(image): b"somebody's work"}


def test_two_files_of_one_image(folder: Path) -> None:
    (image,) = Maker(1, size=16).ct(1).instances
    for name in ("a", "b"):
        (folder / "in" / name).write_bytes(part10(image))
    image.SeriesNumber = "77"
    (folder / "in/c").write_bytes(part10(image))
    done = run(folder / "in", folder / "out", *options(folder))
    assert done.returncode == 1
    assert count(done.stdout, "twice in the input") == 1
    assert "The first one was taken." in done.stdout and str(folder / "in/c") in done.stdout
    assert read(folder / "out" / released(image)).SeriesNumber == 2


def test_a_zip_is_read_and_its_troubles_are_told(folder: Path) -> None:
    study = Maker(4, size=16).us(3)
    with zipfile.ZipFile(folder / "in/disc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, image in enumerate(study.instances):
            archive.writestr(f"../../\x1b[31mIM{number}", part10(image))
        archive.writestr("README", "viewer")
        archive.writestr("inner.zip", b"PK\3\4" + bytes(60))
    done = run(folder / "in", folder / "out", *options(folder))
    assert done.returncode == 1
    assert "A ZIP inside a ZIP is not opened" in done.stdout and "1 not DICOM" in done.stdout
    assert "\x1b" not in done.stdout
    assert set(copies(folder / "out")) == {released(image) for image in study.instances}
    assert {path.name for path in folder.iterdir()} == {"in", "key", "out"}


def test_a_dry_run_tells_the_same_and_writes_nothing(folder: Path) -> None:
    save(Maker(1, size=16).ct(3), folder / "in")
    (folder / "in/broken.dcm").write_bytes(b"nonsense")
    dry = run(folder / "in", folder / "out", *options(folder), "--dry-run")
    assert dry.returncode == 1
    assert not (folder / "out").exists()
    wet = run(folder / "in", folder / "out", *options(folder))
    assert wet.returncode == 1
    said = dry.stdout.replace("would be written", "written         ").splitlines()
    assert said[-1] == "This was a dry run: nothing was written."
    assert said[:-1] == wet.stdout.splitlines()
    before = copies(folder / "out")
    dry = run(folder / "in", folder / "out", *options(folder), "--dry-run")
    assert count(dry.stdout, "already there") == 3
    assert copies(folder / "out") == before


def test_a_report_holds_no_secret(folder: Path) -> None:
    study = Maker(6, size=16).mr(2)
    save(study, folder / "in")
    done = run(folder / "in", folder / "out", *options(folder, report=folder / "report.json"))
    assert done.returncode == 0
    report = json.loads((folder / "report.json").read_text())
    for one in report["files"]:
        one["input"] = ""  # files' names are the user's own
    text = json.dumps(report, ensure_ascii=False).casefold()
    assert [one["output"] for one in report["files"]] == [released(one) for one in study.instances]
    assert report["plan"]["participant"] == "BICAM_001"
    assert stat.S_IMODE((folder / "report.json").stat().st_mode) == 0o600
    for image in study.instances:
        for secret in (*secrets_of(study, image, "BICAM_001").values(), KEY.hex()):
            assert secret.casefold() not in text


def test_what_cannot_be_read_is_held(folder: Path) -> None:
    save(Maker(1, size=16).ct(1), folder / "in")
    (folder / "in/gone.dcm").symlink_to(folder / "nowhere")
    (folder / "in/loop").symlink_to(folder / "in")
    done = run(folder / "in", folder / "out", *options(folder))
    assert done.returncode == 1
    assert "1 held: The file or folder can't be read." in done.stdout
    assert len(copies(folder / "out")) == 1


def test_a_folder_without_images_is_no_success(folder: Path) -> None:
    done = run(folder / "in", folder / "out", *options(folder))
    assert done.returncode == 1
    assert "There was no DICOM file in the input." in done.stdout


def test_a_new_key_is_made_only_when_asked_for(folder: Path) -> None:
    save(Maker(1, size=16).ct(1), folder / "in")
    key = folder / "new"
    refused = run(folder / "in", folder / "out", *options(folder, key_file=key))
    assert refused.returncode == 2 and "--new-key" in refused.stderr
    dry = run(folder / "in", folder / "out", *options(folder, key_file=key), "--new-key",
              "--dry-run")  # fmt: skip
    assert dry.returncode == 0 and not key.exists()
    made = run(folder / "in", folder / "out", *options(folder, key_file=key), "--new-key")
    assert made.returncode == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    assert before.strip() not in made.stdout
    again = run(folder / "in", folder / "out", *options(folder, key_file=key), "--new-key")
    assert again.returncode == 2 and "exists already" in again.stderr
    assert key.read_text() == before
    with_it = run(folder / "in", folder / "out", *options(folder, key_file=key))
    assert count(with_it.stdout, "already there") == 1


def test_a_key_that_others_can_read_is_pointed_out(folder: Path) -> None:
    (folder / "key").chmod(0o644)
    save(Maker(1, size=16).ct(1), folder / "in")
    done = run(folder / "in", folder / "out", *options(folder))
    assert done.returncode == 0 and done.stderr.startswith("Warning: others")


@pytest.mark.parametrize("style", ["decimal", "hex"])
def test_legacy_needs_no_key(folder: Path, style: str) -> None:
    save(Maker(1, size=16).ct(2), folder / "in")
    done = run(folder / "in", folder / "out", *options(folder, key_file=None, legacy=style))
    assert done.returncode == 0, done.stderr
    assert len(copies(folder / "out")) == 2


def test_a_profile_is_applied(folder: Path) -> None:
    (image,) = Maker(1, size=16).ct(1).instances
    (folder / "in/a").write_bytes(part10(image))
    rule = {"element": "KVP", "action": "remove"}
    profile = {"format": 1, "name": "own", "base": "source-2019", "rules": [rule]}
    (folder / "own.json").write_text(json.dumps(profile))
    for name, has in (("with", False), ("without", True)):
        chosen = folder / "own.json" if name == "with" else None
        assert run(folder / "in", folder / name, *options(folder, profile=chosen)).returncode == 0
        assert ("KVP" in read(folder / name / released(image))) is has


def test_a_wrong_profile_gets_one_line_and_makes_no_key(folder: Path) -> None:
    rules = [{"element": "NoSuchElement", "action": "vanish"}] * 4
    profile = {"format": 1, "name": "own", "base": "source-2019", "rules": rules}
    (folder / "own.json").write_text(json.dumps(profile))
    named = options(folder, profile=folder / "own.json", key_file=folder / "new")
    done = run(folder / "in", folder / "out", *named, "--new-key")
    assert done.returncode == 2
    assert done.stderr.startswith("sluse deidentify: --profile: rule 1: ")
    assert done.stderr.count("\n") == 1 and " more" in done.stderr
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"project": "bicam"}, "--project: use 3 to 16 capitals"),
        ({"project": None}, "--project"),
        ({"participant": "../up"}, "--participant: use up to 64 letters"),
        ({"event": "a\\b"}, "--event: use up to 64"),
        ({"site": " x"}, "--site: use up to 64"),
        ({"date_shift": "99999999"}, "--date-shift: use at most"),
        ({"date_shift": "soon"}, "--date-shift"),
        ({"workers": 0}, "--workers: use 1 to 256"),
        ({"legacy": "octal"}, "--legacy"),
        ({"legacy": "hex"}, "--legacy has no key"),
        ({"key_file": None}, "--key-file is missing"),
        ({"key_file": "/dev/null"}, "holds no key"),
        ({"report": "key"}, "exists already"),
        ({"report": "nowhere/r.json"}, "there is no folder"),
        ({"profile": "nowhere.toml"}, "--profile: the file can't be read"),
    ],
)
def test_a_wrong_option_gets_one_line(
    folder: Path, changes: dict[str, object], complaint: str
) -> None:
    save(Maker(1, size=16).ct(1), folder / "in")
    for name in ("report", "profile"):
        if name in changes:
            changes = changes | {name: folder / str(changes[name])}
    done = run(folder / "in", folder / "out", *options(folder, **changes))
    assert done.returncode == 2
    assert complaint in done.stderr and done.stderr.count("\n") == 1
    assert not done.stdout and not (folder / "out").exists()


def test_wrong_places_are_refused(folder: Path) -> None:
    (folder / "file").write_text("x")
    for places, complaint in (
        ((folder / "nowhere", folder / "out"), "there is no"),
        ((folder / "in", folder / "file"), "OUT must be a folder"),
        ((folder / "in", folder / "in"), "IN must not be in OUT"),
        ((folder / "in", folder), "IN must not be in OUT"),
    ):
        done = run(*places, *options(folder))
        assert done.returncode == 2 and complaint in done.stderr


def test_ctrl_c_stops_cleanly_and_the_next_run_does_the_rest(folder: Path) -> None:
    study = Maker(8, size=64).ct(20)
    save(study, folder / "in/a")
    # Long enough that the signal comes in the middle, however fast the engine is.
    with zipfile.ZipFile(folder / "in/b.zip", "w") as archive:
        image = part10(study.instances[0])
        for number in range(4000):
            archive.writestr(f"{number}", image)
    process = subprocess.Popen(
        command(folder / "in", folder / "out", *options(folder, report=folder / "report.json")),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: list((folder / "out").rglob("*.dcm")), "the first copy")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (130, "")
    assert "Stopped. No half file was left" in said and "not looked at" in said
    assert json.loads((folder / "report.json").read_text())["summary"]["not_reached"] > 0
    assert [path.name for path in (folder / "out").iterdir()] == ["BICAM_001"]
    written = copies(folder / "out")
    assert written
    assert all(read(folder / "out" / path).PatientID == "BICAM_001" for path in written)
    rest = run(folder / "in/a", folder / "out", *options(folder))
    assert rest.returncode == 0
    assert set(copies(folder / "out")) == {released(image) for image in study.instances}
    assert copies(folder / "out").items() >= written.items()
