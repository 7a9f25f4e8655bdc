"""The API's projects: what may be entered, what may change, and what stays."""

import json
from typing import Any

import pytest

from services.anonymizer.work import load
from shared.clock import now
from shared.ledger.tables import Delivery, Release, core
from shared.profile import Action
from shared.runtime import Runtime
from shared.schemes import Scheme, identifiers
from tests.helpers import rows
from tests.integration.test_api_fixtures import (
    DESTINATION,
    PROJECT,
    Api,
    assign,
    running_transfer,
    study,
)  # fmt: skip

pytest_plugins = ["tests.integration.test_api_fixtures"]


async def test_projects(api: Api) -> None:
    destination = await api("POST", "/destinations", 201, DESTINATION)
    made = await api("POST", "/projects", 201, PROJECT | {"destination_id": destination["id"]})
    assert made["title"] == "Ærlig prosjekt" and made["state"] == "active"
    assert "secret" not in made
    assert await api("GET", "/projects", 200) == [made]
    problem = await api("POST", "/projects", 409, PROJECT)
    assert problem["errors"][0]["field"] == "code"
    problem = await api("POST", "/projects", 409, PROJECT | {"code": "OTHER"})
    assert problem["errors"][0]["field"] == "number"
    changed = await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    assert changed == made | {"state": "closed"}
    await api("GET", "/projects/NOSUCH", 404)
    await api("PATCH", "/projects/NOSUCH", 404, {"state": "closed"})
    await api.refused("/projects/BICAM", {"code": "NEW"}, "code", method="PATCH")
    await api.refused("/projects/BICAM", {"date_shift_days": 1}, "date_shift_days", method="PATCH")
    await api.refused("/projects/BICAM", {"rek_end": "2019-12-31"}, "rek_end", method="PATCH")


async def test_a_date_shift_that_nobody_chose_is_drawn(api: Api) -> None:
    drawn = set()
    for number in range(5):
        made = await api("POST", "/projects", 201, {"code": f"PROJECT{number}"})
        assert -730 <= made["date_shift_days"] <= -30
        drawn.add(made["date_shift_days"])
    assert len(drawn) > 1
    made = await api("POST", "/projects", 201, {"code": "KEEPSDATES", "date_shift_days": 0})
    assert made["date_shift_days"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"code": "AB"}, "code"), ({"code": "bicam"}, "code"), ({"code": "A" * 17}, "code"),
     ({"code": "NO SÅR"}, "code"),
     ({"code": "SLUSE"}, "code"), ({"number": "P2020_1"}, "number"),
     ({"participant_pattern": "("}, "participant_pattern"),
     ({"participant_pattern": r"(a)\1"}, "participant_pattern"),
     ({"rek_start": "yesterday"}, "rek_start"), ({"events": [""]}, "events.0"),
     ({"events": ["a\\b"]}, "events.0"), ({"title": "two\nlines"}, "title"),
     ({"rek_start": "2030-01-01", "rek_end": "2020-01-01"}, "rek_end"),
     ({"destination_id": 99}, "destination_id"), ({"date_shift_days": 1.5}, "date_shift_days"),
     ({"state": "sleeping"}, "state"), ({"rek_number": "x" * 65}, "rek_number"),
     ({"events": ["v1", "v1"]}, "events"), ({"sites": ["a", "a"]}, "sites"),
     ({"participant_pattern": "a\x00b"}, "participant_pattern")],
)  # fmt: skip
async def test_a_project_that_breaks_a_rule_names_the_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    await api.refused("/projects", PROJECT | change, field)


async def test_a_project_of_the_earlier_system_chooses_its_identifiers_for_good(
    any_runtime: Runtime, api: Api
) -> None:
    assert (await api("POST", "/projects", 201, PROJECT))["identifier_scheme"] == "keyed"
    legacy = {"code": "OLD", "identifier_scheme": "legacy-hex", "date_shift_days": 42}
    made = await api("POST", "/projects", 201, legacy)
    assert await api("GET", "/projects/OLD", 200) == made
    assert made["identifier_scheme"] == "legacy-hex"
    fixed = {"identifier_scheme": "keyed"}
    await api.refused("/projects/OLD", fixed, "identifier_scheme", method="PATCH")
    drawn = {"code": "NEW", "identifier_scheme": "legacy-decimal"}
    await api.refused("/projects", drawn, "date_shift_days")
    unknown = legacy | {"code": "NEW", "identifier_scheme": "md5"}
    await api.refused("/projects", unknown, "identifier_scheme")

    uid = await study(any_runtime)
    (found,) = (await api("GET", "/studies", 200))["items"]
    assert found["study_instance_uid"] == uid
    body = {"study_id": found["id"], "project": "OLD", "participant": "OLD_001"}
    transfer = await api("POST", "/transfers", 201, body)
    await assign(any_runtime, transfer["id"])
    master_key = await any_runtime.load_master_key()
    deliveries = [delivery.id for delivery in await rows(any_runtime, Delivery)]
    async with any_runtime.ledger.reading() as connection:
        work, _ = await load(connection, deliveries, master_key)
    names = identifiers(Scheme.LEGACY_HEX, b"", "OLD", uid)
    assert len(work) == 2
    for one in work:
        assert one.released_study_uid == names.uid(0x0020000D, Action.HASHUID_PROJECT, uid)
        original = one.job.uids.instance
        released = names.uid(0x00080018, Action.HASHUID_PROJECT, original)
        assert one.released_sop_uid == released and original not in one.job.target_key


