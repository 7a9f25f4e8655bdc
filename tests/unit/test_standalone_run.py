"""The engine by itself: one file, and a whole run."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from pebble import ProcessPool

from demo.phantoms import Maker
from services.anonymizer.standalone import Outcome, OutcomeKind, Plan, deidentify_all
from services.anonymizer.standalone.inputs import Input, look_up
from services.anonymizer.standalone.outcomes import Trouble
from services.anonymizer.standalone.outputs import Draft
from services.anonymizer.standalone.patients import Patient
from services.anonymizer.standalone.work import Task, begin, do, do_all, look_at, look_at_all
from services.anonymizer.standalone.workers import Workers
from shared.errors import Reason
from shared.schemes import Identifiers
from tests.corpus import all_files
from tests.helpers import part10

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", date_shift_days=3)
SECRET = bytes(32)


def test_every_file_of_the_corpus_has_an_answer(tmp_path: Path) -> None:
    task = Task(PLAN, tmp_path, detailed=True, secret=SECRET)
    inputs = list(look_up(all_files()[::4]))
    assert {type(look_at(one, SECRET)) for one in inputs} == {Patient, Outcome}
    assert {type(do(one, task)) for one in inputs} == {Draft, Outcome}


def test_a_file_that_is_held_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    image = part10(Maker(1, size=16).ct(1).instances[0])
    (tmp_path / "cut.dcm").write_bytes(image[:-50])
    (source,) = look_up([tmp_path / "cut.dcm"])
    outcome = do(source, Task(PLAN, tmp_path / "drafts", detailed=False, secret=SECRET))
    assert isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.HELD
    assert not list((tmp_path / "drafts").iterdir())


class DeadlyPlan(Plan):
    """Takes the process down that de-identifies the study that is named as its site."""

    def identifiers(self, study_uid: str) -> Identifiers:
        if study_uid == self.site:
            os._exit(9)
        return super().identifiers(study_uid)


def test_a_crash_is_held_and_does_not_stop_the_run(tmp_path: Path) -> None:
    image, other = (Maker(seed, size=16).ct(1).instances[0] for seed in (1, 2))
    other.PatientID, other.PatientName = image.PatientID, image.PatientName
    for name, content in (("a", image), ("b", other), ("c", image)):
        (tmp_path / f"{name}.dcm").write_bytes(part10(content))
    (tmp_path / "d.txt").write_text("no image")
    plan = DeadlyPlan(
        project=PLAN.project, key=PLAN.key, participant=PLAN.participant,
        site=other.StudyInstanceUID,
    )  # fmt: skip
    summary = deidentify_all([tmp_path], tmp_path / "out", plan, workers=1)
    assert summary.held[Reason.ENGINE_CRASHED.in_words].first == [str(tmp_path / "b.dcm")]
    assert summary.counts == {
        OutcomeKind.WRITTEN: 1, OutcomeKind.TWICE: 1, OutcomeKind.HELD: 1, OutcomeKind.SKIPPED: 1,
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["BICAM_001"]


def test_the_three_calls(tmp_path: Path) -> None:
    study = Maker(3, size=16).mr(3)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(study.instances):
        (tmp_path / f"in/{number}").write_bytes(part10(image))
    outcomes: list[Outcome] = []
    summary = deidentify_all(
        [tmp_path / "in"], tmp_path / "out", PLAN, workers=2, each=outcomes.append
    )
    assert summary.complete and summary.counts == {OutcomeKind.WRITTEN: 3}
    assert [Path(one.source).name for one in outcomes] == ["0", "1", "2"]
    assert all((tmp_path / "out" / one.output).is_file() for one in outcomes)


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes this process one of a run; gives the folder of its drafts."""
    for name in ("logging.disable", "warnings.simplefilter", "live_with_parent"):
        monkeypatch.setattr(f"services.anonymizer.standalone.work.{name}", lambda *_: None)
    (tmp_path / "drafts").mkdir()
    begin(Task(PLAN, tmp_path / "drafts", detailed=False, secret=SECRET))
    return tmp_path / "drafts"


def three(folder: Path) -> list[Input]:
    folder.mkdir()
    for number, image in enumerate(Maker(3, size=16).mr(3).instances):
        (folder / str(number)).write_bytes(part10(image))
    return list(look_up([folder]))


def test_every_draft_is_synced_before_it_is_handed_over(
    tmp_path: Path, process: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, bytes]] = []
    monkeypatch.setattr(
        "services.anonymizer.standalone.work.sync",
        lambda path: synced.append((path, path.read_bytes())),
    )
    drafts = [one for one in do_all(three(tmp_path / "in")) if isinstance(one, Draft)]
    assert len(drafts) == 3
    assert synced == [(one.file, one.file.read_bytes()) for one in drafts if one.file]


def test_a_draft_that_cannot_be_synced_is_held_and_the_others_are_not(
    tmp_path: Path, process: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[Path] = []

    def sync(path: Path) -> None:
        if not broken:
            broken.append(path)
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("services.anonymizer.standalone.work.sync", sync)
    one, *others = do_all(three(tmp_path / "in"))
    assert isinstance(one, Outcome) and one.reason is Trouble.DISK_FULL
    assert {type(other) for other in others} == {Draft}
    assert not broken[0].exists()


def test_few_inputs_go_to_all_processes_and_answers_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    schedule = ProcessPool.schedule

    def counted(pool: ProcessPool, work: Any, args: Any, **others: Any) -> Any:
        sizes.append(len(args[0]))
        return schedule(pool, work, args=args, **others)

    monkeypatch.setattr(ProcessPool, "schedule", counted)
    inputs = three(tmp_path / "in") * 2
    with Workers(Task(PLAN, None, detailed=False, secret=SECRET), 2, 60) as workers:
        answers = list(workers.do(look_at_all, inputs))
    assert sizes == [3, 3]
    assert answers == [look_at(one, SECRET) for one in inputs]
