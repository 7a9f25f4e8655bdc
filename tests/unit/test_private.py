import gzip
import struct
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from demo import vendors
from services.anonymizer.engine.private import (
    PrivateAction,
    PrivateRule,
    apply,
    private_rule,
    rules,
)
from services.anonymizer.engine.tokens import Tokens
from tests.cleaning import DAYS, WordSweep, image_of_a_person, map_uid, tokens_for, words_of
from tests.helpers import part10

DAY, MOVED = "20200106", "20200215"
UID = vendors.siemens_uid(DAY, 1)
EVERY = pytest.mark.parametrize(
    "vendor",
    [
        vendors.siemens_csa, vendors.siemens_xa, vendors.ge, vendors.philips, vendors.uih,
        vendors.canon, vendors.fuji, vendors.agfa, vendors.sectra,
    ],
)  # fmt: skip


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(WordSweep(["Nordahl"]), map_uid, [DAY], DAYS)


def of(action: str) -> PrivateRule:
    return PrivateRule("MAKER", 0x0009, 0x01, PrivateAction(action), "a test", "")


def test_every_rule_has_a_source_and_is_found() -> None:
    assert len(rules()) > 250
    for rule in rules().values():
        assert rule.source and rule.group % 2 == 1 and 0 <= rule.element <= 0xFF
        tag = rule.group << 16 | 0x1000 | rule.element
        assert private_rule(rule.creator, tag) is rule
        assert private_rule(f" {rule.creator.lower()}\0", tag | 0x4200) is rule


def test_one_creator_means_different_things_in_different_groups() -> None:
    assert private_rule("GEMS_GENIE_1", 0x00091010) is not None
    assert private_rule("GEMS_GENIE_1", 0x00111010) is None
    assert private_rule("NOBODY", 0x00091010) is None


@pytest.mark.parametrize(
    ("creator", "tag", "action"),
    [
        ("SIEMENS CSA HEADER", 0x00291010, "csa"),
        ("SIEMENS CSA HEADER", 0x00291120, "csa"),
        ("SIEMENS CSA HEADER", 0x00291009, "date"),
        ("SIEMENS CSA REPORT", 0x00291217, "uid"),
        ("SIEMENS MR SDS 01", 0x00211019, "protocol"),
        ("SIEMENS MR SDI 02", 0x00211101, "clean"),
        ("GEMS_PARM_01", 0x00431061, "uid"),
        ("GEMS_PARM_01", 0x00431062, "remove"),
        ("GEMS_PARM_01", 0x00431028, "empty"),
        ("GEMS_PARM_01", 0x00431088, "uid"),
        ("GEMS_PARM_01", 0x00431098, "uid"),
        ("GEMS_IDEN_01", 0x00091002, "remove"),
        ("GEMS_IDEN_01", 0x00091027, "epoch"),
        ("GEMS_SERS_01", 0x0025101A, "remove"),
        ("GEMS_SERS_01", 0x0025101B, "gzip"),
    ],
)
def test_what_the_earlier_engine_left_has_a_rule(creator: str, tag: int, action: str) -> None:
    rule = private_rule(creator, tag)
    assert rule is not None and rule.action == action


