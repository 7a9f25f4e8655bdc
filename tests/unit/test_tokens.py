import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anonymizer.engine.tokens import Tokens, is_uid_like
from shared.identity import keyed_uid

KEY = bytes(32)
UID = "1.3.12.2.1107.5.2.19.45152.2020010608124512345.0.0.0"
RELEASED = keyed_uid(KEY, UID)


class Sweep:
    """Knows one name."""

    def clean_text(self, text: str) -> str:
        return re.sub("Nordahl", "P_1", text)

    def clean_bytes(self, raw: bytes) -> bytes:
        return re.sub(b"Nordahl", b"XXXXXXX", raw)


def map_uid(uid: str) -> str:
    return uid if uid.startswith("2.25.") else keyed_uid(KEY, uid)


def tokens(days: int = 5, *dates: str) -> Tokens:
    return Tokens(Sweep(), map_uid, dates or ("20200106", "19450330"), days)


@pytest.mark.parametrize(
    "uid",
    [
        UID,
        "1.2.840.113619.2.80.3",
        "1.2.276.0.7230010.3.0.3.6.4",
        "1.2.826.0.1.3680043.8.498.1",
        "2.25.123456789012345678901234567890",
        "2.16.840.1.113669.632.20",
        "1.2.840.113619.2.005.0007",
        "0.4.0.127.0.7.1.2.3.4.5",
    ],
)
def test_uids_are_known_by_their_form(uid: str) -> None:
    assert is_uid_like(uid)
    assert tokens().clean_text(f"see {uid}.") == f"see {map_uid(uid)}."


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3",
        "1.2.3.4",
        "192.168.100.100",
        "1.100.100.100",
        "2.0.1.20201231.1045",
        "0.70710678\\0.70710678\\0.00000000",
        "0.7071067.0000000.0000000",
        "0.123\\1.234\\2.25.1\\1.2.840",
        "1.2345678901234567890",
        "2.25.1234567",
        "12.840.113619.2.80.3.1",
        "0.0000000000 1052.5000000 2.1000000000",
        "1.2.840.10008.5.1.4.1.1.4",
        "1.2.840.10008.1.2.4.91",
        "2020.5",
        "20200107",
        "120200106",
        "202001065",
        "2020-01-07",
        "06-FOO-2020",
        "6.1.2020",
        "1.0.0-rc.2020",
    ],
)
def test_numbers_and_versions_stay(text: str) -> None:
    assert tokens().clean_text(text) == text
    for encoding in ("ascii", "utf-16-le", "utf-16-be"):
        assert tokens().clean_bytes(text.encode(encoding)) == text.encode(encoding)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("20200106", "20200111"),
        ("on 20200106.", "on 20200111."),
        ("20200106081245", "20200111081245"),
        ("20200106081245.123456", "20200111081245.123456"),
        ("20200106T0812", "20200111T0812"),
        ("20200106_1", "20200111_1"),
        ("2020-01-06 08:12", "2020-01-11 08:12"),
        ("2020.01.06", "2020.01.11"),
        ("2020/01/06", "2020/01/11"),
        ("06.01.2020", "11.01.2020"),
        ("06-JAN-2020", "11-JAN-2020"),
        ("30-Mar-1945", "04-Apr-1945"),
        ("06-jan-2020", "11-jan-2020"),
        ("20200106-20200106", "20200111-20200111"),
        ("20202020200106 20200106", "20202020200106 20200111"),
    ],
)
def test_known_dates_move_in_their_form(text: str, wanted: str) -> None:
    assert tokens().clean_text(text) == wanted
    for encoding in ("ascii", "utf-16-le", "utf-16-be"):
        cleaned = tokens().clean_bytes(text.encode(encoding))
        assert cleaned == wanted.encode(encoding)


def test_without_a_shift_dates_stay() -> None:
    assert tokens(0).clean_text("20200106") == "20200106"


def test_what_can_not_move_is_overwritten() -> None:
    assert tokens(5, "99991230").clean_bytes(b"<99991230>") == b"<XXXXXXXX>"


