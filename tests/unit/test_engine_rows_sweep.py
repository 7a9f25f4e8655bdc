"""The identity sweep on whole objects: what short identifiers spare, and what all others lose."""

import struct
from pathlib import Path

import pytest

from tests.rowcases import PLAN, Elements, copy_of, file_of

CHARSETS = {"ISO_IR 100": "latin-1", "ISO_IR 101": "iso8859-2", "ISO_IR 144": "iso8859-5",
            "ISO_IR 192": "utf-8", "\\ISO 2022 IR 87": "iso2022_jp"}  # fmt: skip
# Every element holds what the short identifiers below could be found in.
HARMLESS: Elements = {
    0x00080008: ("CS", "ORIGINAL\\PRIMARY\\M\\ND"), 0x00080030: ("TM", "1000"),
    0x00080032: ("TM", "101500"), 0x00080060: ("CS", "MR"),
    0x0008103E: ("LO", "T2 TSE HEAD TEST 2019, 512x512 1000 MR 12 1 A b"),
    0x00101010: ("AS", "012Y"), 0x00180015: ("CS", "HEAD"), 0x00180080: ("DS", "1000"),
    0x00180081: ("DS", "12"), 0x00180082: ("DS", "10000"), 0x00181030: ("LO", "MR_T2_2019_TR1000"),
    0x00181310: ("US", struct.pack("<4H", 0, 512, 512, 0)), 0x00190010: ("LO", "SLUSE TESTS"),
    0x00191001: ("OB", b"TR=1000;N=512;Y=2019;T=12;1;MR;T2;HEAD;B;K"), 0x00191002: ("IS", "1000"),
    0x00191003: ("FD", struct.pack("<2d", 1000.0, 2019.0) + b"1000\0\0\0\0"),
    0x00191004: ("UN", b"1000"), 0x00191005: ("UL", b"2019"),
    0x00191006: ("OW", "T2 1000 512 2019".encode("utf-16-le")), 0x00200011: ("IS", "1"),
    0x00200013: ("IS", "2019"), 0x00280010: ("US", struct.pack("<H", 512)),
    0x00280030: ("DS", "1\\1"), 0x00281050: ("DS", "1000\\512"),
}  # fmt: skip


def identified(name: str, patient_id: str, *others: Elements, charset: str) -> bytes:
    """A file of somebody."""
    codec = CHARSETS[charset]
    elements: Elements = {
        0x00080005: ("CS", charset),
        0x00100010: ("PN", padded(name.encode(codec))),
        0x00100020: ("LO", padded(patient_id.encode(codec))),
    }
    for other in others:
        elements |= other
    return file_of(elements)


def padded(raw: bytes) -> bytes:
    return raw + b" " * (len(raw) % 2)


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize(
    "patient_id",
    ["1", "12", "123", "512", "1000", "2019", "A", "T2", "A-1", "MR", "TEST", "HEAD", "(1)"],
)
def test_short_ids_destroy_nothing(tmp_path: Path, patient_id: str, explain: bool) -> None:
    copy = copy_of(
        identified("Hemmelig", patient_id, HARMLESS, charset="ISO_IR 192"), tmp_path,
        explain=explain,
    )  # fmt: skip
    assert_spared(copy and copy.values)


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize("name", ["B^K", "M^A^T2", "Head^Test", "MR^T2^^Dr", "b", "Li^Bo"])
def test_short_and_common_names_destroy_nothing(tmp_path: Path, name: str, explain: bool) -> None:
    original = identified(name, "P123456", HARMLESS, charset="ISO_IR 192")
    copy = copy_of(original, tmp_path, explain=explain)
    assert_spared(copy and copy.values)


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize("patient_id", ["10000", "101500", "012Y"])
def test_ids_that_are_numbers_spare_numbers_and_times(
    tmp_path: Path, patient_id: str, explain: bool
) -> None:
    original = identified("Hemmelig", patient_id, HARMLESS, charset="ISO_IR 192")
    copy = copy_of(original, tmp_path, explain=explain)
    assert_spared(copy and copy.values)


def assert_spared(values: dict[str, bytes] | None) -> None:
    assert values is not None, "held"
    for tag, (vr, value) in HARMLESS.items():
        raw = value if isinstance(value, bytes) else value.encode()
        assert values[f"{tag:08X}"] == raw.strip(b" \0"), f"{tag:08X} {vr}"


@pytest.mark.parametrize("explain", [False, True], ids=["fast", "careful"])
@pytest.mark.parametrize(
    ("charset", "name", "patient_id", "secrets"),
    [
        ("ISO_IR 100", "Ødegård-Vik^Kjærsti", "A123",
         ["Ødegård-Vik", "ødegård", "VIK", "KJÆRSTI", "A123", "a123"]),
        ("ISO_IR 101", "Łukasz^Żółć", "12345", ["Łukasz", "łukasz", "ŻÓŁĆ", "12345"]),
        ("ISO_IR 144", "Иванов^Пётр", "01019012345", ["Иванов", "ИВАНОВ", "пётр", "01019012345"]),
        ("ISO_IR 192", "Fjeld.Kari", "P.12/3-4", ["Fjeld", "kari", "P.12/3-4"]),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "AB 1234",
         ["Yamada", "tarou", "山田", "太郎", "山田^太郎", "山田太郎", "やまだ", "たろう"]),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "J 4711",
         ["YAMADA", "山田", "太郎", "山田太郎", "j 4711"]),
    ],
    ids=["Latin-1", "Latin-2", "Cyrillic", "UTF-8", "three groups", "ISO 2022"],
)  # fmt: skip
def test_longer_identifiers_are_found_in_texts_and_bytes_of_any_encoding(
    tmp_path: Path, charset: str, name: str, patient_id: str, secrets: list[str], explain: bool
) -> None:
    codec = CHARSETS[charset]
    for secret in secrets:
        text = f"of <{secret}>, no {secret}"
        hiding: Elements = {
            0x00204000: ("LT", padded(text.encode(codec))), 0x00190010: ("LO", "SLUSE TESTS"),
            0x00191001: ("UN", padded(text.encode(codec))),
            0x00191002: ("OB", text.encode("utf-16-le")),
            0x00191003: ("OB", text.encode("utf-16-be")),
            0x00191004: ("LT", padded(text.encode(codec))),
        }  # fmt: skip
        copy = copy_of(
            identified(name, patient_id, hiding, charset=charset), tmp_path, explain=explain
        )
        assert copy is not None, f"{secret}: held"
        for encoding in (codec, "utf-16-le", "utf-16-be"):
            assert secret.encode(encoding) not in copy.raw, f"{secret} in {encoding}"
        for text_path in ("00204000", "00191004"):
            assert copy.values[text_path].decode(codec).startswith(f"of <{PLAN.participant}")


def test_parts_of_longer_words_stay(tmp_path: Path) -> None:
    about = "Bergen, Karianne, 123456, 012345, A12345"
    original = identified(
        "Berg^Kari", "12345", {0x00204000: ("LT", about)}, charset="ISO_IR 192"
    )  # fmt: skip
    copy = copy_of(original, tmp_path, explain=False)
    assert copy is not None and copy.values["00204000"].decode() == about
