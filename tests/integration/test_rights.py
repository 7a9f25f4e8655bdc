"""Roles and rights: who sees and does what, over REST, DICOMweb and the pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import insert, update

from services.api.app import create_app
from services.api.rights.needs import NEEDS, Where
from shared.clock import now
from shared.ledger.auditing import Action
from shared.ledger.tables import AuditEvent, SentTo, Transfer, core
from shared.runtime import Runtime
from tests.helpers import rows
from tests.integration.test_api_fixtures import assign
from tests.integration.test_people_fixtures import (
    CALLED,
    ROLES,
    World,
    _fast_hashes,
    world,
)

__all__ = ["_fast_hashes", "world"]


# The table


def _routes(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)


async def test_every_route_says_what_it_asks_for(runtime: Runtime) -> None:
    app = create_app(runtime)
    routes = list(_routes(app.routes))
    names = [route.name for route in routes]
    assert len(names) == len(set(names)), "the table goes by these names"
    assert set(names) == set(NEEDS)
    # What is no such route is documentation and files that are the same for everybody.
    others = {route.path for route in app.routes if hasattr(route, "path") and route not in routes}
    assert others == {"/openapi.json", "/static", "/static-offline-docs"}
    public = {name for name, need in NEEDS.items() if need.where is Where.PUBLIC}
    assert public == {
        "alive", "ready", "read_metrics", "show_sign_in", "sign_in", "sign_out",
        "custom_swagger_ui_html", "swagger_ui_redirect", "leave_to_sign_in", "come_back_signed_in",
        "choose_look",
    }  # fmt: skip


_PATHS = {
    "code": "AAA", "transfer_id": "1", "recall_id": "1", "rule_id": "1", "study_id": "1",
    "series_id": "1", "username": "viewer", "study": "1.2.3", "series": "1.2.3",
    "instance": "1.2.3", "import_id": "1", "file_id": "1", "frames": "1", "where": "00100010",
    "title": "SLUSE",
}  # fmt: skip


async def test_nobody_gets_in_without_signing_in(world: World) -> None:
    client = world.client()
    for path, operations in (await client.get("/openapi.json")).json()["paths"].items():
        for name in [one.split("}")[0].split(":")[0] for one in path.split("{")[1:]]:
            path = path.replace(f"{{{name}}}", _PATHS.get(name, "1"))
        for method in operations:
            answer = await client.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
    page = await client.get("/rules?a=b", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/rules%3Fa%3Db")
    assert (await client.post("/rules/1/apply")).status_code == 401


# Roles


async def test_each_role_may_what_it_may(world: World) -> None:
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await world.root("POST", "/transfers", 403, body)
    owner = await world.api("owner")
    made = await owner("POST", "/transfers", 201, body)
    assert made["id"] == 1
    expected = {
        ("GET", "/projects/AAA"): ROLES,
        ("GET", "/transfers/1"): ROLES,
        ("GET", "/projects/AAA/participants"): ROLES,
        ("GET", "/projects/AAA/coupling-list"): ("owner", "data-manager"),
        ("POST", "/transfers/1/retry"): ("owner", "data-manager"),
        ("GET", "/studies/1"): ("owner", "data-manager"),
        ("PATCH", "/projects/AAA"): ("owner",),
    }
    for role in ROLES:
        api = await world.api(role)
        for (method, path), allowed in expected.items():
            answer = await api.client.request(
                method, f"/api/v1{path}", json={} if method == "PATCH" else None
            )
            refused = answer.status_code in (403, 404) and path != "/transfers/1/retry"
            if path == "/transfers/1/retry":
                refused = answer.status_code == 403
            assert refused is (role not in allowed), (role, path, answer.text)
        for path in ("/accounts", "/peers", "/dead-letters"):
            await api("GET", path, 403)
        await api("POST", "/destinations", 403, {})
    operator = await world.api("operator")
    await operator("GET", "/dead-letters", 200)
    await operator("GET", "/accounts", 403)
    assert (await operator("GET", "/projects", 403))["title"] == "You may not see this."


async def test_another_projects_things_are_not_there(world: World) -> None:
    uid = await world.study(1)
    await world.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "owner"})
    theirs = await world.api("nobody")
    body = {"study_instance_uid": uid, "project": "BBB", "participant": "B_1"}
    await theirs("POST", "/transfers", 201, body)
    manager = await world.api("data-manager")
    for method, path in (
        ("GET", "/projects/BBB"), ("GET", "/transfers/1"), ("POST", "/transfers/1/cancel"),
        ("GET", "/projects/BBB/members"), ("GET", "/transfers/1/deliveries"), ("GET", "/studies/1"),
        ("GET", "/series/1"), ("GET", "/studies/1/series"), ("GET", "/transfers/77"),
    ):  # fmt: skip
        found = await manager(method, path, 404)
        assert "no such" in found["title"]
    assert (await manager("GET", "/transfers", 200))["items"] == []
    assert [one["code"] for one in await manager("GET", "/projects", 200)] == ["AAA"]
    assert (await manager("GET", "/studies", 200))["items"] == []
    web = manager.client
    assert (await web.get("/dicom-web/studies")).status_code == 204
    assert (await web.get(f"/dicom-web/studies/{uid}/metadata")).status_code == 404
    await manager.refused("/transfers", body, "project")
    assert "B_1" not in (await web.get("/")).text
    assert len((await theirs("GET", "/studies", 200))["items"]) == 1
    assert (await theirs.client.get("/dicom-web/studies")).status_code == 200


async def test_unassigned_studies_are_seen_by_whom_they_may_concern(world: World) -> None:
    await world.study(1)
    uid = await world.study(2)
    manager, entry = await world.api("data-manager"), await world.api("data-entry")
    viewer = await world.api("viewer")
    assert len((await manager("GET", "/studies", 200))["items"]) == 2
    await viewer("GET", "/studies", 403)
    assert (await entry("GET", "/studies", 200))["items"] == []
    # A rule that has come after the study takes nothing by itself, and says where it belongs.
    rule = {"name": "r", "called_aet": CALLED, "patient_id_pattern": "P2", "project": "AAA"}
    await manager("POST", "/routing-rules", 403, rule)
    await world.root("POST", "/routing-rules", 201, rule)
    (seen,) = (await entry("GET", "/studies", 200))["items"]
    assert seen["study_instance_uid"] == uid
    await entry("GET", f"/studies/{seen['id']}", 200)
    await entry("GET", "/studies/1", 404)
    body = {"study_id": 1, "project": "AAA", "participant": "A_1"}
    await entry.refused("/transfers", body, "study_id")
    await entry("POST", "/transfers", 201, body | {"study_id": seen["id"], "participant": "A_2"})
    assert (await entry("GET", "/studies", 200))["items"] == [], "it is under its pseudonym now"


async def test_what_names_patients_is_audited(world: World) -> None:
    await world.study(1)
    manager = await world.api("data-manager")
    await manager("GET", "/studies", 200)
    await manager("GET", "/studies/1", 200)
    await manager.client.get("/dicom-web/studies")
    shown = [
        (one.actor, one.subject) for one in await rows(world.runtime, AuditEvent)
        if one.action == Action.IDENTITIES_SHOWN
    ]  # fmt: skip
    assert shown == [("data-manager", {"studies": [1]})] * 3


# What a review found


@pytest.mark.parametrize("number", ["+1", "%2B1", "1.0", "%201", "1%20", "٣", "1" * 30, "1" * 5000])
async def test_a_number_is_written_in_one_way_only(world: World, number: str) -> None:
    """Rights are looked up by what the path says: it must not mean something else to the route."""
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await (await world.api("owner"))("POST", "/transfers", 201, body)
    stranger = await world.signed_in("nobody")
    for method, path in (
        ("GET", "transfers/{}"), ("POST", "transfers/{}/cancel"), ("POST", "transfers/{}/recall"),
        ("GET", "recalls/{}"), ("GET", "routing-rules/{}"), ("GET", "imports/{}"),
        ("GET", "studies/{}"), ("GET", "series/{}"),
    ):  # fmt: skip
        answer = await stranger.request(method, f"/api/v1/{path.format(number)}")
        assert answer.status_code in (403, 404, 422), (path, answer.text)
    assert (await (await world.api("owner"))("GET", "/transfers/1", 200))["state"] == "requested"


async def test_no_rule_and_no_list_finds_or_takes_another_projects_patients(world: World) -> None:
    uid = await world.study(1)
    await world.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "owner"})
    body = {"study_instance_uid": uid, "project": "BBB", "participant": "B_1"}
    theirs = await world.api("nobody")
    await theirs("POST", "/transfers", 201, body)
    manager = await world.api("data-manager")
    rule = {"name": "r", "called_aet": CALLED, "patient_id_pattern": "P", "project": "AAA"}
    assert (await manager("POST", "/routing-rules/dry-run", 200, rule))["items"] == []
    await world.root("POST", "/routing-rules", 201, rule)
    assert await manager("POST", "/routing-rules/1/apply", 200) == {"taken": 0, "refused": 0}
    for query in ("?dry_run=true", ""):
        answer = await manager.client.post(
            f"/api/v1/projects/AAA/coupling-list{query}",
            content=f"study_instance_uid,participant\n{uid},A_1\n",
            headers={"content-type": "text/csv"},
        )
        assert answer.json()["studies"]["matching"] == 0, answer.text
    await manager.refused("/transfers", body | {"project": "AAA"}, "study_instance_uid")
    await manager.refused(
        "/transfers", body | {"project": "AAA", "study_instance_uid": "1.2.3"}, "study_instance_uid"
    )
    answer = await manager.client.get("/api/v1/studies?project=BBB")
    assert answer.status_code == 422
    assert (await theirs("GET", "/studies/1", 200))["projects"] == ["BBB"]
    # Once it has left the project, it has left its people's sight.
    await theirs("POST", "/transfers/1/cancel", 200)
    await world.root("PUT", "/projects/AAA/members/data-manager", 200, {"role": "owner"})
    await (await world.api("data-manager"))(
        "POST", "/transfers", 201, body | {"project": "AAA", "participant": "A_9"}
    )
    await theirs("GET", "/studies/1", 404)


async def test_who_sees_pseudonyms_gets_no_way_back(world: World) -> None:
    uid = await world.study(1)
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    owner, viewer = await world.api("owner"), await world.api("viewer")
    await owner("POST", "/transfers", 201, body)
    await assign(world.runtime, 1)
    assert (await owner("GET", "/projects/AAA", 200))["date_shift_days"] is not None
    for api in (viewer, world.root):
        assert (await api("GET", "/projects/AAA", 200))["date_shift_days"] is None
        assert (await api("GET", "/projects", 200))[0]["date_shift_days"] is None
        deliveries = (await api("GET", "/transfers/1/deliveries", 200))["items"]
        assert deliveries and all(one["sop_instance_uid"] is None for one in deliveries)
    assert all(
        one["sop_instance_uid"]
        for one in (await owner("GET", "/transfers/1/deliveries", 200))["items"]
    )


async def test_nobody_stores_into_another_project(world: World) -> None:
    entry = await world.signed_in("data-entry")
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    for title, status in (("BBB", 404), ("NOBODY", 404), ("AAA", 400), ("SLUSE", 400)):
        answer = await entry.post(
            f"/dicom-web/aet/{title}/studies", content=b"", headers={"content-type": kind}
        )
        assert answer.status_code == status, (title, answer.text)


async def test_what_changes_where_images_go_is_audited(world: World) -> None:
    rule = {"name": "r", "called_aet": CALLED, "patient_id_pattern": "P", "project": "AAA"}
    await world.root("POST", "/routing-rules", 201, rule)
    await world.root("PATCH", "/projects/AAA", 200, {"title": "secret title"})
    peer = await world.root("POST", "/peers", 201, {"name": "CT", "calling_aet": "CT1"})
    await world.root("DELETE", f"/peers/{peer['id']}", 204)
    await world.client().post("/sign-in", data={"username": "viewer", "password": "hunter2"})
    await world.client().post("/sign-in", data={"username": "hunter2", "password": "x"})
    audited = await rows(world.runtime, AuditEvent)
    by_root = [one.action for one in audited if one.actor == "root"]
    assert by_root[-4:] == [
        Action.RULE_ENTERED, Action.PROJECT_CHANGED, Action.PEER_ENTERED, Action.PEER_REMOVED
    ]  # fmt: skip
    assert {Action.PROJECT_CREATED, Action.DESTINATION_ENTERED} <= {one.action for one in audited}
    failed = [one.subject for one in audited if one.action == Action.SIGN_IN_FAILED]
    assert len(failed) == 1 and set(failed[0]) == {"account"}
    said = str([(one.actor, one.subject) for one in audited])
    assert "secret title" not in said and "hunter2" not in said


async def test_pictures_and_series_name_patients_too(world: World) -> None:
    await world.study(1)
    manager = await world.api("data-manager")
    for path in ("studies/1/series", "series/1", "series/1/preview"):
        assert (await manager.client.get(f"/api/v1/{path}")).status_code == 200
    shown = [
        one for one in await rows(world.runtime, AuditEvent)
        if one.action == Action.IDENTITIES_SHOWN
    ]  # fmt: skip
    assert len(shown) == 3


async def test_who_assigns_undoes_what_people_assigned(world: World) -> None:
    for seed in (1, 2):
        await world.study(seed)
    manager, entry = await world.api("data-manager"), await world.api("data-entry")
    wanted = {"project": "AAA"}
    made = [
        await manager("POST", "/transfers", 201, wanted | {"study_id": n, "participant": f"A_{n}"})
        for n in (1, 2)
    ]
    assert [one["can_be_undone"] for one in made] == [True, True]
    async with world.runtime.ledger.transaction() as connection:
        taken = update(core(Transfer)).where(core(Transfer).c.id == 2).values(requested_by="rule")
        await connection.execute(taken)
    undone = await entry("POST", "/transfers/1/undo", 200)
    assert (undone["state"], undone["can_be_undone"]) == ("recalled", False)
    await entry("POST", "/transfers/2/undo", 403)
    await (await world.api("viewer"))("POST", "/transfers/2/undo", 403)
    async with world.runtime.ledger.transaction() as connection:
        gone = {"transfer_id": 2, "destination_id": 1, "first_at": now()}
        await connection.execute(insert(core(SentTo)).values(gone))
    problem = await manager("POST", "/transfers/2/undo", 409)
    assert "sent already" in problem["title"]
    await (await world.api("data-manager"))("POST", "/transfers/9/undo", 404)


async def test_a_legal_hold_is_set_by_who_may_see_whose_it_is_or_runs_sluse(world: World) -> None:
    uid = await world.study(1)
    owner = await world.api("owner")
    body = {"study_instance_uid": uid, "project": "AAA", "participant": "A_1"}
    await owner("POST", "/transfers", 201, body)
    reason = {"reason": "Complaint 2020/77"}
    for role in ("viewer", "data-entry"):
        await (await world.api(role))("PUT", "/studies/1/hold", 403, reason)
    await world.root("PUT", "/projects/BBB/members/nobody", 200, {"role": "owner"})
    stranger = await world.api("nobody")
    await stranger("PUT", "/studies/1/hold", 404, reason)
    await stranger("GET", "/studies/1/hold", 404)
    manager, operator = await world.api("data-manager"), await world.api("operator")
    assert (await manager("PUT", "/studies/1/hold", 200, reason))["by"] == "data-manager"
    # Who runs Sluse holds and lifts, and sees nothing of the study.
    await operator("GET", "/studies/1", 403)
    assert set(await operator("GET", "/studies/1/hold", 200)) == {"reason", "by", "since"}
    await operator("DELETE", "/studies/1/hold", 204)
    said = await rows(world.runtime, AuditEvent)
    held = [(one.actor, one.action) for one in said if one.action.startswith("study.hold")]
    assert held == [("data-manager", Action.HOLD_SET), ("operator", Action.HOLD_LIFTED)]
