"""A routing rule is tried on what is here, and applied to it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from demo.phantoms import Maker
from services.api.app import create_app
from services.api.routing_rules import applying, trying
from shared.admission import Objection
from shared.bus import CLASSIFIER_TRANSFERS
from shared.clock import now
from shared.events import InstanceReceived
from shared.ledger.auditing import Action
from shared.ledger.tables import (
    AuditEvent,
    Coupling,
    CouplingEntry,
    Participant,
    RoutingRule,
    Study,
    Transfer,
    core,
)
from shared.routing import candidates, is_enough, matching, met
from shared.runtime import Runtime
from shared.spool import Association
from tests.helpers import arrive, handle, received_consumer, rows
from tests.integration.test_api_fixtures import Api

pytest_plugins = ["tests.integration.test_api_fixtures"]

RULE = {
    "name": "trusted", "called_aet": "IN", "patient_id_pattern": "AAA_", "project": "AAA",
    "event": "v1",
}  # fmt: skip
CHOOSING = RULE | {"name": "choosing", "patient_id_pattern": ".*", "trusted": False}


class World:
    """Project AAA, and studies that arrive by association with IN or OUT."""

    def __init__(self, runtime: Runtime, api: Api) -> None:
        self.runtime, self.api = runtime, api

    async def arrive(self, *patients: str, called: str = "IN") -> list[int]:
        """Studies arrive, one of each patient; their ids."""
        before = {one.id for one in await rows(self.runtime, Study)}
        received = received_consumer(self.runtime)
        for number, patient in enumerate(patients, start=1 + len(before)):
            images = Maker(number, size=16).ct(1, patient).instances
            keys = arrive(self.runtime, images, called=called, calling="MR1")
            await handle(received, InstanceReceived(keys=tuple(keys)))
        return [one.id for one in await rows(self.runtime, Study) if one.id not in before]

    async def rule(self, **fields: Any) -> int:
        return int((await self.api("POST", "/routing-rules", 201, RULE | fields))["id"])

    async def tried(self, rule: int, query: str = "") -> dict[int, tuple[bool, list[str]]]:
        page = await self.api("GET", f"/routing-rules/{rule}/dry-run{query}", 200)
        return {one["study_id"]: (one["takes"], one["against"]) for one in page["items"]}


@pytest.fixture
async def world(any_runtime: Runtime) -> AsyncIterator[World]:
    transport = httpx.ASGITransport(create_app(any_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        api = Api(client)
        body = {"code": "AAA", "participant_pattern": "AAA_{n:2}", "events": ["v1"]}
        await api("POST", "/projects", 201, body)
        yield World(any_runtime, api)


async def test_a_dry_run_says_of_every_study_why_or_why_not(world: World) -> None:
    good, misfit, stranger = await world.arrive("AAA_01", "AAA_1", "P-1")
    (elsewhere,) = await world.arrive("AAA_02", called="OUT")
    rule = await world.rule()
    page = await world.api("GET", f"/routing-rules/{rule}/dry-run", 200)
    assert [one["study_id"] for one in page["items"]] == [elsewhere, stranger, misfit, good]
    by_id = {one.pop("study_id"): one for one in page["items"]}
    both = ["called_aet", "patient_id_pattern"]
    assert by_id[good] == {"takes": True, "met": both, "against": []}
    assert by_id[misfit] == {
        "takes": False, "met": both, "against": [Objection.PARTICIPANT_PATTERN.in_words]
    }  # fmt: skip
    assert by_id[stranger]["met"] == ["called_aet"]
    assert by_id[stranger]["against"] == [
        "Neither the patient's id nor the name matches a pattern of the rule."
    ]
    assert by_id[elsewhere]["met"] == ["patient_id_pattern"]
    assert "AE title" in by_id[elsewhere]["against"][0]


async def test_a_dry_run_changes_nothing(world: World) -> None:
    await world.arrive("P-1", "AAA_1")
    rule = await world.rule(**CHOOSING, enabled=False)
    before = await rows(world.runtime, AuditEvent)
    assert [takes for takes, _ in (await world.tried(rule)).values()] == [True, True]
    for table in (Transfer, Participant, Coupling):
        assert await rows(world.runtime, table) == []
    assert await rows(world.runtime, AuditEvent) == before
    assert {one.routing_note for one in await rows(world.runtime, Study)} == {""}
    assert await world.runtime.bus.depth(CLASSIFIER_TRANSFERS) == 0


async def test_a_rule_is_tried_before_it_is_entered_or_changed(world: World) -> None:
    (study,) = await world.arrive("AAA_01")
    page = await world.api("POST", "/routing-rules/dry-run", 200, RULE)
    assert [one["takes"] for one in page["items"]] == [True]
    assert await rows(world.runtime, RoutingRule) == []
    rule = await world.rule()
    changed = RULE | {"called_aet": "OUT"}
    page = await world.api("POST", f"/routing-rules/{rule}/dry-run", 200, changed)
    assert [one["takes"] for one in page["items"]] == [False]
    assert (await world.tried(rule))[study] == (True, [])
    await world.api.refused("/routing-rules/dry-run", RULE | {"event": "v9"}, "event")
    await world.api("POST", "/routing-rules/99/dry-run", 404, RULE)
    await world.api("GET", "/routing-rules/99/dry-run", 404)


async def test_what_goes_before_a_rule_is_named(world: World) -> None:
    (study,) = await world.arrive("AAA_01")
    rule = await world.rule()
    first = await world.rule(name="first", priority=1)
    assert (await world.tried(rule))[study] == (False, ["The rule “first” goes first."])
    assert (await world.tried(first))[study] == (True, [])
    # One that is not entered yet comes after those of the same priority.
    page = await world.api("POST", "/routing-rules/dry-run", 200, RULE | {"priority": 1})
    assert page["items"][0]["against"] == ["The rule “first” goes first."]
    master_key = await world.runtime.load_master_key()
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(CouplingEntry)).values(
                project_id=1, kind="patient", value_key=master_key.index("patient", "AAA_01"),
                value=master_key.encrypt(b"AAA_01"), participant="AAA_07", event="v1", site="",
                uploaded_at=now(),
            )
        )  # fmt: skip
    (takes, (reason,)) = (await world.tried(first))[study]
    assert not takes and "coupling list" in reason


async def test_a_dry_run_comes_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = await world.arrive("AAA_01", "P-1", "P-2", "P-3", "AAA_02")
    rule = await world.rule()
    seen, after = [], ""
    for size in (2, 2, 1):
        page = await world.api("GET", f"/routing-rules/{rule}/dry-run?limit=2{after}", 200)
        assert len(page["items"]) == size
        seen += [one["study_id"] for one in page["items"]]
        after = f"&after={page['next']}"
    assert page["next"] is None and seen == sorted(studies, reverse=True)
    # Only those that it takes, however far apart they are.
    monkeypatch.setattr(trying, "_AT_ONCE", 2)
    page = await world.api("GET", f"/routing-rules/{rule}/dry-run?takes=true&limit=2", 200)
    assert [one["study_id"] for one in page["items"]] == [studies[4], studies[0]]
    assert page["next"] is None
    assert set(await world.tried(rule, "?takes=false")) == set(studies[1:4])
    # A page looks at so many studies only, and says where to go on.
    monkeypatch.setattr(trying, "_AT_MOST", 2)
    page = await world.api(
        "GET", f"/routing-rules/{rule}/dry-run?takes=true&after={studies[4]}", 200
    )
    assert (page["items"], page["next"]) == ([], studies[2])


async def test_a_rule_is_applied_to_what_is_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_AT_ONCE", 2)
    one, two, misfit, _ = await world.arrive("AAA_01", "AAA_02", "AAA_1", "P-1")
    await world.arrive("AAA_04", called="OUT")
    rule = await world.rule()
    promised = {study for study, (takes, _) in (await world.tried(rule)).items() if takes}
    applied = await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    assert applied == {"taken": 2, "refused": 1}
    transfers = await rows(world.runtime, Transfer)
    assert {transfer.study_id for transfer in transfers} == promised == {one, two}
    assert {(t.requested_by, t.rule_id, t.event) for t in transfers} == {("rule", rule, "v1")}
    (note,) = [s.routing_note for s in await rows(world.runtime, Study) if s.id == misfit]
    assert note == Objection.PARTICIPANT_PATTERN
    assert await world.runtime.bus.depth(CLASSIFIER_TRANSFERS) == 2
    events = await rows(world.runtime, AuditEvent)
    audited = [e.subject for e in events if e.action == Action.RULE_APPLIED]
    assert audited == [{"rule": rule, "transfers": [t.id for t in transfers]}]
    # Once more: those that are there are left alone.
    assert (await world.tried(rule))[one] == (
        False, [f"It is in the project already: transfer {transfers[0].id}."]
    )  # fmt: skip
    applied = await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    assert applied == {"taken": 0, "refused": 1}
    await world.api("POST", "/routing-rules/99/apply", 404)


async def test_only_the_rule_that_is_applied_takes(world: World) -> None:
    one, _ = await world.arrive("AAA_01", "AAA_02")
    rule = await world.rule()
    await world.rule(name="first", priority=1, patient_id_pattern="AAA_02")
    await world.api("POST", "/projects", 201, {"code": "BBB", "participant_pattern": ".*"})
    await world.rule(name="other", project="BBB", event="")
    applied = await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    assert applied == {"taken": 1, "refused": 0}
    assert [(t.study_id, t.rule_id) for t in await rows(world.runtime, Transfer)] == [(one, rule)]


async def test_a_rule_that_chooses_ids_gives_a_patient_one(world: World) -> None:
    await world.arrive("P-1", "P-2", "P-1")
    rule = await world.rule(**CHOOSING)
    applied = await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    assert applied == {"taken": 3, "refused": 0}
    pseudonyms = {one.id: one.pseudonym for one in await rows(world.runtime, Participant)}
    found = [pseudonyms[one.participant_id] for one in await rows(world.runtime, Transfer)]
    assert found == ["AAA_01", "AAA_02", "AAA_01"]


async def test_a_rule_that_is_switched_off_is_not_applied(world: World) -> None:
    (study,) = await world.arrive("AAA_01")
    rule = await world.rule(enabled=False)
    assert (await world.tried(rule))[study] == (True, [])
    await world.api.refused(f"/routing-rules/{rule}/apply", None, "enabled")
    assert await rows(world.runtime, Transfer) == []


@pytest.mark.parametrize("change", ["cancel", "correct"])
async def test_what_a_person_has_taken_out_no_rule_brings_back(world: World, change: str) -> None:
    (study,) = await world.arrive("AAA_01")
    rule = await world.rule()
    await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    await world.api("POST", "/projects", 201, {"code": "BBB", "participant_pattern": "BBB_{n:2}"})
    body, status = ({"project": "BBB"}, 201) if change == "correct" else (None, 200)
    await world.api("POST", f"/transfers/1/{change}", status, body)
    (takes, (reason,)) = (await world.tried(rule))[study]
    assert not takes and "A person has taken it out of the project" in reason
    applied = await world.api("POST", f"/routing-rules/{rule}/apply", 200)
    assert applied == {"taken": 0, "refused": 0}
    master_key = await world.runtime.load_master_key()
    async with world.runtime.ledger.reading() as connection:
        assert await candidates(connection, [study], master_key) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"participant_pattern": None}, "project"),
        ({"participant_pattern": "AAA_[0-9]+"}, None),
    ],
    ids=["none", "expression"],
)
async def test_a_trusted_rule_needs_a_pattern_and_another_one_a_template(
    world: World, change: dict[str, Any], field: str | None
) -> None:
    await world.api("PATCH", "/projects/AAA", 200, change)
    await world.api.refused("/routing-rules", CHOOSING, "participant")
    if field:
        await world.api.refused("/routing-rules", RULE, field)
    else:
        assert (await world.api("POST", "/routing-rules", 201, RULE))["trusted"] is True


async def test_a_rule_that_chooses_ids_names_the_site_where_ids_do(world: World) -> None:
    change = {"participant_pattern": "AAA{site}_{n:2}", "sites": ["B"], "site_codes": {"B": "01"}}
    await world.api("PATCH", "/projects/AAA", 200, change)
    await world.api.refused("/routing-rules", CHOOSING, "site")
    made = await world.api("POST", "/routing-rules", 201, CHOOSING | {"site": "B"})
    await world.arrive("P-1")
    await world.api("POST", f"/routing-rules/{made['id']}/apply", 200)
    async with world.runtime.ledger.reading() as connection:
        found = await connection.scalars(select(core(Participant).c.pseudonym))
        assert set(found) == {"AAA01_01"}


async def test_applying_is_audited_by_its_name(world: World) -> None:
    await world.arrive("AAA_01")
    await world.api("POST", f"/routing-rules/{await world.rule()}/apply", 200)
    event = (await rows(world.runtime, AuditEvent))[-1]
    assert (event.actor, event.action) == ("rest", Action.RULE_APPLIED)


def test_a_rule_that_is_not_entered_comes_last_of_its_priority() -> None:
    def rule(**values: Any) -> RoutingRule:
        fields = {"name": "r", "project_id": 1, "called_aet": "IN", "patient_id_pattern": ".*"}
        return RoutingRule.model_validate(fields | values)

    sender = Association(called_aet="IN", calling_aet="MR1", peer_address="::1", opened_at=now())
    entered, new = rule(id=7), rule()
    assert matching([new, entered], [sender], "1", "") == [entered]
    assert met(entered, [sender], "1", "") == {"called_aet", "patient_id_pattern"}
    assert not is_enough({"called_aet", "calling_aet"})
    assert not is_enough({"patient_id_pattern", "patient_name_pattern"})
