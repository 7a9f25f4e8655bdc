"""The header reader against pydicom, on pydicom's own files and on damaged ones."""

import random
import struct
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement

from shared.errors import Reason, Reject
from shared.header import read_header
from shared.walk import MAX_DEPTH
from tests.corpus import all_files, read

CT = Path(str(get_testdata_file("CT_small.dcm")))


def readable() -> list[Path]:
    found = []
    for path in all_files():
        try:
            read_header(path)
        except Reject:
            continue
        found.append(path)
    return found


READABLE = readable()


def test_most_of_the_corpus_is_readable() -> None:
    assert len(READABLE) >= 170


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_it_sees_the_elements_that_pydicom_sees(path: Path) -> None:
    header, data_set = read_header(path), read(path)
    assert header.transfer_syntax == data_set.file_meta.TransferSyntaxUID
    for tag in data_set.keys():  # noqa: SIM118 iterating gives elements
        assert tag in header
        element = data_set.get_item(tag)
        raw = header.raw(tag)
        if isinstance(element, RawDataElement) and raw is not None and element.VR != "SQ":
            assert raw == (element.value or b"")


TEXTS = ("PatientName", "PatientID", "StudyDescription", "StudyInstanceUID", "Modality",
         "Rows", "SliceThickness", "ImageType", "StudyDate")  # fmt: skip


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_it_reads_the_texts_that_pydicom_reads(path: Path) -> None:
    header, data_set = read_header(path), read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in TEXTS:
            value = data_set.get(keyword)
            tag = pydicom.datadict.tag_for_keyword(keyword)
            assert tag is not None
            if header.transfer_syntax == "1.2.840.10008.1.2" and keyword == "Rows":
                continue  # numbers have no VR here
            values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
            wanted = [str(one).strip(" \0") for one in values] if value not in (None, "") else []
            found = [text.rstrip("=") for text in header.texts(tag)]  # pydicom drops empty groups
            assert found == (wanted if any(wanted) else [])


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_it_notices_every_cut(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    cut = tmp_path / "cut.dcm"
    header = read_header(path)
    chance = random.Random(path.name)
    for _ in range(12):
        end = chance.randrange(header.data_set_offset + 1, len(whole))
        cut.write_bytes(whole[:end])
        try:
            found = read_header(cut)
        except Reject as error:
            assert error.reason in (Reason.TRUNCATED, Reason.UNREADABLE)
        else:
            # Between two top-level elements a cut can't be seen: what follows is just not there.
            assert set(found._elements) < set(header._elements) or not any(whole[end:])


def test_stopping_early_does_not_look_further(tmp_path: Path) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(CT.read_bytes()[:20000])
    header = read_header(cut, stop_after=0x0020000E)
    assert header.text(0x0020000E) == read(CT).SeriesInstanceUID
    assert 0x7FE00010 not in header
    with pytest.raises(Reject, match="truncated"):
        read_header(cut)


def _part10(data_set: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    meta = b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
    return bytes(128) + b"DICM" + meta + data_set


def _refused(tmp_path: Path, content: bytes) -> Reject:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(Reject) as caught:
        read_header(path)
    return caught.value


def test_what_is_not_dicom_is_said_to_be_so(tmp_path: Path) -> None:
    assert _refused(tmp_path, b"").reason is Reason.NOT_DICOM
    assert _refused(tmp_path, b"GIF89a" * 100).reason is Reason.NOT_DICOM
    assert _refused(tmp_path, bytes(128) + b"DICM").reason is Reason.NOT_DICOM


@pytest.mark.parametrize(
    ("data_set", "reason"),
    [
        (b"\x08\0\x16\0UI\xff", Reason.TRUNCATED),
        (b"\x08\0\x16\0UI\x10\0" + b"1.2", Reason.TRUNCATED),
        (b"\x08\0\x16\0..\x02\x001 ", Reason.UNREADABLE),
        (b"\x04\0\x16\0UI\x02\x001 ", Reason.UNREADABLE),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff", Reason.TRUNCATED),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\x08\0\x16\0UI\x02\x001 ", Reason.UNREADABLE),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\x7f" + bytes(20), Reason.TRUNCATED),
    ],
)
def test_damaged_data_sets_are_refused(tmp_path: Path, data_set: bytes, reason: Reason) -> None:
    assert _refused(tmp_path, _part10(data_set)).reason is reason


def test_bottomless_nesting_ends(tmp_path: Path) -> None:
    item = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    error = _refused(tmp_path, _part10(item * (MAX_DEPTH + 5)))
    assert error.reason is Reason.UNREADABLE
    assert "nested" in error.detail


def test_an_inflation_bomb_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.header.MAX_INFLATED", 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(1 << 22)) + packer.flush()
    error = _refused(tmp_path, _part10(bomb, b"1.2.840.10008.1.2.1.99"))
    assert error.reason is Reason.UNREADABLE


def test_a_doubled_element_is_refused(tmp_path: Path) -> None:
    error = _refused(tmp_path, _part10(b"\x10\0\x20\0LO\x02\0A \x10\0\x20\0LO\x02\0B "))
    assert error.reason is Reason.UNREADABLE


def test_a_stray_delimiter_is_refused(tmp_path: Path) -> None:
    data_set = b"\x10\0\x20\0LO\x02\0A \xfe\xff\x0d\xe0\0\0\0\0\x10\0\x40\0CS\x02\0M "
    assert _refused(tmp_path, _part10(data_set)).reason is Reason.UNREADABLE


def test_thousands_of_elements_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.header.MAX_ELEMENTS", 10)
    elements = b"".join(b"\x11\0" + struct.pack("<H", n) + b"LO\0\0" for n in range(16, 32))
    assert _refused(tmp_path, _part10(elements)).reason is Reason.UNREADABLE


def test_only_some_megabytes_of_values_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.header.MAX_VALUES", 100)
    path = tmp_path / "x.dcm"
    value = b"x" * 60
    element = b"LO" + struct.pack("<H", 60) + value
    path.write_bytes(_part10(b"".join(b"\x11\0%c\0" % n + element for n in range(16, 24))))
    header = read_header(path)
    assert len(header.tags) == 8 and len(header._values) == 2


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_garbage_ends_in_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(CT.read_bytes()[:6000])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(132, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "garbage.dcm"
    path.write_bytes(whole)
    try:
        header = read_header(path)
    except Reject:
        return
    for tag in list(header._elements):
        header.text(tag)
