"""Files are removed in their time, and not before; whatever stops who removes them."""

from collections.abc import Iterable

import pytest
from sqlalchemy import update

from demo.phantoms import Maker
from services.classifier import retention
from shared.clock import now
from shared.errors import Reason, Retry
from shared.events import InstanceAssigned, InstanceReceived
from shared.ledger.committing import promise
from shared.ledger.evicting import note_originals
from shared.ledger.leading import leads
from shared.ledger.tables import AuditEvent, Delivery, Instance, Recall, Study, Transfer, core
from shared.spool import Spool
from tests.helpers import arrive, part10, rows
from tests.integration.test_life_fixtures import IMAGES, second
from tests.integration.test_retention_fixtures import Shelf, shelf
from tests.line import requested

__all__ = ["shelf"]

HERE, LEAVING, EVICTED = "here", "leaving", "evicted"


async def test_originals_and_copies_go_when_their_time_is_over(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)  # in several steps
    await shelf.keep(originals=30, copies=7)
    transfer = await shelf.deliver()
    await shelf.sweep()
    assert (len(shelf.files("received")), len(shelf.files("released"))) == (IMAGES, IMAGES)
    await shelf.age(8)
    await shelf.sweep()
    assert (len(shelf.files("received")), len(shelf.files("released"))) == (IMAGES, 0)
    (row,) = await rows(shelf.runtime, Transfer, id=transfer)
    assert row.copies_evicted_at is not None
    await shelf.age(23)
    await shelf.sweep()
    root = shelf.runtime.settings.spool_path
    # Neither empty folders nor what stands beside the images are left.
    assert list((root / "received").iterdir()) == list((root / "released").iterdir()) == []
    assert set(await shelf.keeping()) == {EVICTED}
    (study,) = await rows(shelf.runtime, Study)
    assert (study.evicted, study.instances) == (IMAGES, IMAGES)
    assert study.evicted_at is not None
    removed = [
        one for one in await rows(shelf.runtime, AuditEvent) if one.action == "files.removed"
    ]
    assert [(one.actor, one.subject["kind"], one.subject["files"]) for one in removed] == [
        ("sluse", "copies", IMAGES), ("sluse", "originals", IMAGES)
    ]  # fmt: skip
    assert (await shelf.read(transfer))["counts"]["delivered"] == IMAGES


async def test_nothing_goes_where_everything_is_kept(shelf: Shelf) -> None:
    await shelf.keep(originals=None, copies=None)
    await shelf.deliver()
    await shelf.age(36500)
    await shelf.sweep()
    assert (len(shelf.files("received")), len(shelf.files("released"))) == (IMAGES, IMAGES)


async def test_of_several_projects_the_longest_counts(shelf: Shelf) -> None:
    await shelf.keep("AAA", originals=1, copies=1)
    await shelf.keep("BBB", originals=10, copies=None)
    await shelf.deliver("AAA")
    await shelf.deliver("BBB")
    await shelf.age(5)
    await shelf.sweep()
    assert len(shelf.files("received")) == IMAGES
    # The copies are each project's own.
    assert {one.split("/")[0] for one in shelf.files("released")} == {"2"}
    await shelf.keep("BBB", originals=None, copies=None)
    await shelf.age(100)
    await shelf.sweep()
    assert len(shelf.files("received")) == IMAGES
    await shelf.keep("BBB", originals=10, copies=None)
    await shelf.sweep()
    assert shelf.files("received") == []


async def test_a_study_that_nobody_has_goes_by_the_systems_time(shelf: Shelf) -> None:
    await shelf.settle()
    await shelf.age(20)
    await shelf.sweep()
    await shelf.sweep(keep_unassigned_days=21)
    assert len(shelf.files("received")) == IMAGES
    await shelf._set(Study, settled_at=None)  # more may come
    await shelf.sweep(keep_unassigned_days=19)
    assert len(shelf.files("received")) == IMAGES
    await shelf.settle()
    await shelf.sweep(keep_unassigned_days=19)
    assert shelf.files("received") == []


