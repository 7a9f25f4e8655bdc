import pytest

from services.anonymizer.engine.identity import Collector, Kind
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
