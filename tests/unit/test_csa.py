import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.siemens import csa1_header, csa_header, protocol
from demo.vendors import SERIAL, siemens_csa, siemens_uid
from services.anonymizer.engine.csa import clean_csa
from services.anonymizer.engine.tokens import Tokens
from services.anonymizer.engine.xprotocol import clean_protocol
from shared.csa import CsaItem, NotCsaError, csa_tags, csa_values
from tests.cleaning import WordSweep, image_of_a_person, map_uid, tokens_for

DAY, MOVED = "20200106", "20200215"
UID = siemens_uid(DAY, 7)
HEADERS = pytest.mark.parametrize("header", [csa_header, csa1_header])


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(WordSweep(["Nordahl", "1000", "01010112345", "SliceNormalVector"]), map_uid,
                  [DAY], 40)  # fmt: skip


def items(raw: bytes) -> list[CsaItem]:
    return [item for tag in csa_tags(raw) for item in tag.items]


@HEADERS
def test_items_are_found_where_they_stand(header) -> None:
    raw = header({"B_value": ("IS", ["1000"]), "None": ("LO", []), "Dir": ("FD", ["0.5", "-1"])})
    found = items(raw)
    assert [(item.name, item.vr, item.length) for item in found] == [
        ("B_value", "IS", 5), ("Dir", "FD", 4), ("Dir", "FD", 3),
    ]  # fmt: skip
    assert [raw[item.offset : item.offset + item.length] for item in found] == [
        b"1000\0", b"0.5\0", b"-1\0",
    ]  # fmt: skip


@HEADERS
def test_values_are_texts_up_to_their_nul_without_blanks(header) -> None:
    raw = header(
        {
            "B_value": ("IS", ["1000\0 memory"]),
            "None": ("LO", []),
            "Blank": ("LO", ["  "]),
            "Dir": ("FD", [" 0.5", "-1  "]),
            "Place": ("LO", ["\xc5lesund"]),
        }
    )
    assert csa_values(raw) == {"B_value": ["1000"], "Dir": ["0.5", "-1"], "Place": ["Ålesund"]}


def test_csa1_lengths_count_the_items_of_the_first_tag() -> None:
    def tag(name: bytes, vr: bytes, values: list[bytes], count: int) -> bytes:
        parts = [struct.pack("<64si4s3i", name, 1, vr, 0, count, 77)]
        for value in values:
            parts.append(struct.pack("<4i", len(value) + 6, 0, 77, 0))
            parts.append(value + bytes(-len(value) % 4))
        return b"".join(parts)

    six = [b"64\0"] + [b""] * 5
    raw = struct.pack("<2I", 3, 77) + tag(b"EchoLinePosition", b"IS\0\0", six, 6)
    raw += tag(b"SeriesFrom", b"DS\0\0", [DAY.encode() + b"\0"], 1)
    # An item of a negative length is the last one of its tag.
    raw += struct.pack("<64si4s3i4i", b"Last", 1, b"LO\0\0", 0, 6, 77, 0, 0, 77, 0)
    assert items(raw) == [
        CsaItem("EchoLinePosition", "IS", 8 + 84 + 16, 3),
        CsaItem("SeriesFrom", "DS", 8 + 84 + 6 * 16 + 4 + 84 + 16, 9),
    ]


@HEADERS
def test_values_are_cleaned_and_measurements_stay(header, tokens: Tokens) -> None:
    measured = {
        "B_value": ("IS", ["1000"]),
        "DiffusionGradientDirection": ("FD", ["0.70710678", "-0.5", "1000"]),
        "SliceNormalVector": ("FD", ["0", "0", "1"]),
        "SliceMeasurementDuration": ("DS", [DAY]),
        "RealDwellTime": ("IS", ["1000"]),
        "Flow": ("IS", ["1000"]),
    }
    raw = header(
        measured
        | {
            "ICE_Dims": ("LO", [f"X_1_1_{UID}"]),
            "SeriesFrom": ("DS", [DAY]),
            "Counted": ("IS", ["01010112345"]),
            "Comment": ("LO", ["of Nordahl"]),
            "PatientName": ("PN", ["Somebody^Else"]),
            "DeviceSerialNumber": ("LO", [SERIAL]),
            "PatientID": ("IS", ["4711"]),
        }
    )
    cleaned = clean_csa(raw, tokens)
    assert len(cleaned) == len(raw)
    after = csa_values(cleaned)
    assert {name: after[name] for name in measured} == {n: v for n, (_, v) in measured.items()}
    assert after["ICE_Dims"] == [f"X_1_1_{map_uid(UID)}"]
    assert after["SeriesFrom"] == [MOVED]
    assert after["Counted"] == ["00000000000"]
    assert after["Comment"] == ["of XXXXXXX"]
    assert after["PatientName"] == ["XXXXXXXXXXXXX"]
    assert after["DeviceSerialNumber"] == ["00000"] and after["PatientID"] == ["0000"]
    assert clean_csa(cleaned, tokens) == cleaned


def test_what_stands_behind_values_and_names_is_cleaned(tokens: Tokens) -> None:
    raw = bytearray(csa_header({"B_value": ("IS", ["1000\0" + UID]), "Other": ("LO", ["x"])}))
    name = raw.index(b"Other")
    raw[name + 8 : name + 15] = b"Nordahl"
    cleaned = clean_csa(bytes(raw), tokens)
    assert UID.encode() not in cleaned and b"Nordahl" not in cleaned
    assert csa_values(cleaned) == {"B_value": ["1000"], "Other": ["x"]}