@pytest.mark.parametrize("until", ["requested", "assigned", "running-copy", "held", "failed"])
async def test_what_is_not_delivered_stays(shelf: Shelf, until: str) -> None:
    for code in ("AAA", "BBB"):
        await shelf.keep(code, originals=1, copies=1)
    await shelf.deliver("AAA")
    other = await shelf.assign("BBB")
    if until != "requested":
        await shelf.line.run(*requested([other]), until=InstanceAssigned)
    if until in ("running-copy", "held", "failed"):
        state = {"running-copy": "anonymized"}.get(until, until)
        async with shelf.runtime.ledger.transaction() as connection:
            await connection.execute(
                update(core(Delivery)).where(core(Delivery).c.transfer_id == other)
                .values(state=state)
            )  # fmt: skip
    await shelf.settle()
    await shelf.age(100)
    await shelf.sweep(keep_unassigned_days=1)
    assert len(shelf.files("received")) == IMAGES
    assert set(await shelf.keeping()) == {HERE}
    # Even if the counters said something else, the deliveries count.
    if until != "requested":
        async with shelf.runtime.ledger.transaction() as connection:
            await connection.execute(
                update(core(Transfer))
                .where(core(Transfer).c.id == other)
                .values(state="complete", in_flight=0, held=0, failed=0)
            )
            assert await note_originals(connection, 1, shelf.rules, now(), 10) == 0


@pytest.mark.parametrize("state", ["verifying", "attention"])
async def test_what_is_not_verified_stays(shelf: Shelf, state: str) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf._set(Transfer, state=state, reason=Reason.MISSING_THERE)
    await shelf.age(100)
    await shelf.sweep()
    assert (len(shelf.files("received")), len(shelf.files("released"))) == (IMAGES, IMAGES)
    if state == "attention":
        await shelf.api("POST", "/transfers/1/accept", 200)
        await shelf.sweep()
        assert len(shelf.files("received")) == IMAGES  # the time begins with that
        await shelf.age(2)
        await shelf.sweep()
        assert shelf.files("received") == shelf.files("released") == []


