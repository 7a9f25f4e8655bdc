"""The engine by itself: whether files are of one patient, and that nobody is named."""

from pathlib import Path

import pytest
from pydicom import Dataset

from demo.phantoms import Maker
from services.anonymizer.standalone import (
    Outcome,
    OutcomeKind,
    Plan,
    SeveralPatients,
    deidentify_all,
)
from services.anonymizer.standalone.patients import LAST_TAG, Patient, by_patient, patient_in
from services.anonymizer.standalone.words import patients_in_words
from shared.header import read_header
from tests.helpers import part10

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001")
SECRET = bytes(range(32))


@pytest.fixture
def said(tmp_path: Path) -> "Says":
    return Says(tmp_path)


class Says:
    """Makes a file that says this of its patient, and reads it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self, number: str = "", name: str = "", born: str = "", secret: bytes = SECRET
    ) -> Patient:
        (image,) = Maker(1, size=16).ct(1).instances
        image.PatientID, image.PatientName, image.PatientBirthDate = number, name, born
        path = self._folder / "image"
        path.write_bytes(part10(image))
        return patient_in(read_header(path, stop_after=LAST_TAG), secret)


def count(*patients: Patient) -> int:
    return len(by_patient([(str(number), one) for number, one in enumerate(patients)]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("12345 67890", "", ""), (" 1234567890", "", "")),
        (("ab1", "", ""), ("AB1 ", "", "")),
        (("", "Hansen^Kari", ""), ("", "HANSEN^KARI^^^", "")),
        (("", "Ødegård^Åse", ""), ("", "ØDEGÅRD ÅSE", "")),
        (("", "Hansen^Kari", "1970.01.02"), ("", "Hansen^Kari=漢", "19700102")),
    ],
)
def test_what_is_written_differently_is_the_same(
    said: Says, one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert said(*one) == said(*other)


@pytest.mark.parametrize(
    ("patients", "others"),
    [
        # Ids decide where there are two.
        ([("1", "Hansen^Kari", "19700102"), ("2", "Hansen^Kari", "19700102")], 2),
        ([("1", "", ""), ("2", "", "")], 2),
        # Married; a birth date put right; a number that two hospitals gave.
        ([("1", "Hansen^Kari", "19700102"), ("1", "Berg^Kari", "19700102")], 1),
        ([("1", "Hansen^Kari", "19700102"), ("1", "Hansen^Kari", "19700103")], 1),
        ([("1", "Hansen^Kari", "19700102"), ("1", "Berg^Per", "19600304")], 2),
        ([("1", "Hansen^Kari", ""), ("1", "Berg^Per", "19600304")], 2),
        # Without two ids, twins are two.
        ([("", "Hansen^Kari", "19700102"), ("", "Hansen^Per", "19700102")], 2),
        ([("", "Hansen^Kari", "19700102"), ("1", "Hansen^Kari", "19600304")], 2),
        # What is missing says nothing.
        ([("", "", ""), ("1", "Hansen^Kari", "19700102")], 1),
        ([("1", "", ""), ("", "Hansen^Kari", ""), ("", "", "19700102")], 1),
        ([("", "", "")], 0),
        # Whoever says less is compared with all that is known, wherever it stands.
        ([("", "Hansen^Kari", ""), ("1", "", ""), ("1", "Hansen^Kari", "19700102"),
          ("", "Berg^Kari", ""), ("1", "Berg^Kari", "19700102")], 1),
        ([("1", "Hansen^Kari", ""), ("2", "Berg^Per", ""), ("", "Berg^Per", "")], 2),
    ],
)  # fmt: skip
def test_people_are_told_apart(
    said: Says, patients: list[tuple[str, str, str]], others: int
) -> None:
    found = [said(*one) for one in patients]
    assert count(*found) == count(*reversed(found)) == others


def test_digests_of_two_runs_cannot_be_compared(said: Says) -> None:
    facts = ("1", "Hansen^Kari", "19700102")
    assert not set(said(*facts)) & set(said(*facts, secret=bytes(32)))


def test_files_are_counted_by_patient_in_the_order_of_the_input(said: Says) -> None:
    one, other, nobody = said("1"), said("2", "Hansen^Kari"), said()
    images = [("a", one), ("b", other), ("c", nobody), *((f"d{n}", one) for n in range(9))]
    first, second = by_patient(images)
    assert (first.count, first.first) == (10, ["a", "d0", "d1", "d2", "d3"])
    assert (second.count, second.first) == (1, ["b"])
    assert "and 5 more" in patients_in_words([first, second])


def people(folder: Path, *numbers: str) -> list[Dataset]:
    folder.mkdir()
    images = []
    for seed, number in enumerate(numbers):
        (image,) = Maker(seed, size=16).ct(1).instances
        image.PatientID = number
        (folder / str(seed)).write_bytes(part10(image))
        images.append(image)
    return images


@pytest.mark.parametrize("dry_run", [False, True])
def test_several_patients_are_refused_before_anything_is_written(
    tmp_path: Path, dry_run: bool
) -> None:
    images = people(tmp_path / "in", "NUMBER1", "NUMBER2")
    outcomes: list[Outcome] = []
    with pytest.raises(SeveralPatients) as caught:
        deidentify_all([tmp_path / "in"], tmp_path / "out", PLAN, workers=1, dry_run=dry_run,
                       each=outcomes.append)  # fmt: skip
    assert [one.first for one in caught.value.patients] == [
        [str(tmp_path / "in/0")], [str(tmp_path / "in/1")],
    ]  # fmt: skip
    assert not (tmp_path / "out").exists() and not outcomes
    told = (str(caught.value) + patients_in_words(caught.value.patients)).casefold()
    for image in images:
        for value in (image.PatientID, image.PatientName, image.PatientBirthDate):
            assert str(value).casefold() not in told


def test_several_patients_are_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    people(tmp_path / "in", "NUMBER1", "NUMBER2")
    summary = deidentify_all(
        [tmp_path / "in"], tmp_path / "out", PLAN, workers=2, several_patients=True
    )
    assert summary.complete and summary.counts == {OutcomeKind.WRITTEN: 2}
    assert summary.patients == 2