async def test_a_project_may_change_the_table(api: Api) -> None:
    await api("POST", "/projects", 201, PROJECT)
    rule = {"element": "StudyDescription", "action": "remove"}
    profile = json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": [rule]})
    changed = await api("PATCH", "/projects/BICAM", 200, {"profile": profile})
    assert changed["profile"] == profile
    wrong = profile.replace('"remove"', '"remvoe"')
    problem = await api("PATCH", "/projects/BICAM", 422, {"profile": wrong})
    (error,) = problem["errors"]
    assert error["field"] == "profile" and "unknown action" in error["message"]
    assert (await api("GET", "/projects/BICAM", 200))["profile"] == profile


def profile(*rules: dict[str, str], **more: Any) -> str:
    base = {"format": 1, "name": "own", "base": "source-2019"}
    return json.dumps(base | {"rules": rules} | more)


async def test_a_profile_that_breaks_rules_is_refused_with_a_line_for_each(api: Api) -> None:
    made = await api("POST", "/projects", 201, PROJECT | {"profile": profile()})
    assert made["profile"] == profile()
    wrong = profile(
        {"element": "StudyDescription", "action": "remvoe"},
        {"element": "PatientNam", "action": "remove"},
        contents={"overlays": "burn"},
    )
    for method, path in (("PATCH", "/projects/BICAM"), ("POST", "/projects")):
        problem = await api(method, path, 422, {"profile": wrong})
        said = [one["message"] for one in problem["errors"] if one["field"] == "profile"]
        assert [message.partition(":")[0] for message in said] == ["contents", "rule 1", "rule 2"]
    assert await api("GET", "/projects/BICAM", 200) == made


@pytest.mark.parametrize("field", ["code", "number", "date_shift_days", "identifier_scheme"])
async def test_what_stays_of_a_project_is_refused_with_the_reason(api: Api, field: str) -> None:
    made = await api("POST", "/projects", 201, PROJECT)
    problem = await api("PATCH", "/projects/BICAM", 422, {"title": "x", field: made[field]})
    (error,) = problem["errors"]
    assert error["field"] == field and "settled when the project is entered" in error["message"]
    assert await api("GET", "/projects/BICAM", 200) == made
    document = (await api.client.get("/openapi.json")).json()
    assert field not in document["components"]["schemas"]["ProjectChange"]["properties"]


async def test_the_uids_of_a_project_stay_once_images_were_released(
    any_runtime: Runtime, api: Api
) -> None:
    transfer = await running_transfer(any_runtime, api)
    kept = {"element": "StudyInstanceUID", "action": "keep"}
    own_uids = [profile(kept), profile(base="ps3.15", options=["retain-uids"])]
    for text in [*own_uids, ""]:
        await api("PATCH", "/projects/BICAM", 200, {"profile": text})
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            core(Release).insert().values(
                project_id=1, study_id=transfer["study_id"], released_study_uid="2.25.1",
                released_at=now(),
            )
        )  # fmt: skip
    for text in own_uids:
        problem = await api("PATCH", "/projects/BICAM", 409, {"title": "x", "profile": text})
        (error,) = problem["errors"]
        assert error["field"] == "profile" and "no longer join" in error["message"]
    found = await api("GET", "/projects/BICAM", 200)
    assert (found["profile"], found["title"]) == ("", PROJECT["title"])
    allowed = profile({"element": "StudyDescription", "action": "remove"}, base="ps3.15")
    await api("PATCH", "/projects/BICAM", 200, {"profile": allowed})
    # Another project has released nothing yet.
    other = {"code": "OTHER", "date_shift_days": 0}
    await api("POST", "/projects", 201, other)
    await api("PATCH", "/projects/OTHER", 200, {"profile": own_uids[0]})


async def test_a_profile_that_keeps_dates_is_for_projects_that_do_not_move_them(api: Api) -> None:
    keeping = {"profile": profile(base="ps3.15", options=["retain-full-dates"])}
    moving = {"profile": profile(base="ps3.15", options=["retain-modified-dates"])}
    await api.refused("/projects", {"code": "DRAWN"} | keeping, "profile")
    await api("POST", "/projects", 201, PROJECT | moving)
    await api.refused("/projects/BICAM", keeping, "profile", method="PATCH")
    await api("POST", "/projects", 201, {"code": "KEEPSDATES", "date_shift_days": 0} | keeping)


async def test_a_code_that_no_project_can_have_is_refused(api: Api) -> None:
    for path in ("/projects/%00", "/projects/bicam"):
        await api.refused(path, None, "code", method="GET")
        await api.refused(path, {}, "code", method="PATCH")