async def test_what_is_still_to_be_deleted_somewhere_stays(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    transfer = await shelf.deliver()
    await shelf.api("POST", f"/transfers/{transfer}/recall", 200)
    await shelf.age(100)
    await shelf.sweep(keep_unassigned_days=1)
    assert (len(shelf.files("received")), len(shelf.files("released"))) == (IMAGES, IMAGES)
    (recall,) = await rows(shelf.runtime, Recall)
    await shelf.api("POST", f"/recalls/{recall.id}/done", 200)
    await shelf.sweep(keep_unassigned_days=1)
    assert shelf.files("received") == shelf.files("released") == []


async def test_what_a_sender_was_promised_stays_that_long(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    uids = [one.sop_instance_uid for one in await rows(shelf.runtime, Instance)]
    async with shelf.runtime.ledger.transaction() as connection:
        assert set(await promise(connection, uids)) == set(uids)
    await shelf.age(50)
    await shelf.sweep(commitment_keep_days=60)
    assert len(shelf.files("received")) == IMAGES
    await shelf.age(11)
    await shelf.sweep(commitment_keep_days=60)
    assert shelf.files("received") == []
    async with shelf.runtime.ledger.transaction() as connection:
        assert await promise(connection, uids) == {}  # what is gone is promised to nobody


async def test_a_legal_hold_keeps_everything(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await second(shelf)
    await shelf.deliver(study=2)
    said = await shelf.api("PUT", "/studies/1/hold", 200, {"reason": "Complaint 2020/77"})
    assert (said["reason"], said["by"]) == ("Complaint 2020/77", "rest")
    assert await shelf.api("GET", "/studies/1/hold", 200) == said
    assert (await shelf.api("GET", "/studies/1", 200))["hold"] == said
    await shelf.api.refused("/studies/1/hold", {"reason": ""}, "reason", method="PUT")
    await shelf.age(100)
    await shelf.sweep()
    assert set(await shelf.keeping(1)) == {HERE}
    assert set(await shelf.keeping(2)) == {EVICTED}
    assert {one.split("/")[0] for one in shelf.files("released")} == {"1"}
    await shelf.api("DELETE", "/studies/1/hold", 204)
    await shelf.api("DELETE", "/studies/1/hold", 409)
    await shelf.api("GET", "/studies/1/hold", 404)
    await shelf.api("PUT", "/studies/77/hold", 404, {"reason": "no such study"})
    audited = dict(await shelf.audited())
    assert audited["study.hold-set"] == {"study": 1, "before": False}
    assert (audited["study.hold-lifted"]["study"], audited["study.hold-lifted"]["set_by"]) == (
        1, "rest"
    )  # fmt: skip
    assert "Complaint" not in str(audited)
    await shelf.sweep()
    assert shelf.files("received") == shelf.files("released") == []


class Dying(Spool):
    """A spool whose user is killed at the `at`th removal: before it, or right after it."""

    def __init__(self, spool: Spool, *, after: bool) -> None:
        super().__init__(spool.path("inbox/" + "0" * 32 + "/00000001.dcm").parents[2])
        self._after = after

    def evict(self, keys: Iterable[str]) -> tuple[int, int]:
        if self._after:
            super().evict(keys)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
async def test_who_is_killed_between_the_steps_goes_on_later(shelf: Shelf, after: bool) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    with pytest.raises(KeyboardInterrupt):
        await shelf.sweeper(Dying(shelf.runtime.spool, after=after)).sweep()
    assert set(await shelf.keeping()) == {LEAVING}
    assert len(shelf.files("received")) == (0 if after else IMAGES)
    (study,) = await rows(shelf.runtime, Study)
    assert study.evicted == IMAGES  # nobody is to begin with these
    await shelf.sweep()
    assert set(await shelf.keeping()) == {EVICTED}
    assert shelf.files("received") == shelf.files("released") == []
    assert (await rows(shelf.runtime, Study))[0].evicted == IMAGES


@pytest.mark.parametrize("after", [False, True])
async def test_a_hold_between_the_steps_saves_what_is_there(shelf: Shelf, after: bool) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    with pytest.raises(KeyboardInterrupt):
        await shelf.sweeper(Dying(shelf.runtime.spool, after=after)).sweep()
    await shelf.api("PUT", "/studies/1/hold", 200, {"reason": "just in time"})
    await shelf.sweep()
    assert set(await shelf.keeping()) == {EVICTED if after else HERE}
    (study,) = await rows(shelf.runtime, Study)
    assert study.evicted == (IMAGES if after else 0)
    assert [one["evicted"] for one in await shelf.series()] == [study.evicted]
    assert len(shelf.files("received")) == (0 if after else IMAGES)


async def test_copies_that_are_leaving_are_saved_by_a_new_start(shelf: Shelf) -> None:
    await shelf.keep(originals=None, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    with pytest.raises(KeyboardInterrupt):
        await shelf.sweeper(Dying(shelf.runtime.spool, after=False)).sweep()
    assert {one.copy_keeping for one in await rows(shelf.runtime, Delivery)} == {LEAVING}
    await shelf.api("POST", "/projects/AAA/process-again", 202)
    await shelf.sweep()
    assert {one.copy_keeping for one in await rows(shelf.runtime, Delivery)} == {HERE}
    assert len(shelf.files("released")) == IMAGES


async def test_copies_are_made_again_where_they_are_needed(shelf: Shelf) -> None:
    await shelf.keep(originals=None, copies=1)
    transfer = await shelf.deliver()
    before = {one: one for one in shelf.files("released")}
    await shelf.age(100)
    await shelf.sweep()
    await shelf.sweep()
    assert shelf.files("released") == []
    await shelf.runtime.bus.purge()
    await shelf.api("POST", "/projects/AAA/process-again", 202)
    (row,) = await rows(shelf.runtime, Transfer, id=transfer)
    assert row.copies_evicted_at is None
    places = [
        InstanceAssigned(
            transfer_id=one.transfer_id, series_id=one.series_id, delivery_ids=(one.id,)
        )
        for one in await rows(shelf.runtime, Delivery)
    ]
    await shelf.line.run(*places)
    assert (await shelf.read(transfer))["state"] == "complete"
    assert set(shelf.files("released")) == set(before)
    assert {one.copy_keeping for one in await rows(shelf.runtime, Delivery)} == {HERE}
    await shelf.age(100)
    await shelf.sweep()
    assert shelf.files("released") == []


async def test_a_broken_disk_is_looked_at_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "evict", _broken)
        with pytest.raises(Retry):
            await shelf.sweep()
    assert set(await shelf.keeping()) == {LEAVING}
    await shelf.sweep()
    assert set(await shelf.keeping()) == {EVICTED}


def _broken(*_: object) -> tuple[int, int]:
    raise Retry(Reason.DISK_TROUBLE, "EIO")


async def test_all_revisions_of_an_original_go(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    changed = list(Maker(7, size=16).ct(IMAGES).instances)
    for image in changed:
        image.StudyDescription = "another"
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, changed))))
    assert len(shelf.files("received")) == len(shelf.files("released")) == 2 * IMAGES
    await shelf.settle()
    await shelf.age(100)
    await shelf.sweep()
    assert shelf.files("received") == shelf.files("released") == []


