"""The gate, the routing rules and the patterns behind them."""

import time

import pytest

from shared.admission import Objection, refusals
from shared.clock import now
from shared.ledger.states import ProjectState
from shared.ledger.tables import Project, RoutingRule
from shared.patterns import PatternError, check, matches_start, matches_whole
from shared.routing import matching
from shared.spool import Association

PROJECT = Project(
    id=1, code="BICAM", participant_pattern="BICAM_[0-9]{3}", events=["v1", "v2"],
    sites=["Bergen"], secret="",
)  # fmt: skip


def rule(**values: object) -> RoutingRule:
    return RoutingRule.model_validate({"id": 1, "name": "r", "project_id": 1} | values)


def sender(called: str = "BICAM", calling: str = "MR1") -> Association:
    return Association(called_aet=called, calling_aet=calling, peer_address="::1", opened_at=now())


@pytest.mark.parametrize(
    ("participant", "event", "site", "objections"),
    [
        ("BICAM_001", "v1", "", []),
        ("BICAM_001", "v1", "Bergen", []),
        ("BICAM_001", "v9", "", [Objection.EVENT_UNKNOWN]),
        ("BICAM_001", "", "", [Objection.EVENT_UNKNOWN]),
        ("BICAM_001", "v1", "Oslo", [Objection.SITE_UNKNOWN]),
        ("BICAM_0012", "v1", "", [Objection.PARTICIPANT_PATTERN]),
        ("xBICAM_001", "v1", "", [Objection.PARTICIPANT_PATTERN]),
        ("", "v1", "", [Objection.PARTICIPANT_MISSING]),
    ],
)
def test_the_gate(participant: str, event: str, site: str, objections: list[Objection]) -> None:
    assert [r.objection for r in refusals(PROJECT, participant, event, site)] == objections


def test_only_active_projects_take_images() -> None:
    closed = PROJECT.model_copy(update={"state": ProjectState.CLOSED})
    found = refusals(closed, "BICAM_001", "v1", "")
    assert [(r.field, r.objection) for r in found] == [("project", Objection.PROJECT_NOT_ACTIVE)]


@pytest.mark.parametrize("participant", ["a/b", "a\\b", "a^b", "ø", "a b", "x" * 65])
def test_no_pattern_lets_an_id_through_that_dicom_can_not_hold(participant: str) -> None:
    anything = PROJECT.model_copy(update={"participant_pattern": ".*"})
    assert refusals(anything, participant, "v1", "")


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ({"called_aet": "BICAM", "patient_id_pattern": "BICAM_"}, True),
        ({"called_aet": "BICAM", "patient_name_pattern": "Phantom"}, True),
        ({"calling_aet": "MR1", "patient_id_pattern": "BICAM_"}, True),
        ({"called_aet": "OTHER", "calling_aet": "MR1", "patient_id_pattern": "BICAM"}, True),
        ({"called_aet": "BICA", "patient_id_pattern": "BICAM_"}, False),
        ({"called_aet": "BICAM", "patient_id_pattern": "ICAM_"}, False),
        ({"called_aet": "BICAM"}, False),
        ({"patient_id_pattern": ".*"}, False),
        ({"called_aet": "BICAM", "patient_id_pattern": ".*", "enabled": False}, False),
    ],
)
def test_a_rule_needs_an_ae_title_and_a_pattern(conditions: dict[str, object], taken: bool) -> None:
    found = matching([rule(**conditions)], [sender()], "BICAM_001", "Phantom^A")
    assert bool(found) is taken


def test_for_each_project_the_first_rule_counts() -> None:
    everything = {"called_aet": "BICAM", "patient_id_pattern": ".*"}
    late = rule(id=1, priority=20, **everything)
    early = rule(id=2, priority=10, **everything)
    other = rule(id=3, priority=30, **everything | {"project_id": 2})
    assert matching([late, early, other], [sender()], "1", "") == [early, other]


def test_any_of_the_senders_will_do() -> None:
    one = rule(calling_aet="MR2", patient_id_pattern=".*")
    assert matching([one], [sender(), sender(calling="MR2")], "1", "") == [one]


def test_patterns_are_anchored_as_they_should_be() -> None:
    assert matches_start("AB", "ABC") and not matches_start("BC", "ABC")
    assert matches_whole("A|AB", "AB") and not matches_whole("A", "AB")


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "*a", r"(a)\1", "(?=a)", "a{5000}"])
def test_what_is_no_linear_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="not a regular expression"):
        check(pattern)


def test_no_pattern_stalls_the_service() -> None:
    started = time.process_time()
    assert not matches_start("(a+)+$", "a" * 50_000 + "b")
    assert time.process_time() - started < 1
