"""People who change one rule at the same time, on both databases."""

import asyncio
from collections.abc import Mapping
from html import unescape
from typing import Any

from shared.ledger.tables import RoutingRule
from tests.helpers import rows
from tests.integration.test_people_fixtures import World

pytest_plugins = ["tests.integration.test_people_fixtures"]

RULE = {"name": "r", "called_aet": "IN", "patient_id_pattern": "P", "project": "AAA"}
FORM: Mapping[str, Any] = {
    "do": "save", "name": "r", "priority": "1", "enabled": "true", "project": "AAA",
    "trusted": "true", "title_field": "called_aet", "title_value": "IN",
    "patient_field": "patient_id_pattern", "patient_how": "any", "patient_value": "not read",
}  # fmt: skip


async def opened(world: World) -> tuple[Any, dict[str, Any]]:
    """Somebody who has the form of a rule open."""
    await world.root("POST", "/routing-rules", 201, RULE)
    client = await world.signed_in("root")
    page = (await client.get("/rules/1/edit", headers={"accept": "text/html"})).text
    version = unescape(page.split('name="version" value="')[1].split('"')[0])
    return client, {**FORM, "version": version}


async def saved(world: World) -> RoutingRule:
    (rule,) = await rows(world.runtime, RoutingRule)
    return rule


async def test_of_those_who_save_at_once_all_but_one_are_asked(world: World) -> None:
    client, form = await opened(world)
    answers = await asyncio.gather(
        *(client.post("/rules/1/edit", data=form | {"name": f"r{one}"}) for one in range(4))
    )
    assert sorted(one.status_code for one in answers) == [303, 409, 409, 409]
    winner = next(number for number, one in enumerate(answers) if one.status_code == 303)
    assert (await saved(world)).name == f"r{winner}"


async def test_a_switch_undoes_nothing_and_is_seen_by_who_saves(world: World) -> None:
    client, form = await opened(world)
    await world.root("PUT", "/routing-rules/1", 200, RULE | {"priority": 7})
    for _ in range(2):  # two people press the same button
        answer = await client.post("/rules/1/switch", data={"on": "false"})
        assert answer.status_code == 303
    rule = await saved(world)
    assert (rule.priority, rule.enabled) == (7, False)
    assert (await client.post("/rules/1/edit", data=form)).status_code == 409
    assert (await saved(world)).enabled is False


async def test_a_form_without_what_was_seen_saves_nothing(world: World) -> None:
    client, form = await opened(world)
    del form["version"]
    assert (await client.post("/rules/1/edit", data=form)).status_code == 409
    assert (await saved(world)).patient_id_pattern == "P"


async def test_what_no_form_sends_is_refused_or_left_out(world: World) -> None:
    client, form = await opened(world)
    odd = form | {
        "title_field": "project_id",
        "patient_how": ["any", "nonsense"],
        "do": "remove x 9",
    }
    assert (await client.post("/rules/1/edit", data=odd)).status_code == 200
    for wrong in ({"patient_how": "expression", "patient_value": "(" * 400}, {"event": "v9"},
                  {"priority": "1e3"}, {"trusted": "perhaps"}, {"title_field": "id"}):  # fmt: skip
        answer = await client.post("/rules/1/edit", data=form | wrong)
        assert answer.status_code == 422, wrong
    many = {name: [form[name]] * 300 for name in ("patient_field", "patient_how", "patient_value")}
    answer = await client.post("/rules/1/edit", data=form | many | {"do": "add patient"})
    # Refused as a whole: a condition that is left out would let others through.
    assert answer.status_code == 422 and "too many conditions" in answer.text
    assert (await saved(world)).patient_id_pattern == "P"
    files = {"name": ("x.txt", b"x")}
    answer = await client.post("/rules/1/edit", data=form, files=files)
    assert answer.status_code == 422
    assert (await saved(world)).patient_id_pattern == "P"
