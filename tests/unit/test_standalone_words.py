"""The engine by itself: how a run is told, to people and as JSON."""

import json
import stat
from pathlib import Path

import pytest

from services.anonymizer.engine.report import Change, Report, element_path
from services.anonymizer.standalone import Outcome, OutcomeKind, Plan, Summary
from services.anonymizer.standalone.outcomes import Skip
from services.anonymizer.standalone.report import report_to
from services.anonymizer.standalone.words import in_words
from shared.errors import Reason

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", date_shift_days=3)


def test_a_path_names_every_level() -> None:
    assert element_path(0x00080050) == "(0008,0050)"
    assert element_path(0x00400275, 1, 0x00080050) == "(0040,0275)[1].(0008,0050)"
    assert element_path(0x002110FE, 2, 0x00211042, 1, 0x0020000D) == (
        "(0021,10fe)[2].(0021,1042)[1].(0020,000d)"
    )


def test_a_report_is_json() -> None:
    report = Report([Change("(0008,0050)", "hash", "the table")], ["odd"])
    assert json.loads(json.dumps(report.as_json())) == {
        "changes": [{"path": "(0008,0050)", "action": "hash", "why": "the table"}],
        "warnings": ["odd"],
    }


def test_a_summary_says_everything_once(tmp_path: Path) -> None:
    summary = Summary(found=9)
    for outcome in (
        Outcome("a", OutcomeKind.WRITTEN, "P/a"),
        Outcome("d", OutcomeKind.SKIPPED, reason=Skip.DICOMDIR),
        *(Outcome(f"h{n}", OutcomeKind.HELD, reason=Reason.TRUNCATED) for n in range(7)),
    ):
        summary.add(outcome)
    text = in_words(summary, tmp_path, PLAN)
    assert "7 held: The image ends in the middle" in text
    assert "h4" in text and "h5" not in text and "and 2 more" in text
    assert "1 DICOMDIR" in text and "not looked at" not in text
    assert not summary.complete


@pytest.mark.parametrize(
    ("found", "kinds", "complete"),
    [
        (1, [OutcomeKind.WRITTEN], True),
        (3, [OutcomeKind.ALREADY_THERE, OutcomeKind.TWICE, OutcomeKind.SKIPPED], True),
        (2, [OutcomeKind.WRITTEN], False),
        (2, [OutcomeKind.WRITTEN, OutcomeKind.HELD], False),
        (1, [OutcomeKind.SKIPPED], False),
        (0, [], False),
    ],
)
def test_complete_means_every_image_has_its_copy(
    found: int, kinds: list[OutcomeKind], complete: bool
) -> None:
    summary = Summary(found=found)
    for kind in kinds:
        summary.add(Outcome("a", kind))
    assert summary.complete is complete


def test_a_report_file_is_private_json_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = Report([Change("(0010,0010)", "Re-Mapped", "the table")])
    with report_to(path, PLAN, dry_run=False) as file:
        assert file is not None
        file.add(Outcome("a", OutcomeKind.WRITTEN, "P/a", report=report))
        file.add(Outcome("b", OutcomeKind.HELD, reason=Reason.NOT_DICOM))
        assert not path.exists()
        file.finish(Summary(found=2))
    content = json.loads(path.read_text())
    assert content["files"][0]["changes"] == [vars(report.changes[0])]
    assert content["files"][1]["in_words"] == Reason.NOT_DICOM.in_words
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PLAN.key.hex() not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]
