"""Engine and leak scanner, which know nothing of each other, over every file there is."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from demo import vendors
from demo.phantoms import Maker
from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reason, Reject
from tests.corpus import read, storage_objects
from tests.leaks import Finding, leaks

GRANTED = ("BICAM", "BICAM_001", "AAR1", "BERGEN")
SHIFTS = (-37, 0)


def plan(shift: int) -> Plan:
    return Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="AAR1",
                site="BERGEN", date_shift_days=shift)  # fmt: skip


def left_in_copy(source: Path, shift: int) -> list[Finding]:
    target = BytesIO()
    deidentify(source, target, plan(shift))
    return leaks(source.read_bytes(), target.getvalue(), shift_days=shift, granted=GRANTED)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("path", storage_objects(), ids=lambda path: path.name)
def test_the_corpus_leaves_no_trace(path: Path, shift: int) -> None:
    try:
        left = left_in_copy(path, shift)
    except Reject as error:
        assert error.reason is Reason.NOT_DEIDENTIFIABLE
        assert "Encapsulated" in read(path).SOPClassUID.name
        return
    assert [str(one) for one in left] == []


def test_the_corpus_would_give_much_away() -> None:
    """Unchanged copies are full of findings, so the silence above means something."""
    telling = [path for path in storage_objects()
               if leaks(path.read_bytes(), path.read_bytes(), shift_days=-37)]  # fmt: skip
    assert len(telling) == len(storage_objects())


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("kind", ["ct", "mr", "us"])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_generated_studies_leave_no_trace(
    tmp_path: Path, kind: str, shift: int, syntax: str
) -> None:
    for seed in (1, 2, 3):
        for number, image in enumerate(getattr(Maker(seed, size=16), kind)(2).instances):
            image.file_meta.TransferSyntaxUID = syntax
            source = tmp_path / f"{seed}-{number}.dcm"
            pydicom.dcmwrite(source, image, enforce_file_format=True)
            assert len(leaks(source.read_bytes(), source.read_bytes(), shift_days=shift)) > 8
            assert [str(one) for one in left_in_copy(source, shift)] == []


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize(
    "vendor",
    ["siemens_csa", "siemens_xa", "ge", "philips", "uih", "canon", "fuji", "agfa", "sectra"],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_vendors_private_blocks_leave_no_trace(
    tmp_path: Path, vendor: str, shift: int, syntax: str
) -> None:
    for seed in (1, 2, 3):
        study = Maker(seed, size=16).ct(1)
        planted = getattr(vendors, vendor)(study.instances[0], study.person)
        planted.data_set.file_meta.TransferSyntaxUID = syntax
        source = tmp_path / f"{seed}.dcm"
        pydicom.dcmwrite(source, planted.data_set, enforce_file_format=True)
        assert len(leaks(source.read_bytes(), source.read_bytes(), shift_days=shift)) > 8
        assert [str(one) for one in left_in_copy(source, shift)] == []
