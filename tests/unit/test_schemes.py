"""Identifier schemes: the earlier system's recorded outputs, and the keyed scheme."""

import json
import pickle
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

from services.anonymizer.engine import Plan
from shared.identity import is_legal_uid, keyed_hash, keyed_uid
from shared.profile import Action, load_profile
from shared.schemes import Identifiers, Scheme, identifiers

VECTORS = json.loads((Path(__file__).parents[1] / "data/legacy-vectors.json").read_text())[
    "vectors"
]
KEY = bytes(range(32))
CASES = [
    (number, keyword)
    for number, vector in enumerate(VECTORS)
    for keyword in vector["input"]
    if not keyword.endswith(("Date", "DateTime"))
]
STUDY, UID = "1.2.840.99999.1", "1.2.840.99999.7"
STUDY_TAG, SOP_TAG, IRRADIATION_TAG, UNLISTED_TAG = 0x0020000D, 0x00080018, 0x00083010, 0x00189000
LEGACY = (Scheme.LEGACY_DECIMAL, Scheme.LEGACY_HEX)


def plan(scheme: Scheme, project: str = "BICAM") -> Plan:
    return Plan(project=project, key=KEY, participant="BICAM_001", scheme=scheme)


def made(scheme: Scheme, project: str = "BICAM", study: str = STUDY) -> Identifiers:
    return identifiers(scheme, KEY, project, study)


def test_the_vectors_are_all_there() -> None:
    assert {vector["style"] for vector in VECTORS} == {"decimal", "hex"}
    assert len(VECTORS) == 6 and len(CASES) == 6 * 8


@pytest.mark.parametrize(("number", "keyword"), CASES)
def test_the_legacy_schemes_repeat_what_was_recorded(number: int, keyword: str) -> None:
    """Through the table that a legacy plan has, as the engine asks for them."""
    vector = VECTORS[number]
    of = plan(Scheme(f"legacy-{vector['style']}"), vector["project"])
    names = of.identifiers(vector["input"]["StudyInstanceUID"])
    tag = tag_for_keyword(keyword)
    assert tag is not None
    action, value = of.profile[tag].action, vector["input"][keyword]
    if action is Action.STUDYHASH:
        found = names.study_hash()
    elif action is Action.HASH:
        found = names.value_hash(dictionary_VR(tag), value)
    else:
        found = names.uid(tag, action, value)
    assert found == vector["expected"][keyword]


@pytest.mark.parametrize("scheme", LEGACY)
def test_references_to_what_the_table_does_not_name_link(scheme: Scheme) -> None:
    names = made(scheme)
    target = names.uid(SOP_TAG, Action.HASHUID_PROJECT, UID)
    assert names.uid(UNLISTED_TAG, None, UID) == target
    assert target != made(scheme, "OTHER").uid(UNLISTED_TAG, None, UID)
    own = names.uid(STUDY_TAG, Action.HASHUID_PROJECT, STUDY)
    assert names.uid(UNLISTED_TAG, None, STUDY) == own  # though hashed without its padding


@pytest.mark.parametrize("scheme", LEGACY)
def test_a_nested_study_becomes_the_objects_own_one(scheme: Scheme) -> None:
    names = made(scheme)
    own = names.uid(STUDY_TAG, Action.HASHUID_PROJECT, STUDY)
    assert names.uid(STUDY_TAG, Action.HASHUID_PROJECT, "1.2.3") == own
    assert made(scheme, study="1.2.3").uid(STUDY_TAG, Action.HASHUID_PROJECT, STUDY) != own


@pytest.mark.parametrize("scheme", LEGACY)
def test_legacy_identifiers_fit_their_elements(scheme: Scheme) -> None:
    names = made(scheme)
    assert len(names.uid(SOP_TAG, Action.HASHUID_PROJECT, UID)) == 63
    assert len(names.uid(IRRADIATION_TAG, Action.HASHUID, UID)) == 64
    assert len(names.value_hash("SH", "ACC1234")) == len(names.study_hash()) == 16
    assert len(names.value_hash("LO", "ærlig – 1")) == len(names.value_hash("UT", "")) == 64
    # What was padded with a blank is another value than one that has its own (odd and even).
    assert names.value_hash("SH", "A1") != names.value_hash("SH", "A1 ")
    assert names.value_hash("SH", "A77") == names.value_hash("SH", "A77 ")


def test_about_one_legacy_decimal_uid_in_eight_is_illegal() -> None:
    names = made(Scheme.LEGACY_DECIMAL)
    found = [names.uid(SOP_TAG, Action.HASHUID_PROJECT, f"1.2.{n}") for n in range(2000)]
    assert 0.10 < sum(not is_legal_uid(uid) for uid in found) / len(found) < 0.15
    assert len(set(found)) == len(found)


def test_the_keyed_scheme_maps_every_uid_alike() -> None:
    names = made(Scheme.KEYED)
    for tag, action in ((STUDY_TAG, Action.HASHUID_PROJECT), (IRRADIATION_TAG, Action.HASHUID),
                        (UNLISTED_TAG, None)):  # fmt: skip
        assert names.uid(tag, action, UID) == keyed_uid(KEY, UID)
    assert names.value_hash("SH", "A") == keyed_hash(KEY, "value", "A")
    assert names.study_hash() == keyed_hash(KEY, "study", STUDY)


def test_a_legacy_plan_hashes_the_accession_number_as_the_earlier_system_did() -> None:
    accession = 0x00080050
    assert plan(Scheme.KEYED).profile[accession].action is Action.STUDYHASH
    for scheme in LEGACY:
        assert plan(scheme).profile[accession].action is Action.HASH
        assert plan(scheme).profile[0x00200010].action is Action.STUDYHASH


def test_a_plan_travels_with_its_profile() -> None:
    text = '{"format": 1, "name": "own", "base": "ps3.15"}'
    for scheme in Scheme:
        sent = Plan("BICAM", KEY, "BICAM_001", scheme=scheme, profile=load_profile(text))
        received = pickle.loads(pickle.dumps(sent))
        assert received == sent and hash(received) == hash(sent)
        assert received.profile is sent.profile  # made once in each process
        assert len(pickle.dumps(sent)) < 1000


def test_identifiers_travel_to_worker_processes_and_show_no_secret() -> None:
    for scheme in Scheme:
        names = made(scheme)
        assert pickle.loads(pickle.dumps(names)) == names
        assert "99999" not in repr(names) and repr(KEY) not in repr(names)