@HEADERS
def test_the_protocol_in_a_header_is_cleaned(header) -> None:
    text = protocol(
        {
            "DeviceSerialNumber": SERIAL,
            "tPatientName": "Somebody, Else",
            "InstitutionName": "Ålesund",
            "tFrameOfReference": UID,
            "tDate": "2020-01-06",
        }
    )
    raw = header({"MrPhoenixProtocol": ("UN", [text]), "Isocentered": ("IS", ["1"])})
    tokens = Tokens(WordSweep(["Nordahl"]), map_uid, [DAY], 40)
    cleaned = clean_csa(raw, tokens)
    (after,) = csa_values(cleaned)["MrPhoenixProtocol"]
    for secret in (SERIAL, "Somebody", "lesund", UID, "2020-01-06"):
        assert secret not in after
    kept = [line for line in text.splitlines() if "serial" not in line.lower()]
    changed = [line for line in kept if line not in after.splitlines()]
    assert len(changed) == 4  # name, institution, UID, date
    assert 'tSystemSerialNumber = "XXXXX"' in after and f'"{map_uid(UID)} ' in after
    assert "<ParamDouble" in after and "sDiffusion.alBValue[1]                   = 1000" in after
    assert clean_csa(cleaned, tokens) == cleaned


def test_protocols_with_doubled_quotes_and_numbers(tokens: Tokens) -> None:
    text = b'{ <ParamLong."SerialNumber">{ 45152 } <ParamString.""StationName"">  { ""MRC1"" } }'
    cleaned = clean_protocol(text, tokens)
    assert cleaned == (
        b'{ <ParamLong."SerialNumber">{ 00000 } <ParamString.""StationName"">  { ""XXXX"" } }'
    )


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"SV10",
        b"SV10\4\3\2\1" + struct.pack("<2I", 5000, 77),
        b"SV10\4\3\2\1" + struct.pack("<2I", 0, 77),
        csa_header({"B_value": ("IS", ["1000"])})[:-10],
        csa_header({"B_value": ("IS", ["1000"])})[:90],
        csa_header({"B_value": ("IS", ["1000"])}).replace(b"B_value", b"\xff_value"),
        csa_header({"B_value": ("IS", ["1000"])}).replace(b"IS\0", b"!!\0"),
        b"<XProtocol>" * 20,
    ],
)
def test_what_is_no_header_is_cleaned_as_a_whole(broken: bytes, tokens: Tokens) -> None:
    with pytest.raises(NotCsaError):
        csa_tags(broken)
    raw = broken + b" Nordahl " + UID.encode()
    assert clean_csa(raw, tokens) == tokens.clean_bytes(raw) != raw


@given(st.binary(max_size=400), st.booleans(), st.integers(0, 600), st.binary(max_size=8))
def test_garbage_neither_crashes_nor_changes_lengths(
    garbage: bytes, one: bool, position: int, patch: bytes
) -> None:
    tokens = Tokens(WordSweep(["Nordahl"]), map_uid, [DAY], 40)
    header = csa1_header if one else csa_header
    raw = bytearray(header({"ICE_Dims": ("LO", [UID]), "PatientName": ("PN", ["Nordahl"])}))
    raw[position : position + len(patch)] = patch
    for sample in (garbage, b"SV10\4\3\2\1" + garbage, bytes(raw)):
        cleaned = clean_csa(sample, tokens)
        assert len(cleaned) == len(sample)
        assert UID.encode() not in cleaned
        assert clean_csa(cleaned, tokens) == cleaned


@pytest.mark.parametrize("csa2", [True, False])
def test_nibabel_reads_the_same_measurements_before_and_after(csa2: bool) -> None:
    csareader = pytest.importorskip("nibabel.nicom.csareader")
    data_set, person = image_of_a_person()
    planted = siemens_csa(data_set, person, csa2=csa2)
    for tag in (0x00291010, 0x00291020):
        raw = planted.data_set[tag].value
        cleaned = clean_csa(raw, tokens_for(data_set, person))
        assert cleaned != raw
        for secret in planted.secrets:
            assert secret.encode("latin-1") not in cleaned
        before, after = csareader.read(raw), csareader.read(cleaned)
        assert before["tags"].keys() == after["tags"].keys()
        assert csareader.get_b_value(before) == csareader.get_b_value(after)
        if tag == 0x00291010:
            assert csareader.get_b_value(after) == 1000
            assert (csareader.get_g_vector(before) == csareader.get_g_vector(after)).all()
            assert (csareader.get_b_matrix(before) == csareader.get_b_matrix(after)).all()
            assert (csareader.get_slice_normal(before) == csareader.get_slice_normal(after)).all()
            times = [header["tags"]["MosaicRefAcqTimes"]["items"] for header in (before, after)]
            assert times[0] == times[1] == [0, 1052.5, 527.5, 1580]
            assert csareader.get_n_mosaic(after) == 4
        for name, tag_before in before["tags"].items():
            if tag_before["vr"] in csareader._CONVERTERS and name != "SeriesFrom":
                assert tag_before == after["tags"][name]
