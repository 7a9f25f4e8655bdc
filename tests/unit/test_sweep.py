import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anonymizer.engine import sweep as sweep_module
from services.anonymizer.engine.identity import Collected, Collector, Kind
from services.anonymizer.engine.sweep import Sweep
from shared.identity import keyed_uid

KEY = bytes(32)


def sweep_for(collector: Collector) -> Sweep:
    return Sweep(collector.collected(), "P_1", lambda uid: keyed_uid(KEY, uid))


@pytest.fixture
def sweep() -> Sweep:
    collector = Collector("P_1")
    collector.add(Kind.NAME, ["Berg^Kari^Åse=山田", "Vik^Olav", "Li^Bo", "Test^Patient"])
    collector.add(Kind.ID, ["01019012345", "19900101", "A12345", "Fjord sykehus", "MR"])
    collector.add(Kind.UID, ["1.2.3.4"])
    return sweep_for(collector)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Brain of Berg, KARI", "Brain of P_1, P_1"),
        ("Bergen", "Bergen"),
        ("id=01019012345;", "id=P_1;"),
        ("born 19900101", "born P_1"),
        ("119900101", "119900101"),
        ("ref. Vik", "ref. P_1"),
        ("Bo and Li stay: too short", "Bo and Li stay: too short"),
        ("at fjord SYKEHUS", "at P_1"),
        ("A12345_1", "P_1_1"),
        ("nothing here", "nothing here"),
        ("MR test bolus", "MR test bolus"),
    ],
)
def test_identifiers_in_text_are_replaced_as_whole_words(
    sweep: Sweep, text: str, wanted: str
) -> None:
    assert sweep.clean_text(text) == wanted


def test_uids_in_text_become_their_released_ones(sweep: Sweep) -> None:
    assert sweep.clean_text("see 1.2.3.4!") == f"see {keyed_uid(KEY, '1.2.3.4')}!"
    assert sweep.clean_text("1.2.3.45 and 1.2.3.4.5") == "1.2.3.45 and 1.2.3.4.5"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le"])
def test_identifiers_in_bytes_are_overwritten_in_place(sweep: Sweep, encoding: str) -> None:
    raw = b"\x00\x01" + "Berg^Kari 01019012345 1.2.3.4 Bergen".encode(encoding) + b"\xff\xfe"
    cleaned = sweep.clean_bytes(raw)
    assert len(cleaned) == len(raw)
    assert cleaned[2:-2].decode(encoding) == "XXXX^XXXX XXXXXXXXXXX XXXXXXX Bergen"
    assert cleaned[:2] == raw[:2] and cleaned[-2:] == raw[-2:]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le"])
@pytest.mark.parametrize("name", ["Åse", "åse", "ÅSE"])
def test_letters_beyond_ascii_hide_nothing(sweep: Sweep, name: str, encoding: str) -> None:
    raw = f"<{name}>".encode(encoding)
    cleaned = sweep.clean_bytes(raw)
    assert len(cleaned) == len(raw)
    assert name.encode(encoding) not in cleaned and b"XX" in cleaned.replace(b"\0", b"")
    assert sweep.clean_text(name) == "P_1"


def test_an_object_without_identifiers_is_left_alone() -> None:
    sweep = sweep_for(Collector("P_1"))
    assert sweep.clean_text("Berg") == "Berg"
    assert sweep.clean_bytes(b"Berg") == b"Berg"


# What is looked for, and what is too short or too common


def words_of(kind: Kind, text: str) -> set[str]:
    collector = Collector("P_1")
    collector.add(kind, [text])
    return {word.casefold() for word in collector.collected().words}


@pytest.mark.parametrize(
    "short",
    ["1", "12", "123", "512", "1000", "2019", "T2", "A1", "A12", "MR", "mr", "TEST", "Head"],
)
def test_short_ids_small_numbers_and_common_words_are_not_looked_for(short: str) -> None:
    assert words_of(Kind.ID, short) == set()