@pytest.mark.parametrize(
    ("action", "vr", "raw", "wanted"),
    [
        ("remove", "LO", b"Nordahl ", None),
        ("empty", "LO", b"Nordahl ", b""),
        ("clean", "LO", b"Nordahl ", b"XXXXXXX "),
        ("clean", "LO", b"", b""),
        ("date", "LO", b"20200107", b"20200216"),
        ("date", "DT", b"20200106081233.12 ", b"20200215081233.12 "),
        ("date", "DA", b"20200106\\20200107 ", b"20200215\\20200216 "),
        ("date", "LO", b"6 Jan 20", b""),
        ("date", "FD", struct.pack("<d", 1.5), struct.pack("<d", 1.5)),
        ("uid", "LO", b"1.2.3\0", map_uid("1.2.3").encode()),
        ("uid", "UI", b"\0\0", b""),
        ("uid", "UI", b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0"),
        ("uid", "LO", b"Nordahl 1.2.3 ", b"XXXXXXX 1.2.3 "),
        ("epoch", "SL", b"\0\0\0\0", b"\0\0\0\0"),
        ("epoch", "SL", b"\0\0", b""),
        ("gzip", "OB", b"\1\0\0\0not gzip", None),
        ("gzip", "OB", b"\1\0\0\0" + gzip.compress(b"x" * 1000, mtime=0)[:-9], None),
    ],
)
def test_actions(tokens: Tokens, action: str, vr: str, raw: bytes, wanted: bytes | None) -> None:
    changed = apply(of(action), vr, raw, tokens)
    assert changed == (wanted + b"\0" * (len(wanted) % 2) if wanted is not None else None)


@pytest.mark.parametrize("big_endian", [False, True])
def test_seconds_since_1970_move(tokens: Tokens, big_endian: bool) -> None:
    moment = datetime(2020, 1, 6, 8, 12, tzinfo=UTC)
    form = ">i" if big_endian else "<i"
    raw = struct.pack(form, int(moment.timestamp()))
    changed = apply(of("epoch"), "SL", raw, tokens, big_endian=big_endian)
    assert changed is not None
    (seconds,) = struct.unpack(form, changed)
    assert datetime.fromtimestamp(seconds, UTC) == moment + timedelta(days=DAYS)


def test_a_compressed_protocol_is_cleaned_within(tokens: Tokens) -> None:
    def block(text: bytes) -> bytes:
        packed = gzip.compress(text, mtime=0)
        raw = struct.pack("<I", len(packed)) + packed
        return raw + bytes(len(raw) % 2)

    raw = block(b"Nordahl on 20200106")
    changed = apply(of("gzip"), "OB", raw, tokens)
    assert changed is not None and len(changed) % 2 == 0
    (length,) = struct.unpack_from("<I", changed)
    assert gzip.decompress(changed[4 : 4 + length]) == b"XXXXXXX on 20200215"
    assert apply(of("gzip"), "OB", block(b"nothing"), tokens) == block(b"nothing")
    assert apply(of("gzip"), "OB", block(bytes(17 << 20)), tokens) is None


@given(st.sampled_from(list(PrivateAction)), st.sampled_from(["LO", "OB", "UN", "FD"]),
       st.binary(max_size=200).filter(lambda raw: len(raw) % 2 == 0))  # fmt: skip
def test_garbage_never_crashes(action: PrivateAction, vr: str, raw: bytes) -> None:
    tokens = Tokens(WordSweep(["Nordahl"]), map_uid, [DAY], DAYS)
    changed = apply(of(action), vr, raw, tokens)
    assert changed is None or len(changed) % 2 == 0
    if action in (PrivateAction.CLEAN, PrivateAction.CSA, PrivateAction.PROTOCOL):
        assert changed is not None and len(changed) == len(raw)


def cleaned(data_set: Dataset, tokens: Tokens) -> Dataset:
    """Private elements by their rules; without one, cleaned as bytes or UIDs."""
    for tag in list(data_set.keys()):
        element = data_set.get_item(tag)
        if element.VR == "SQ":
            for item in data_set[tag].value:
                cleaned(item, tokens)
        elif tag.is_private and not tag.is_private_creator:
            assert isinstance(element, RawDataElement)
            creator = data_set.private_creators(tag.group)
            names = [str(data_set[tag.group, block].value) for block in range(0x10, 0x100)
                     if (tag.group, block) in data_set and block == tag.element >> 8]  # fmt: skip
            assert names and names[0] in creator
            rule = private_rule(names[0], tag)
            raw = element.value or b""
            new = apply(rule, element.VR, raw, tokens) if rule else tokens.clean_bytes(raw)
            if new is None:
                del data_set[tag]
            else:
                data_set._dict[tag] = element._replace(value=new, length=len(new))
    return data_set


@EVERY
def test_a_vendor_s_secrets_are_gone_and_other_values_stay(vendor) -> None:
    data_set, person = image_of_a_person()
    planted = vendor(data_set, person)
    source = part10(planted.data_set)
    assert any(secret.encode("latin-1") in source for secret in planted.secrets)
    read = cleaned(pydicom.dcmread(BytesIO(source)), tokens_for(data_set, person))
    kept = Dataset()
    for element in read:
        if element.tag.is_private or element.VR == "SQ":
            kept._dict[element.tag] = element
    for group in kept.get("PerFrameFunctionalGroupsSequence", ()):
        del group.FrameContentSequence  # not private: the table's
    for name in ("ReferencedImageSequence", "RequestAttributesSequence"):
        if name in kept:
            delattr(kept, name)
    target = BytesIO()
    kept.save_as(target, implicit_vr=False, little_endian=True)
    result = target.getvalue()
    for secret in [*planted.secrets, *words_of(person), f".{vendors.SERIAL}."]:
        assert secret.encode("latin-1") not in result
        assert secret.encode("latin-1")[::-1] not in result
    assert len(kept) > 0


def test_numbers_in_private_blocks_stay() -> None:
    data_set, person = image_of_a_person()
    vendors.siemens_csa(data_set, person)
    vendors.ge(data_set, person)
    vendors.uih(data_set, person)
    source = part10(data_set)
    original = pydicom.dcmread(BytesIO(source))
    read = cleaned(pydicom.dcmread(BytesIO(source)), tokens_for(data_set, person))
    for tag in (0x0019100C, 0x0019100E, 0x00191029, 0x00431039, 0x00251007, 0x00651009,
                0x00651037, 0x00651050):  # fmt: skip
        assert read[tag].value == original[tag].value
