"""The API's transfers."""

from sqlalchemy import String, case, cast, update

from services.api.transfers.schemas import MOST_TROUBLES
from shared.bus import CLASSIFIER_TRANSFERS
from shared.errors import Reason
from shared.ledger.states import DeliveryState
from shared.ledger.tables import Delivery, core
from shared.runtime import Runtime
from tests.helpers import end_deliveries, rows
from tests.integration.test_api_fixtures import (
    PROJECT,
    TRANSFER,
    Api,
    assign,
    running_transfer,
    study,
)  # fmt: skip

pytest_plugins = ["tests.integration.test_api_fixtures"]


async def test_a_transfer_is_requested_and_followed(any_runtime: Runtime, api: Api) -> None:
    uid = await study(any_runtime)
    await api("POST", "/projects", 201, PROJECT)
    (listed,) = (await api("GET", "/studies?unassigned=true", 200))["items"]
    assert (listed["instances"], listed["series"], listed["projects"]) == (2, 1, [])
    body = TRANSFER | {"study_instance_uid": uid}
    made = await api("POST", "/transfers", 201, body)
    assert (made["state"], made["requested_by"]) == ("requested", "rest")
    assert await any_runtime.bus.depth(CLASSIFIER_TRANSFERS) == 1
    await assign(any_runtime, made["id"])
    found = await api("GET", f"/transfers/{made['id']}", 200)
    assert found["counts"] == {
        "delivered": 0,
        "held": 0,
        "failed": 0,
        "in_flight": 2,
        "received": 2,
    }
    assert (await api("GET", "/transfers?project=BICAM&state=running", 200))["items"] == [found]
    assert (await api("GET", "/transfers?state=complete", 200))["items"] == []
    deliveries = await api("GET", f"/transfers/{made['id']}/deliveries?limit=1", 200)
    assert len(deliveries["items"]) == 1 and deliveries["next"]
    path = f"/transfers/{made['id']}/deliveries?limit=1&after={deliveries['next']}"
    assert (await api("GET", path, 200))["next"] is None
    assert (await api("GET", "/studies?unassigned=true", 200))["items"] == []
    assert (await api("GET", "/studies/1", 200))["projects"] == ["BICAM"]
    problem = await api("POST", "/transfers", 409, body | {"participant": "BICAM_002"})
    (error,) = problem["errors"]
    assert error["field"] == "project" and f"transfer {made['id']}" in error["message"]


async def test_a_transfer_that_breaks_a_rule_names_the_field(
    any_runtime: Runtime, api: Api
) -> None:
    await study(any_runtime)
    await api("POST", "/projects", 201, PROJECT)
    good = {"study_id": 1, "project": "BICAM", "participant": "BICAM_001", "event": "v1"}
    await api.refused("/transfers", good | {"study_id": 99}, "study_id")
    await api.refused("/transfers", good | {"project": "NOSUCH"}, "project")
    await api.refused("/transfers", good | {"participant": "X"}, "participant")
    await api.refused("/transfers", good | {"event": "v9", "site": "Oslo"}, "event", "site")
    await api.refused("/transfers", {k: v for k, v in good.items() if k != "project"}, "project")
    for both in ({"study_instance_uid": "1.2"}, {"study_id": None}):
        await api.refused("/transfers", good | both, "study_id")
    problem = await api("POST", "/transfers", 422, good | {"event": "v9"})
    assert problem["errors"][0]["message"] == "Choose one of: v1, v2."
    await api("PATCH", "/projects/BICAM", 200, {"participant_pattern": None})
    (found,) = (await api("GET", "/studies", 200))["items"]
    await api.refused("/transfers", good | {"participant": found["patient_id"]}, "participant")
    await api("PATCH", "/projects/BICAM", 200, {"state": "closed"})
    await api.refused("/transfers", good, "project")
    assert await rows(any_runtime, Delivery) == []


async def test_failed_images_can_be_retried(any_runtime: Runtime, api: Api) -> None:
    await running_transfer(any_runtime, api)
    async with any_runtime.ledger.transaction() as connection:
        await end_deliveries(connection, DeliveryState.FAILED, Reason.DESTINATION_REFUSED, "A900")
    before = await api("GET", "/transfers/1", 200)
    assert before["troubles"] == [
        {"state": "failed", "reason": Reason.DESTINATION_REFUSED.in_words, "detail": "A900",
         "instances": 2}
    ]  # fmt: skip
    after = await api("POST", "/transfers/1/retry", 200)
    assert (after["state"], after["troubles"], after["counts"]["in_flight"]) == ("running", [], 2)
    assert {d.state for d in await rows(any_runtime, Delivery)} == {DeliveryState.ASSIGNED}
    await api("POST", "/transfers/99/retry", 404)


async def test_only_the_most_frequent_troubles_are_listed(any_runtime: Runtime, api: Api) -> None:
    await running_transfer(any_runtime, api, slices=MOST_TROUBLES + 3)
    delivery = core(Delivery)
    detail = case((delivery.c.id <= 2, "z"), else_=cast(delivery.c.id, String))
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            update(delivery).values(
                state="failed", reason=Reason.DESTINATION_REFUSED, detail=detail
            )
        )
    troubles = (await api("GET", "/transfers/1", 200))["troubles"]
    assert len(troubles) == MOST_TROUBLES
    assert (troubles[0]["detail"], troubles[0]["instances"]) == ("z", 2)
    assert {trouble["instances"] for trouble in troubles[1:]} == {1}
