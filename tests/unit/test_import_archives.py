"""What imports read of ZIPs and DICOMDIRs, and what they do not."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.phantoms import Maker
from services.api.imports import archives
from services.api.imports.archives import Archive, ArchiveError, is_archive
from services.api.imports.contents import Contents, File
from services.api.imports.listings import MAX_LISTING, ListingError, read_listing
from services.api.imports.looking import Found, look_at
from shared.errors import Reason, Retry
from shared.importing import Kind, Why, label
from shared.settings import Settings
from shared.spool import Spool
from tests.helpers import part10
from tests.importing import cd, zipped

IMAGE = part10(Maker(1, size=16).ct(1).instances[0])
ID = "0" * 32


class Box:
    """A spool with one import, whose files are looked into."""

    def __init__(self, folder: Path, **knobs: object) -> None:
        self.spool = Spool(folder / "spool")
        self.spool.prepare()
        self.staging = self.spool.staging(ID)
        self.staging.make()
        self.contents = Contents(Settings(**knobs), self.spool, self.staging, 0)

    def look(self, content: bytes, path: str = "in.zip") -> list[Found]:
        self.staging.uploaded(1).write_bytes(content)
        return self.contents.of(File(1, path, len(content)))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def whys(found: list[Found]) -> list[Why | None]:
    return [one.why for one in found]


def member(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


def archive_of(*infos: zipfile.ZipInfo, content: bytes = IMAGE) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for info in infos:
            archive.writestr(info, content)
    return target.getvalue()


@pytest.mark.parametrize(
    "name",
    ["../evil.dcm", "a/../../evil.dcm", "/etc/passwd", "C:evil.dcm", "c:\\evil.dcm", "\\\\host\\x",
     "a\\..\\b", "..", "a/.."],
)  # fmt: skip
def test_a_path_that_points_out_of_the_zip_is_refused(box: Box, tmp_path: Path, name: str) -> None:
    found = box.look(archive_of(member(name), member("good.dcm")))
    assert whys(found) == [Why.UNSAFE_PATH, None]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["1", "1.2"]


def test_harmless_names_are_taken(box: Box) -> None:
    found = box.look(archive_of(*map(member, ["a..b/c..dcm", "...", "ab:c", "æø/å"])))
    assert whys(found) == [None] * 4
    assert len({one.digest for one in found}) == 1


def test_links_are_refused(box: Box) -> None:
    found = box.look(archive_of(member("link.dcm", stat.S_IFLNK | 0o777), content=b"/etc/passwd"))
    assert whys(found) == [Why.LINK]


def test_locked_members_are_refused(box: Box) -> None:
    raw = bytearray(archive_of(member("a.dcm")))
    raw[raw.index(b"PK\1\2") + 8] |= 1
    assert whys(box.look(bytes(raw))) == [Why.ENCRYPTED]


def test_a_zip_in_a_zip_is_refused_and_a_document_is_not_one(box: Box) -> None:
    inner = zipped({"1.dcm": IMAGE})
    found = box.look(zipped({"inner.zip": inner, "inner": inner, "report.docx": inner}))
    assert whys(found) == [Why.ARCHIVE_NESTED, Why.ARCHIVE_NESTED, Why.NOT_DICOM]
    assert whys(box.look(inner, "report.docx")) == [Why.NOT_DICOM]
    assert is_archive(inner, "CD/archive") and not is_archive(b"MZ", "a.zip")


def test_packings_that_may_take_any_memory_are_refused(box: Box) -> None:
    assert whys(box.look(zipped({"a.dcm": IMAGE}, zipfile.ZIP_LZMA))) == [Why.COMPRESSION]
    assert whys(box.look(zipped({"a.dcm": IMAGE}, zipfile.ZIP_BZIP2))) == [None]


def test_a_bomb_is_not_opened(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"a.dcm": IMAGE[:200] + bytes(3 << 20)})
    assert len(bomb) * archives.MAX_GROWTH < 3 << 20
    monkeypatch.setattr(archives, "ALWAYS_FINE", 1 << 20)
    assert whys(box.look(bomb)) == [Why.ARCHIVE_TOO_LARGE]
    assert not box.staging.unpacked(1, 1).exists()


def test_members_that_share_their_bytes_are_not_opened(box: Box) -> None:
    raw = bytearray(zipped({"a": os.urandom(5000), "b": b"x" * 9}))
    first, second = raw.index(b"PK\1\2"), raw.rindex(b"PK\1\2")
    for field in (slice(16, 28), slice(42, 46)):
        raw[second + field.start : second + field.stop] = raw[
            first + field.start : first + field.stop
        ]
    assert whys(box.look(bytes(raw))) == [Why.ARCHIVE_TOO_LARGE]


def test_a_member_that_lies_about_its_size_is_damaged(box: Box) -> None:
    raw = bytearray(zipped({"a.dcm": IMAGE[:400] + bytes(100_000)}))
    struct.pack_into("<L", raw, raw.index(b"PK\1\2") + 24, 2000)
    assert whys(box.look(bytes(raw))) == [Why.ARCHIVE_UNREADABLE]
    assert not box.staging.unpacked(1, 1).exists()


def test_too_many_entries_or_too_much_in_all_are_refused(tmp_path: Path) -> None:
    content = zipped({str(number): IMAGE for number in range(4)})
    few = Box(tmp_path / "few", import_max_files=3)
    assert whys(few.look(content)) == [Why.ARCHIVE_TOO_LARGE]
    small = Box(tmp_path / "small", import_max_bytes=6 * len(IMAGE))
    assert whys(small.look(content)) == [None] * 4
    # What was taken out of one ZIP counts for the next.
    assert whys(small.look(content)) == [Why.ARCHIVE_TOO_LARGE]


def test_an_endless_table_of_contents_is_not_read(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped({f"{number:0100d}": b"x" for number in range(500)})
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 30_000)
    assert whys(box.look(content)) == [Why.ARCHIVE_TOO_LARGE]
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 300_000)
    assert len(box.look(content)) == 500


def test_a_full_disk_is_told_before_it_is_full(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "free", lambda _: 10)
    with pytest.raises(Retry) as caught:
        box.look(zipped({"a.dcm": IMAGE}))
    assert caught.value.reason is Reason.DISK_FULL


@given(st.data())
def test_damaged_zips_end_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    box = Box(tmp_path_factory.mktemp("box"))
    raw = bytearray(zipped({"a.dcm": IMAGE, "b.dcm": IMAGE}))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for one in box.look(bytes(raw[: data.draw(st.integers(30, len(raw)))])):
        assert one.kind in (Kind.IMAGE, Kind.UNREADABLE, Kind.REFUSED, Kind.IGNORED)


def test_the_whole_of_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for content in (b"PK\x03\x04", zipped({"a": IMAGE})[:-30], b"PK\x05\x06" + bytes(17)):
        path.write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            Archive(path, 10, 1 << 30)
        assert caught.value.why is Why.ARCHIVE_UNREADABLE


# DICOM files


def test_what_is_no_image_is_told_why(box: Box) -> None:
    def look(content: bytes) -> tuple[Kind, Why | None]:
        (found,) = box.look(content, "a")
        return found.kind, found.why

    unnamed, evil = (Maker(1, size=16).ct(1).instances[0] for _ in range(2))
    del unnamed.StudyInstanceUID
    raw = part10(evil).replace(evil.SeriesInstanceUID.encode()[:5], b"../..")
    data_set = IMAGE[IMAGE.index(b"\x08\0\x05\0CS") :]
    assert look(IMAGE) == (Kind.IMAGE, None)
    assert look(IMAGE[:-9]) == (Kind.UNREADABLE, Why.TRUNCATED)
    assert look(part10(unnamed)) == (Kind.UNREADABLE, Why.MISSING_UID)
    assert look(raw) == (Kind.UNREADABLE, Why.ILLEGAL_UID)
    assert look(bytes(128) + b"DICM") == (Kind.UNREADABLE, Why.UNREADABLE)
    assert look(data_set) == (Kind.UNREADABLE, Why.NO_FILE_HEADER)
    assert look(b"") == (Kind.IGNORED, Why.EMPTY)
    assert look(b"\xff\xd8\xff") == (Kind.IGNORED, Why.NOT_DICOM)


def test_an_image_larger_than_stow_takes_is_left_out(tmp_path: Path) -> None:
    assert whys(Box(tmp_path, stow_max_instance=100).look(IMAGE, "a")) == [Why.TOO_LARGE]


def test_another_file_meta_makes_no_other_image(tmp_path: Path) -> None:
    copy = Maker(1, size=16).ct(1).instances[0]
    copy.file_meta.ImplementationVersionName = "ANOTHER"
    for name, content in (("a", IMAGE), ("b", part10(copy))):
        (tmp_path / name).write_bytes(content)
    one, two = (look_at(tmp_path / name, name, 1 << 30)[0].digest for name in "ab")
    assert part10(copy) != IMAGE and one == two


def test_a_dicomdir_is_a_listing(box: Box, tmp_path: Path) -> None:
    images = list(Maker(1, size=16).ct(2).instances)
    content = cd(tmp_path / "cd", images)["CD/DICOMDIR"]
    first, *named = box.look(content, "CD/DICOMDIR")
    assert (first.kind, first.digest) == (Kind.LISTING, None)
    assert {one.sop for one in named} == {str(image.SOPInstanceUID) for image in images}
    assert {one.kind for one in named} == {Kind.NAMED}
    for end in range(200, len(content), 97):
        first, *_ = box.look(content[:end] + b"\xff" * 100, "CD/DICOMDIR")
        assert first.kind in (Kind.LISTING, Kind.UNREADABLE)


def test_an_endless_dicomdir_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    with path.open("wb") as file:
        file.truncate(MAX_LISTING + 1)
    with pytest.raises(ListingError):
        read_listing(path)


def test_labels_can_be_shown_and_stored() -> None:
    assert label("a\0b\n\x1b[2J\ud800/ø") == "a\ufffdb\ufffd\ufffd[2J\ufffd/ø"
    assert len(label("x" * 2000)) == 1000
