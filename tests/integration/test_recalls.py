"""What was taken back is deleted where it went, before the right copies go there."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from demo.phantoms import Maker
from shared.clock import now
from shared.events import InstanceReceived, TransferRequested
from shared.ledger.states import RecallState, TransferState
from shared.ledger.tables import Recall, Release, Transfer, core
from tests.helpers import arrive, rows, transfer_state
from tests.integration.test_recall_fixtures import IMAGES, Web, World, late, web, world
from tests.servers.common import free_port

pytest_plugins = ["tests.integration.test_api_fixtures"]

__all__ = ["web", "world"]


async def test_the_right_copies_wait_until_the_wrong_ones_are_gone(world: World) -> None:
    right, recall = await world.correct(participant="P_2")
    assert (recall["state"], recall["instances"]) == (RecallState.ASKED, IMAGES)
    assert recall["released_study_uid"] == world.uid
    listed = await world.api("GET", f"/recalls/{recall['id']}/instances?limit=2", 200)
    rest = await world.api("GET", f"/recalls/{recall['id']}/instances?after={listed['next']}", 200)
    uids = [one["released_sop_uid"] for one in listed["items"] + rest["items"]]
    found = world.pacs.find_instances(StudyInstanceUID=world.uid)
    assert sorted(uids) == sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)

    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.REQUESTED
    assert (await world.api("GET", f"/transfers/{right}", 200))["waits_for_deletion"]
    assert world.there() == ["P_1"] * IMAGES

    events: list[Any] = []

    async def publish(some: Any, **_: Any) -> None:
        events.extend(some)

    world.recalls._bus = type("Bus", (), {"publish": staticmethod(publish)})()
    await world.try_now()
    assert world.there() == []
    assert events == [TransferRequested(transfer_id=right)]
    await world.line.run(*events)
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    assert world.there() == ["P_2"] * IMAGES
    read = await world.api("GET", f"/recalls/{recall['id']}", 200)
    assert read["state"] == RecallState.DONE and read["done_at"]
    assert not (await world.api("GET", f"/transfers/{right}", 200))["waits_for_deletion"]


async def test_the_copies_of_another_project_need_not_wait(world: World) -> None:
    right, _ = await world.correct(project="RIGHT", participant="P_2")
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    await world.try_now()
    assert world.there() == []
    world.uid = (await world.api("GET", f"/transfers/{right}", 200))["released_study_uid"]
    assert world.there() == ["P_2"] * IMAGES


async def test_what_is_assigned_anew_waits_as_well(world: World) -> None:
    """Its copies would have the same UIDs, and go with those that are deleted."""
    await world.correct(project="RIGHT", participant="P_2")
    body = {"study_id": 1, "project": "WRONG", "participant": "P_9", "confirmed": True}
    anew = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=anew))
    assert await transfer_state(world.runtime, anew) == TransferState.REQUESTED
    await world.try_now()
    await world.line.run(TransferRequested(transfer_id=anew))
    assert world.there() == ["P_9"] * IMAGES


async def test_a_destination_that_is_away_is_tried_again(world: World) -> None:
    await world.change_destination(deletion_url=f"http://127.0.0.1:{free_port()}")
    await world.correct(participant="P_2")
    await world.recalls.round()
    recall = await world.recall()
    assert (recall.state, recall.detail, recall.attempts) == ("asked", "ConnectError", 1)
    assert now() < recall.due_at
    await world.change_destination()
    await world.recalls.round()
    assert world.there() == ["P_1"] * IMAGES, "it is not due yet"
    await world.try_now()
    assert world.there() == []
    assert (await world.recall()).state == RecallState.DONE


async def test_a_destination_that_is_away_keeps_no_other_waiting(world: World) -> None:
    await world.add_one_that_is_away()
    await world.api("PATCH", "/projects/RIGHT", 200, {"destination_id": 2})
    body = {"study_id": 1, "project": "RIGHT", "participant": "P_2"}
    second = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=second))
    await world.api("POST", f"/transfers/{second}/correct", 201, {"participant": "P_3"})
    await world.correct(participant="P_4")
    await world.try_now()
    states = {one.destination_id: one.state for one in await rows(world.runtime, Recall)}
    assert states == {1: RecallState.DONE, 2: RecallState.ASKED}
    assert world.there() == []


async def test_images_are_deleted_where_they_went_whatever_the_project_has_now(
    world: World,
) -> None:
    await world.add_one_that_is_away()
    await world.api("PATCH", "/projects/WRONG", 200, {"destination_id": 2})
    _, recall = await world.correct(participant="P_2")
    assert (recall["destination"], recall["state"]) == ("pacs", RecallState.ASKED)
    await world.try_now()
    assert world.there() == []


async def test_each_place_that_images_went_to_is_asked_to_delete_them(world: World) -> None:
    await world.add_one_that_is_away()
    await world.api("PATCH", "/projects/WRONG", 200, {"destination_id": 2})
    await world.line.run(late(world))
    path = f"/transfers/{world.transfer}/correct"
    made = await world.api("POST", path, 201, {"participant": "P_2"})
    assert [one["destination"] for one in made["recalls"]] == ["pacs", "other"]
    await world.try_now()
    assert [one.state for one in await rows(world.runtime, Recall)] == ["done", "asked"]
    right = made["transfer"]["id"]
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.REQUESTED
    await world.api("POST", f"/recalls/{made['recalls'][1]['id']}/done", 200)
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE


async def test_dicomweb_deletes_and_is_asked_whether_it_has(world: World, web: Web) -> None:
    web.holds = {world.uid, "1.2.3"}
    web.later = True
    await world.change_destination(deletion="dicomweb", deletion_url=web.url)
    await world.correct(participant="P_2")
    await world.try_now()
    recall = await world.recall()
    assert (recall.state, recall.detail) == (RecallState.ASKED, "the study is still there")
    web.later = False
    await world.try_now()
    assert web.holds == {"1.2.3"}
    assert (await world.recall()).state == RecallState.DONE


@pytest.mark.parametrize("deletion", ["orthanc", "dicomweb"])
async def test_a_wrong_address_is_not_taken_for_a_deletion(
    world: World, web: Web, deletion: str
) -> None:
    web.holds = {world.uid}
    wrong = web.url.replace("dicom-web", "elsewhere")
    await world.change_destination(deletion=deletion, deletion_url=wrong)
    await world.correct(participant="P_2")
    await world.try_now()
    recall = await world.recall()
    assert recall.state == RecallState.ASKED and "answered with" in recall.detail


async def test_where_sluse_can_not_delete_a_person_does_and_says_so(world: World) -> None:
    await world.change_destination(deletion="none")
    right, recall = await world.correct(participant="P_2")
    assert recall["state"] == RecallState.BY_HAND
    await world.try_now()
    assert (await world.recall()).state == RecallState.BY_HAND
    overview = (await world.api.client.get("/")).text
    assert "<b>1 study</b> taken back must be deleted at the research PACS by a person" in overview
    async with world.runtime.ledger.transaction() as connection:
        soon = update(core(Recall)).values(again_at=now() + timedelta(seconds=90))
        await connection.execute(soon)
    problem = await world.api("POST", f"/recalls/{recall['id']}/done", 409)
    assert "still be on their way" in problem["title"]
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Recall)).values(again_at=now()))
    page = await world.api("GET", "/recalls?state=by-hand", 200)
    assert page["items"] == [await world.api("GET", f"/recalls/{recall['id']}", 200)]
    assert (await world.api("GET", "/recalls?state=done", 200))["items"] == []
    done = await world.api("POST", f"/recalls/{recall['id']}/done", 200)
    assert done["state"] == RecallState.DONE
    await world.api("POST", f"/recalls/{recall['id']}/done", 409)
    await world.api("POST", "/recalls/99/done", 404)
    await world.api("GET", "/recalls/99/instances", 404)
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE


async def test_a_destination_that_takes_no_deletions_any_more_leaves_them_to_a_person(
    world: World,
) -> None:
    await world.correct(participant="P_2")
    await world.change_destination(deletion="none")
    await world.try_now()
    assert (await world.recall()).state == RecallState.BY_HAND
    assert world.there() == ["P_1"] * IMAGES


async def test_where_images_take_the_place_of_others_nothing_waits(world: World) -> None:
    await world.change_destination(deletion="overwrites")
    right, recall = await world.correct(participant="P_2")
    assert recall["state"] == RecallState.DONE and recall["done_at"]
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    # Nothing takes their place where the study goes to another project.
    world.transfer = right
    _, recall = await world.correct(project="RIGHT", participant="P_3")
    assert recall["state"] == RecallState.BY_HAND


async def test_nothing_takes_the_place_of_images_at_another_destination(world: World) -> None:
    await world.change_destination(deletion="overwrites")
    await world.add_one_that_is_away()
    await world.api("PATCH", "/projects/WRONG", 200, {"destination_id": 2})
    _, recall = await world.correct(participant="P_2")
    assert (recall["destination"], recall["state"]) == ("pacs", RecallState.BY_HAND)


async def test_what_was_to_take_the_place_and_never_came_leaves_it_to_a_person(
    world: World,
) -> None:
    await world.change_destination(deletion="overwrites")
    right, recall = await world.correct(participant="P_2")
    assert recall["state"] == RecallState.DONE
    await world.api("POST", f"/transfers/{right}/recall", 200)
    (left,) = await rows(world.runtime, Recall)
    assert (left.state, left.done_at) == (RecallState.BY_HAND, None)
    assert "did not come" in left.detail


async def test_what_waits_for_its_hour_was_not_sent(world: World) -> None:
    hour = now().astimezone().hour
    closed = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
    await world.change_destination(deletion="none", hours=closed)
    keys = arrive(world.runtime, Maker(8, size=16).ct(1).instances)
    await world.line.run(InstanceReceived(keys=tuple(keys)))
    body = {"study_id": 2, "project": "WRONG", "participant": "P_5"}
    world.transfer = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=world.transfer))
    _, recall = await world.correct(participant="P_6")
    assert recall is None


async def test_a_study_that_two_projects_share_is_left_to_a_person(world: World) -> None:
    """Where profiles keep UIDs, deleting one project's study would take the other's images."""
    body = {"study_id": 1, "project": "RIGHT", "participant": "P_2"}
    second = (await world.api("POST", "/transfers", 201, body))["id"]
    await world.line.run(TransferRequested(transfer_id=second))
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(update(core(Release)).values(released_study_uid=world.uid))
    await world.correct(participant="P_3")
    await world.try_now()
    recall = await world.recall()
    assert recall.state == RecallState.BY_HAND and "another project" in recall.detail
    assert world.there() == ["P_1"] * IMAGES


async def test_what_was_never_released_needs_no_deletion(world: World) -> None:
    keys = arrive(world.runtime, Maker(8, size=16).ct(1).instances)
    await world.line.run(InstanceReceived(keys=tuple(keys)))
    body = {"study_id": 2, "project": "WRONG", "participant": "P_5"}
    world.transfer = (await world.api("POST", "/transfers", 201, body))["id"]
    right, recall = await world.correct(participant="P_6")
    assert recall is None and await rows(world.runtime, Recall) == []
    await world.line.run(TransferRequested(transfer_id=right))
    assert await transfer_state(world.runtime, right) == TransferState.COMPLETE
    assert await transfer_state(world.runtime, world.transfer) == TransferState.RECALLED
    assert len(await rows(world.runtime, Transfer)) == 3