@pytest.mark.parametrize("own", ["A123", "12345", "01019012345", "P-12", "1/23", "AB 1234", "Ø123"])
def test_ids_of_four_characters_and_numbers_of_five_digits_are_looked_for(own: str) -> None:
    assert words_of(Kind.ID, own) == {own.casefold()}


def test_a_birth_date_is_looked_for_as_people_write_it(sweep: Sweep) -> None:
    assert words_of(Kind.ID, "19900101") >= {"19900101", "01.01.1990", "1990-01-01", "01-jan-1990"}
    assert sweep.clean_text("f. 01.01.1990, 01-JAN-1990") == "f. P_1, P_1"
    assert sweep.clean_bytes(b"\x01born 1990-01-01\0") == b"\x01born XXXXXXXXXX\0"


def test_words_end_where_a_number_follows_and_uids_do_not(sweep: Sweep) -> None:
    assert sweep.clean_text("Berg.001.dcm A12345.1") == "P_1.001.dcm P_1.1"
    assert sweep.clean_bytes(b" A12345.1 ") == b" XXXXXX.1 "
    assert sweep.clean_text("1.2.3.4.5") == "1.2.3.4.5"
    assert sweep.clean_bytes(b" 1.2.3.4.5 ") == b" 1.2.3.4.5 "


def test_names_that_are_written_without_blanks_are_found(sweep: Sweep) -> None:
    assert sweep.clean_text("患者は山田です") == "患者はP_1です"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("B^K", set()),
        ("Li^Bo^A", set()),
        ("Head^Test", set()),
        ("Scan^Anonymous^MR", set()),
        ("Berg^Kari^B", {"berg", "kari"}),
        ("Berg-Vik^Åse-Marie", {"berg-vik", "berg", "vik", "åse-marie", "åse", "marie"}),
        ("Berg, Kari", {"berg", "kari"}),
        ("Berg.Kari", {"berg", "kari"}),
        ("Berg;Nils/Kari (Moe)", {"berg", "nils", "kari", "moe"}),
        ("O'Brien^Seán", {"o'brien", "seán"}),
        ("A\N{COMBINING RING ABOVE}se", {"a\N{COMBINING RING ABOVE}se"}),
        ("Yamada^Tarou=山田^太郎", {"yamada", "tarou", "山田", "太郎", "山田太郎"}),
        ("Hong^Gildong=洪^吉洞=홍^길동", {"hong", "gildong", "吉洞", "洪吉洞", "길동", "홍길동"}),
    ],
)
def test_the_parts_of_names_that_are_looked_for(name: str, wanted: set[str]) -> None:
    assert words_of(Kind.NAME, name) == wanted


_WORDS = ["Berg", "Åse", "ødegård", "ß-Test", "a.b c", "S#-~&%", "ΑΒΓ", "山田", "01019012345"]
_ENCODINGS = ["latin-1", "utf-8", "iso8859_7", "shift_jis", "utf-16-le", "utf-16-be"]


@given(st.lists(st.sampled_from(_WORDS), max_size=4, unique=True), st.data())
def test_no_identifier_in_bytes_escapes_the_quick_look(
    words: list[str], data: st.DataObject
) -> None:
    sweep = Sweep(
        Collected(frozenset(words), frozenset(), frozenset(), frozenset(_ENCODINGS)), "P_1", str
    )
    cases = st.sampled_from([str, str.lower, str.upper, str.title, str.swapcase])
    encoded = st.builds(
        lambda word, case, encoding: case(word).encode(encoding, "ignore"),
        st.sampled_from(_WORDS), cases, st.sampled_from(_ENCODINGS),
    )  # fmt: skip
    raw = b"".join(data.draw(st.lists(st.one_of(encoded, st.binary(max_size=4)), max_size=6)))
    assert sweep.clean_bytes(raw) == sweep._in_bytes.sub(sweep_module._overwritten, raw)
