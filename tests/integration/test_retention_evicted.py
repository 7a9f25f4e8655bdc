"""What was removed says so: over REST, DICOMweb and on pages; and is refused in words."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from demo.phantoms import Maker
from services.api.rendering.placeholders import placeholder
from services.api.rendering.wishes import Failure
from shared.admission import Objection
from shared.clock import now
from shared.errors import Reason
from shared.events import InstanceReceived
from shared.ledger.states import DeliveryState, TransferState
from shared.ledger.tables import Association, Delivery, Instance, Series, Study, Transfer, core
from shared.ledger.verifying import due, send_missing
from tests.helpers import arrive, make_project, request_transfer, rows
from tests.integration.test_life_fixtures import IMAGES
from tests.integration.test_retention_fixtures import Shelf, shelf

__all__ = ["shelf"]

WORDS = "removed in their time"


async def _evicted(shelf: Shelf) -> int:
    """A delivered study whose originals are gone; its transfer."""
    await shelf.keep(originals=1, copies=1)
    transfer = await shelf.deliver()
    await shelf.age(100)
    await shelf.sweep()
    assert shelf.files("received") == []
    return transfer


async def test_it_is_not_assigned_corrected_or_processed_again(shelf: Shelf) -> None:
    transfer = await _evicted(shelf)
    wanted = {"study_id": 1, "project": "BBB", "event": "v1"}
    problem = await shelf.api("POST", "/transfers", 422, wanted)
    assert problem["errors"][0]["message"] == Objection.ORIGINALS_EVICTED.in_words
    again = {"study_id": 1, "project": "AAA", "event": "v1"}
    await shelf.api("POST", "/transfers", 409, again)  # there already, as ever
    correction = {"event": "v2"}
    problem = await shelf.api("POST", f"/transfers/{transfer}/correct", 422, correction)
    assert WORDS in problem["errors"][0]["message"]
    assert (await shelf.read(transfer))["state"] == "complete"
    estimate = await shelf.api("GET", "/projects/AAA/process-again/estimate", 200)
    assert (estimate["studies"], estimate["evicted"], estimate["images"]) == (0, 1, 0)
    problem = await shelf.api("POST", "/projects/AAA/process-again", 409)
    assert WORDS in problem["title"]
    problem = await shelf.api("POST", "/projects/AAA/comparison/resend", 409, {"study_ids": [1]})
    assert problem["errors"][0]["field"] == "study_ids.0"
    problem = await shelf.api("POST", "/projects/AAA/previews", 410, {"study_id": 1})
    assert WORDS in problem["title"]
    assert {one.state for one in await rows(shelf.runtime, Delivery)} == {DeliveryState.FORWARDED}


async def test_the_others_are_processed_again(shelf: Shelf) -> None:
    await _evicted(shelf)
    await shelf.study(seed=11)
    await shelf.deliver(study=2)
    answer = await shelf.api("POST", "/projects/AAA/process-again", 202)
    assert (answer["studies"], answer["evicted"], answer["images"]) == (1, 1, IMAGES)
    assert (await shelf.read(1))["state"] == "complete"
    assert (await shelf.read(2))["state"] == "running"


async def test_what_the_pacs_lost_needs_a_person(shelf: Shelf) -> None:
    transfer = await _evicted(shelf)
    async with shelf.runtime.ledger.transaction() as connection:
        await connection.execute(
            update(core(Transfer)).values(state=TransferState.VERIFYING, verify_at=now())
        )
    async with shelf.runtime.ledger.transaction() as connection:
        (one,) = await due(connection, 10, quiet=-10)
        lost = [row.id for row in await rows(shelf.runtime, Delivery)][:2]
        assert await send_missing(connection, one, lost, patience=1) == []
    found = await shelf.read(transfer)
    assert (found["state"], found["missing"]) == ("attention", 2)
    problem = await shelf.api("POST", f"/transfers/{transfer}/retry", 409)
    assert problem["title"] == Reason.ORIGINAL_EVICTED.in_words
    # When they are here again, it can be tried again.
    images = Maker(7, size=16).ct(IMAGES).instances
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images))))
    await shelf.api("POST", f"/transfers/{transfer}/retry", 200)
    assert (await shelf.read(transfer))["state"] == "verifying"


async def test_studies_series_and_pictures_say_so(shelf: Shelf) -> None:
    await _evicted(shelf)
    study = await shelf.api("GET", "/studies/1", 200)
    assert (study["evicted"], study["instances"], study["hold"]) == (IMAGES, IMAGES, None)
    assert study["evicted_at"] is not None
    (series,) = await shelf.series()
    assert series["evicted"] == IMAGES
    picture = await shelf.api.client.get(f"/api/v1/series/{series['id']}/preview?size=160")
    assert picture.status_code == 200
    assert picture.content == placeholder(Failure.EVICTED, series["modality"], (160, 160))
    page = (await shelf.api.client.get("/studies/1", headers={"accept": "text/html"})).text
    assert "All original images of this study were removed in their time." in page


async def test_dicomweb_says_gone(shelf: Shelf) -> None:
    await _evicted(shelf)
    web = shelf.api.client
    study = (await shelf.api("GET", "/studies/1", 200))["study_instance_uid"]
    series = (await shelf.series())[0]["series_instance_uid"]
    image = (await rows(shelf.runtime, Instance))[0].sop_instance_uid
    root = f"/dicom-web/studies/{study}"
    one = f"{root}/series/{series}/instances/{image}"
    for path in (root, f"{root}/metadata", f"{root}/series/{series}", one, f"{one}/metadata",
                 f"{one}/frames/1", f"{one}/rendered", f"{one}/thumbnail", f"{root}/thumbnail",
                 f"{root}/series/{series}/thumbnail"):  # fmt: skip
        answer = await web.get(path)
        assert answer.status_code == 410, (path, answer.text)
        assert WORDS in answer.json()["title"]
    assert (await web.get(f"{root}9/metadata")).status_code == 404
    for path in ("/dicom-web/studies", f"{root}/series", f"{root}/series/{series}/instances"):
        found = (await web.get(path)).json()
        assert found[0]["00080056"]["Value"] == ["UNAVAILABLE"], path
    # With one image back, that one is given, and it is said that others are not.
    images = Maker(7, size=16).ct(IMAGES).instances
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images[:1]))))
    back = await web.get(f"{root}/metadata")
    assert (back.status_code, len(back.json())) == (206, 1)
    assert f"{IMAGES - 1} instances were removed" in back.headers["warning"]
    assert (await web.get(root)).status_code == 206
    found = (await web.get(f"{root}/series/{series}/instances")).json()
    assert sorted(one["00080056"]["Value"][0] for one in found) == [
        "ONLINE", *["UNAVAILABLE"] * (IMAGES - 1)
    ]  # fmt: skip
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images))))
    assert (await web.get(root)).status_code == 200


class Random:
    """Studies in states that are drawn by lot, of which one knows what must become of them."""

    def __init__(self, shelf: Shelf, seed: int) -> None:
        self.shelf, self.lot = shelf, random.Random(seed)
        self.projects: dict[int, int | None] = {}
        self.kept: dict[int, bool] = {}

    async def set_up(self) -> None:
        moment = now()
        async with self.shelf.runtime.ledger.transaction() as connection:
            await connection.execute(
                insert(core(Association)).values(
                    id="a" * 32, calling_aet="", called_aet="", peer_address="", opened_at=moment,
                    completed=True,
                )
            )  # fmt: skip
        for code, days in (("P0AA", 5), ("P1AA", 50), ("P2AA", None)):
            made = await make_project(
                self.shelf.runtime, code, keep_originals_days=days, keep_copies_days=5
            )
            self.projects[made] = days

    async def study(self, number: int) -> None:
        """Enter a study; and note whether its originals must stay, by rules written anew."""
        lot, runtime, moment = self.lot, self.shelf.runtime, now()
        uid = f"1.2.{number}"
        ages = [lot.choice([1, 20, 200]) for _ in range(4)]
        settled, hold = lot.random() > 0.1, lot.random() < 0.1
        states = lot.choices(
            ["complete"] * 6 + ["running", "verifying", "attention", "requested", "cancelled"],
            k=lot.choice([0, 1, 1, 2]),
        )
        chosen = lot.sample(sorted(self.projects), k=len(states))
        mays, limits = settled and not hold, []
        async with runtime.ledger.transaction() as connection:
            study = await connection.scalar(
                insert(core(Study)).values(
                    study_instance_uid=uid, patient_id=f"p{number}", patient_name="",
                    patient_birth_date="", patient_sex="", accession_number="", study_date="",
                    study_description="", routing_note="", instances=2, series=1,
                    first_received_at=moment, last_received_at=moment - timedelta(days=ages[0]),
                    settled_at=moment if settled else None,
                    held_since=moment if hold else None,
                ).returning(core(Study).c.id)
            )  # fmt: skip
            series = await connection.scalar(
                insert(core(Series)).values(
                    study_id=study, series_instance_uid=f"{uid}.1", modality="CT",
                    series_number="", series_description="", facts={}, labels={}, instances=2,
                    first_received_at=moment,
                ).returning(core(Series).c.id)
            )  # fmt: skip
            images = []
            for one in (1, 2):
                key = runtime.spool.received_key(uid, f"{uid}.1", f"{uid}.1.{one}", 1)
                with runtime.spool.writing(key) as file:
                    file.write(b"original")
                images.append(await connection.scalar(
                    insert(core(Instance)).values(
                        series_id=series, sop_instance_uid=f"{uid}.1.{one}", sop_class_uid="1.2",
                        transfer_syntax_uid="1.2", spool_key=key, size=8, digest="d", revision=1,
                        association_id="a" * 32, received_at=moment,
                    ).returning(core(Instance).c.id)
                ))  # fmt: skip
            for project, state, age in zip(chosen, states, ages[1:], strict=False):
                transfer = await request_transfer(connection, study_id=study, project_id=project)
                stuck = state == "attention" or (state == "complete" and lot.random() < 0.05)
                last = {
                    "running": lot.choice(["assigned", "anonymized"]),
                    "attention": lot.choice(["held", "failed", "forwarded"]),
                    "cancelled": "withdrawn", "requested": None,
                }.get(state, "held" if stuck else "forwarded")  # fmt: skip
                for image, at in zip(images, ("forwarded", last), strict=True):
                    if at is None:
                        continue
                    await connection.execute(
                        insert(core(Delivery)).values(
                            transfer_id=transfer, instance_id=image, series_id=series, revision=1,
                            state=at, attempts=0, detail="", due_at=moment, nudges=0,
                            changed_at=moment,
                        )
                    )  # fmt: skip
                unfinished = int(last in ("assigned", "anonymized", "held", "failed"))
                await connection.execute(
                    update(core(Transfer)).where(core(Transfer).c.id == transfer).values(
                        state=state, changed_at=moment - timedelta(days=age),
                        # Even counters that are wrong must not cost an image.
                        held=0 if stuck and state == "complete" else unfinished,
                    )
                )  # fmt: skip
                mays = mays and state in ("complete", "cancelled") and not unfinished
                if state != "cancelled":
                    limits.append((self.projects[project], age))
        if not limits:
            mays = False  # nobody's: kept for ever here
        longest = max((days or 0 for days, _ in limits), default=0)
        mays = mays and all(days is not None and age > days for days, age in limits)
        self.kept[study] = not (mays and ages[0] > longest)


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_state_a_study_is_in_nothing_undelivered_goes(
    shelf: Shelf, seed: int
) -> None:
    runtime = shelf.runtime
    made = Random(shelf, seed)
    await made.set_up()
    for number in range(10, 130):
        await made.study(number)
    await shelf.sweep()
    files = shelf.files("received")
    by_study: dict[int, Any] = {one.id: one for one in await rows(runtime, Study)}
    for study, kept in made.kept.items():
        there = [one for one in files if one.startswith(by_study[study].study_instance_uid + "/")]
        assert len(there) == (2 if kept else 0), (study, kept)
        assert by_study[study].evicted == (0 if kept else 2)
    assert 10 < sum(made.kept.values()) < 115, "both kinds must be there"