async def test_the_same_image_brings_itself_back(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    transfer = await shelf.deliver()
    await shelf.age(100)
    await shelf.sweep()
    images = [part10(one) for one in Maker(7, size=16).ct(IMAGES).instances]
    before = await rows(shelf.runtime, Delivery)
    events = await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images[:1]))))
    assert events == []
    assert sorted(await shelf.keeping()) == [EVICTED] * (IMAGES - 1) + [HERE]
    assert (await rows(shelf.runtime, Study))[0].evicted == IMAGES - 1
    # One of three is not enough to correct what was delivered.
    body = {"participant": "AAA_77"}
    problem = await shelf.api("POST", f"/transfers/{transfer}/correct", 422, body)
    assert "removed in their time" in problem["errors"][0]["message"]
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images))))
    assert set(await shelf.keeping()) == {HERE}
    assert len(shelf.files("received")) == IMAGES
    (study,) = await rows(shelf.runtime, Study)
    assert (study.evicted, study.instances) == (0, IMAGES)
    assert [one["evicted"] for one in await shelf.series()] == [0]
    # It is nothing new to the project, and is kept as long once more.
    assert await rows(shelf.runtime, Delivery) == before
    await shelf.settle()
    await shelf.sweep()
    assert len(shelf.files("received")) == IMAGES
    made = await shelf.correct(transfer, **body)
    assert made["participant"] == "AAA_77"


async def test_an_image_comes_back_while_it_is_leaving(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    with pytest.raises(KeyboardInterrupt):
        await shelf.sweeper(Dying(shelf.runtime.spool, after=False)).sweep()
    images = [part10(one) for one in Maker(7, size=16).ct(IMAGES).instances]
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, images))))
    await shelf.settle()
    await shelf.sweep()
    assert set(await shelf.keeping()) == {HERE}
    assert len(shelf.files("received")) == IMAGES
    assert (await rows(shelf.runtime, Study))[0].evicted == 0


async def test_a_changed_image_comes_back_and_is_delivered(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    transfer = await shelf.deliver()
    await shelf.age(100)
    await shelf.sweep()
    changed = list(Maker(7, size=16).ct(IMAGES).instances)[:1]
    changed[0].StudyDescription = "another"
    await shelf.line.run(InstanceReceived(keys=tuple(arrive(shelf.runtime, changed))))
    assert (await rows(shelf.runtime, Study))[0].evicted == IMAGES - 1
    assert (await shelf.read(transfer))["state"] == "complete"
    delivered = [one.revision for one in await rows(shelf.runtime, Delivery)]
    assert sorted(delivered) == [1] * (IMAGES - 1) + [2]


async def test_one_process_at_a_time_takes_a_step(shelf: Shelf) -> None:
    await shelf.keep(originals=1, copies=1)
    await shelf.deliver()
    await shelf.age(100)
    if not shelf.runtime.ledger.is_postgres:
        pytest.skip("SQLite has one writer at a time")
    async with shelf.runtime.ledger.reading() as connection:
        assert await leads(connection, "retention")
        await shelf.sweep()
        assert set(await shelf.keeping()) == {HERE}
    await shelf.sweep()
    assert set(await shelf.keeping()) == {EVICTED}