def test_dates_of_many_years_are_found_by_their_form() -> None:
    many = [f"{year}0630" for year in range(1900, 2030)]
    assert tokens(1, *many).clean_text("20200630 20200629") == "20200701 20200629"
    assert tokens(1, "yesterday", "2020", "٢٠٢٠٠١٠٦").clean_text("20200106") == "20200106"


def test_uids_are_padded_with_what_follows() -> None:
    pad = len(UID) - len(RELEASED)
    assert pad > 0
    in_c = tokens().clean_bytes(b"\1" + UID.encode() + b"\0\2")
    assert in_c == b"\1" + RELEASED.encode() + bytes(pad) + b"\0\2"
    at_end = tokens().clean_bytes(UID.encode())
    assert at_end == RELEASED.encode() + bytes(pad)
    quoted = tokens().clean_bytes(f'"{UID}"'.encode())
    assert quoted == f'"{RELEASED}{" " * pad}"'.encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_uids_in_wide_text(encoding: str) -> None:
    pad = " " * (len(UID) - len(RELEASED))
    cleaned = tokens().clean_bytes(f"é<{UID}>".encode(encoding))
    assert cleaned.decode(encoding) == f"é<{RELEASED}{pad}>"
    cleaned = tokens().clean_bytes(f"x{UID}\0".encode(encoding))
    assert cleaned.decode(encoding) == f"x{RELEASED}{pad}\0".replace(" ", "\0")


def test_wide_text_need_not_be_aligned() -> None:
    wide = UID.encode("utf-16-le")
    cleaned = tokens().clean_bytes(wide + b"\0" + wide + b"\0" + UID.encode("utf-16-be"))
    for encoding in ("utf-16-le", "utf-16-be"):
        assert UID.encode(encoding) not in cleaned


def test_a_uid_that_does_not_fit_is_overwritten() -> None:
    assert tokens().clean_bytes(b"'1.2.840.113619.2.80.3'") == b"'XXXXXXXXXXXXXXXXXXXXX'"


def test_all_three_at_once() -> None:
    text = f"Nordahl 20200106 X_1_1_{UID}"
    assert tokens().clean_text(text) == f"P_1 20200111 X_1_1_{RELEASED}"
    cleaned = tokens().clean_bytes(text.encode())
    assert cleaned == f"XXXXXXX 20200111 X_1_1_{RELEASED}".ljust(len(text), "\0").encode()


pieces = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"20200106", b"2020-01-06", b"06.01.2020", UID.encode(), b"Nordahl", b".", b"1", b"\0",
             UID.encode("utf-16-le"), "20200106".encode("utf-16-be"), b"081245", b"1.2.840."]
        ),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@settings(max_examples=400)
@given(pieces, st.integers(100, 9000))
def test_the_length_stays_and_a_second_cleaning_changes_nothing(raw: bytes, days: int) -> None:
    one = tokens(days)
    cleaned = one.clean_bytes(raw)
    assert len(cleaned) == len(raw)
    assert UID.encode() not in cleaned or re.search(rb"\d" + UID.encode(), raw)
    assert one.clean_bytes(cleaned) == cleaned


@given(st.text())
def test_text_without_anything_stays(text: str) -> None:
    assert tokens().clean_text(text) == text


def test_binary_data_is_not_changed_by_accident() -> None:
    rng = random.Random(3)
    numbers = tokens(5, *(f"{year}0106" for year in range(2010, 2022)))
    for sample in (rng.randbytes(2_000_000), bytes(range(48, 58)) * 20_000, b"." * 100_000):
        assert numbers.clean_bytes(sample) == sample
    for form in ("{:.8f}\\", "{:.2f} ", "{:.6e},", "{:.8f}", "{:.2f}", "{:d}.", "{:d} "):
        values = [rng.choice((2000, 3)) * rng.random() for _ in range(20_000)]
        text = "".join(form.format(int(one) if "d" in form else one) for one in values).encode()
        assert numbers.clean_bytes(text) == text


@pytest.mark.parametrize("unit", [b"1.", b"1.2.3", b"2020", b"1.5..", b"\x001\0.", b"2020-01-"])
def test_hostile_values_take_linear_time(unit: bytes) -> None:
    began = time.process_time()
    tokens().clean_bytes(unit * (400_000 // len(unit)))
    assert time.process_time() - began < 5
