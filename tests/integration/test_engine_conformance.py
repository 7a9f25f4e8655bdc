"""What other people's programs say about the engine's copies.

dcmtk reads and converts them, dicom3tools' `dciodvfy` looks for violations of PS3.3, and nobody may
find anything that the original did not have.
"""

import csv
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag

import shared.profile
from services.anonymizer.engine import Plan, deidentify
from shared.errors import Reason, Reject
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.corpus import read, storage_objects
from tests.rawreading import PIXELS, Raw, read_raw
from tests.servers.common import missing

PLAN = Plan(project="BICAM", key=bytes(range(32)), participant="BICAM_001", event="AAR1",
            site="BERGEN", date_shift_days=-37)  # fmt: skip
# PS3.10 table 7.1-1: what a file needs, and nothing that names a sender
META = [0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013]
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
ENCAPSULATED_DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."
# dciodvfy's words for what a row of the table removes, although the object's module wants it
TAKEN = re.compile(r"Missing attribute .* Element=<(\w+)>")
UNREFERENCED = "ReferencedSeriesSequence present but Instance does not reference Instances"


@cache
def copy_of(path: Path) -> bytes | None:
    """The engine's copy; None of an encapsulated document, which is held."""
    target = BytesIO()
    try:
        deidentify(path, target, PLAN)
    except Reject as error:
        assert error.reason is Reason.NOT_DEIDENTIFIABLE
        assert str(read(path).SOPClassUID).startswith(ENCAPSULATED_DOCUMENT)
        return None
    return target.getvalue()


def passing() -> list[Path]:
    return [path for path in storage_objects()
            if not str(read(path).SOPClassUID).startswith(ENCAPSULATED_DOCUMENT)]  # fmt: skip


every_file = pytest.mark.parametrize("path", passing(), ids=lambda path: path.name)


@pytest.fixture
def copied(path: Path, tmp_path: Path) -> Path:
    content = copy_of(path)
    assert content is not None
    copied = tmp_path / "copy.dcm"
    copied.write_bytes(content)
    return copied


def run(tool: str, package: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        missing(f"{package}'s {tool}", package)
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True,
                          errors="replace", timeout=60)  # fmt: skip


def complaints(text: str) -> Counter[str]:
    """Lines that complain, without the values that they quote."""
    lines = (line for line in text.splitlines() if re.search(r"\b([WEF]:|Error|Abort)", line))
    values = r"<[0-9. ]*>|(?<=UID )[0-9.]+|[0-9]{3,}"
    return Counter(re.sub(values, "<>", line) for line in lines)


def leaves(raw: Raw) -> list[tuple[str, bytes]]:
    """Paths and values of what holds no other elements, without padding and group lengths."""
    inner = [one.path for one in raw.elements]
    outer = {path.rsplit("[", 1)[0] for path in inner if "[" in path}
    return [
        (one.path, raw.value(one).rstrip(b" \0"))
        for one in raw.elements
        if one.path not in outer and one.vr != "SQ" and one.tag & 0xFFFF and one.tag >> 16 != 2
    ]


@every_file
def test_a_copy_is_a_legal_file(path: Path) -> None:
    content = copy_of(path)
    assert content is not None and content[:132] == bytes(128) + b"DICM"
    raw, before = read_raw(content), read_raw(path.read_bytes())
    assert raw.whole and raw.syntax == before.syntax
    top = [one for one in raw.elements if "." not in one.path]
    assert [one.tag for one in top] == sorted({one.tag for one in top})
    values = {one.tag: raw.value(one).strip(b" \0") for one in top}
    group_two = [one for one in top if one.tag >> 16 == 2]
    assert [one.tag for one in group_two] == META
    length = int.from_bytes(raw.value(group_two[0]), "little")
    assert group_two[0].stop + length == group_two[-1].stop
    assert values[0x00020002] == values[0x00080016]
    assert values[0x00020003] == values[0x00080018]
    assert values[0x00020012].decode() == IMPLEMENTATION_CLASS_UID
    assert values[0x00020013].decode() == IMPLEMENTATION_VERSION_NAME
    assert not [one.path for one in raw.elements if not one.tag & 0xFFFF and one.tag != META[0]]
    odd = {one.path for one in raw.elements if (one.stop - one.start) % 2}
    assert odd <= {one.path for one in before.elements if (one.stop - one.start) % 2}


@every_file
def test_pixel_data_is_the_same_bytes(path: Path) -> None:
    content = copy_of(path)
    assert content is not None
    before, after = read_raw(path.read_bytes()), read_raw(content)

    def pixels(raw: Raw) -> list[tuple[str, str, bytes]]:
        top = [one for one in raw.elements if one.path == f"{one.tag:08X}"]
        return [(one.path, one.vr, raw.value(one)) for one in top if one.tag in PIXELS]

    assert pixels(after) == pixels(before)
    assert bool(pixels(after)) == bool(PIXELS & set(map(int, read(path).keys())))


@every_file
def test_dcmdump_has_nothing_new_to_complain_about(path: Path, copied: Path) -> None:
    before, after = run("dcmdump", "dcmtk", path), run("dcmdump", "dcmtk", copied)
    assert complaints(after.stderr) - complaints(before.stderr) == Counter()
    assert after.returncode == 0 or before.returncode != 0


@every_file
def test_conversions_keep_every_value(path: Path, copied: Path, tmp_path: Path) -> None:
    def converted(source: Path, *options: str) -> Path | None:
        target = tmp_path / f"{source.stem}{options[-1]}.dcm"
        tool = run("dcmconv", "dcmtk", *options, source, target)
        return target if tool.returncode == 0 else None

    plain = converted(copied, "+te")
    if plain is None:
        # Not even the original can be converted: compressed, or damaged.
        assert run("dcmconv", "dcmtk", "+te", path, tmp_path / "before.dcm").returncode != 0
        return
    wanted = leaves(read_raw(plain.read_bytes()))
    if read_raw(copied.read_bytes()).syntax != BIG_ENDIAN:
        assert wanted == leaves(read_raw(copied.read_bytes()))
    for option in ("+ti", "+tb", "+td"):
        other = converted(copied, option)
        assert other is not None
        back = converted(other, "+te")
        assert back is not None
        assert leaves(read_raw(back.read_bytes())) == wanted


def removed_by_table() -> set[str]:
    """Keywords of what the 2019 table removes, wherever a module may want it."""
    table = Path(shared.profile.__file__).parent / "source-2019.csv"
    with table.open(encoding="utf-8", newline="") as file:
        return {
            keyword_for_tag(int(row["group"] + row["element"], 16))
            for row in csv.DictReader(file)
            if row["action"] == "remove"
        }


@every_file
def test_dciodvfy_finds_no_new_violations(path: Path, copied: Path, tmp_path: Path) -> None:
    files = [path, copied]
    if read_raw(path.read_bytes()).syntax == DEFLATED:
        # It can't inflate: it would judge noise.
        files = [tmp_path / "inflated-before.dcm", tmp_path / "inflated-after.dcm"]
        for deflated, inflated in zip((path, copied), files, strict=True):
            assert run("dcmconv", "dcmtk", "+te", deflated, inflated).returncode == 0
    before, after = (run("dciodvfy", "dicom3tools", one) for one in files)
    removed = removed_by_table()
    new = [
        line
        for line in complaints(after.stderr) - complaints(before.stderr)
        if not ((taken := TAKEN.search(line)) and taken[1] in removed)
        and not (UNREFERENCED in line and "SourceImageSequence" in removed)
    ]
    assert new == []
