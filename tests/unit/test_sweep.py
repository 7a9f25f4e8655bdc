import pytest
from pydicom import Dataset

from services.anonymizer.engine.sweep import Identity
from shared.identity import keyed_uid

KEY = bytes(32)


@pytest.fixture
def identity() -> Identity:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.PatientName = "Berg^Kari^Åse=山田"
    data_set.PatientID = "01019012345"
    data_set.PatientBirthDate = "19900101"
    data_set.AccessionNumber = "A12345"
    data_set.ReferringPhysicianName = ["Vik^Olav", "Li^Bo"]
    data_set.InstitutionName = "Fjord sykehus"
    data_set.StudyInstanceUID = "1.2.3.4"
    return Identity(data_set, KEY, "P_1")


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
    ],
)
def test_identifiers_in_text_are_replaced_as_whole_words(
    identity: Identity, text: str, wanted: str
) -> None:
    assert identity.clean_text(text) == wanted


def test_uids_in_text_become_their_released_ones(identity: Identity) -> None:
    assert identity.clean_text("see 1.2.3.4!") == f"see {keyed_uid(KEY, '1.2.3.4')}!"
    assert identity.clean_text("1.2.3.45 and 1.2.3.4.5") == "1.2.3.45 and 1.2.3.4.5"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le"])
def test_identifiers_in_bytes_are_overwritten_in_place(identity: Identity, encoding: str) -> None:
    raw = b"\x00\x01" + "Berg^Kari 01019012345 1.2.3.4 Bergen".encode(encoding) + b"\xff\xfe"
    cleaned = identity.clean_bytes(raw)
    assert len(cleaned) == len(raw)
    assert cleaned[2:-2].decode(encoding) == "XXXX^XXXX XXXXXXXXXXX XXXXXXX Bergen"
    assert cleaned[:2] == raw[:2] and cleaned[-2:] == raw[-2:]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le"])
@pytest.mark.parametrize("name", ["Åse", "åse", "ÅSE"])
def test_letters_beyond_ascii_hide_nothing(identity: Identity, name: str, encoding: str) -> None:
    raw = f"<{name}>".encode(encoding)
    cleaned = identity.clean_bytes(raw)
    assert len(cleaned) == len(raw)
    assert name.encode(encoding) not in cleaned and b"XX" in cleaned.replace(b"\0", b"")
    assert identity.clean_text(name) == "P_1"


def test_an_object_without_identifiers_is_left_alone() -> None:
    identity = Identity(Dataset(), KEY, "P_1")
    assert identity.clean_text("Berg") == "Berg"
    assert identity.clean_bytes(b"Berg") == b"Berg"
