"""Who is not let in is seen, and let in with a click; passwords on the wire."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import insert, select

from demo.phantoms import Maker
from services.receiver import refusals as writer
from services.receiver.acse import LIMIT_EXCEEDED, UNKNOWN_CALLING_AET, Caller
from services.receiver.announcer import Announcer
from services.receiver.door import Door
from services.receiver.refusals import Refusals
from services.receiver.scp import StorageScp
from shared.clock import now
from shared.ledger.tables import Peer, Refusal, core
from shared.runtime import Runtime
from shared.settings import PeerPolicy
from tests.helpers import part10, rows
from tests.integration.test_api_fixtures import Api
from tests.servers import dcmtk

pytest_plugins = ["tests.integration.test_api_fixtures"]


class House:
    """A receiver that lets listed senders in."""

    def __init__(self, runtime: Runtime) -> None:
        self.door = Door("SLUSE", PeerPolicy.LISTED, runtime.ledger)
        self.refusals = Refusals(runtime.ledger)
        self.image = runtime.settings.spool_path.parent / "image.dcm"
        self.image.write_bytes(part10(Maker(1, size=16).ct(1).instances[0]))
        announcer = Announcer(runtime.bus, runtime.spool, flush_after=0.05)
        self.scp = StorageScp(
            runtime.settings, runtime.spool, announcer, runtime.pressure, self.door,
            self.refusals.add,
        )  # fmt: skip

    async def refresh(self) -> None:
        await self.refusals.write()
        await self.door.refresh()

    async def store(self, *options: str, called: str = "SLUSE") -> str:
        """What storescu complains about; empty when it is let in."""
        done = await asyncio.to_thread(
            dcmtk.run, "storescu", "-aet", "MR3", "-aec", called, *options, "127.0.0.1",
            self.scp.port, self.image, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stderr


@pytest.fixture
async def house(any_runtime: Runtime) -> AsyncIterator[House]:
    made = House(any_runtime)
    made.scp.start()
    yield made
    await asyncio.to_thread(made.scp.stop)


async def test_a_refused_sender_is_let_in_with_a_click(
    house: House, client: httpx.AsyncClient, api: Api
) -> None:
    assert "Nobody was refused" in (await client.get("/administration/senders")).text
    for _ in range(2):
        assert "Calling AE Title Not Recognized" in await house.store()
    assert "Called AE Title Not Recognized" in await house.store(called="NOBODY")
    await house.refresh()
    found, unknown = (await api("GET", "/refusals", 200))["items"]
    assert (found["calling_aet"], found["peer_address"], found["times"]) == ("MR3", "127.0.0.1", 2)
    assert found["can_be_allowed"] and not unknown["can_be_allowed"]
    page = (await client.get("/administration/senders")).text
    assert page.count("Allow MR3") == 1 and "neither Sluse&#39;s nor" in page

    foreign = {"Sec-Fetch-Site": "cross-site"}
    path = f"/administration/senders/{found['id']}/allow"
    assert (await client.post(path, headers=foreign)).status_code == 403
    done = await client.post(path, follow_redirects=True)
    assert "<b>MR3</b> may send from now on, from 127.0.0.1" in done.text
    await house.refresh()
    assert await house.store() == ""
    problem = await api("POST", f"/refusals/{unknown['id']}/allow", 409)
    assert problem["title"].startswith("Allowing the sender mends nothing.")
    assert (await client.delete(f"/api/v1/refusals/{unknown['id']}")).status_code == 204
    assert (await api("GET", "/refusals", 200))["items"] == []
    await api("POST", "/refusals/99/allow", 404)
    await api("DELETE", "/refusals/99", 404)


async def test_a_password_is_asked_for_on_the_wire(house: House, api: Api) -> None:
    body = {"name": "MR", "calling_aet": "MR3", "username": "mr3", "password": "correct horse"}
    made = await api("POST", "/peers", 201, body)
    assert "password" not in str(made)
    await house.refresh()
    assert await house.store("--user", "mr3", "--password", "correct horse", "--pos-response") == ""
    assert await house.store("--user", "mr3", "--password", "wrong one")
    assert await house.store()
    # Without a new one the password stays.
    changed = body | {"name": "MR scanner"}
    del changed["password"]
    await api("PUT", f"/peers/{made['id']}", 200, changed)
    await house.refresh()
    assert await house.store("--user", "mr3", "--password", "correct horse") == ""
    await api("PUT", f"/peers/{made['id']}", 200, changed | {"enabled": False})
    await house.refresh()
    assert "Calling AE Title" in await house.store("--user", "mr3", "--password", "correct horse")
    await house.refusals.write()
    reasons = {one["reason"] for one in (await api("GET", "/refusals", 200))["items"]}
    assert reasons == {"not-identified", "unknown-calling-aet"}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": ""}, "name"), ({"calling_aet": "x" * 17}, "calling_aet"),
     ({"addresses": "10.1.2"}, "addresses"), ({"addresses": "10.1.2.0/99"}, "addresses"),
     ({"username": "u"}, "password"), ({"password": "12345678"}, "username"),
     ({"username": "u", "password": "short"}, "password"), ({"port": 1}, "port")],
)  # fmt: skip
async def test_a_peer_that_can_not_be_is_refused(
    api: Api, change: dict[str, object], field: str
) -> None:
    await api.refused("/peers", {"name": "MR"} | change, field)


async def test_peers_are_entered_changed_and_removed(api: Api, client: httpx.AsyncClient) -> None:
    made = await api("POST", "/peers", 201, {"name": "MR", "addresses": " 10.1.2.7/24 "})
    assert made["addresses"] == "10.1.2.0/24"
    await api("POST", "/peers", 409, {"name": "MR"})
    assert await api("GET", "/peers", 200) == [await api("GET", f"/peers/{made['id']}", 200)]
    assert (await client.delete(f"/api/v1/peers/{made['id']}")).status_code == 204
    await api("GET", f"/peers/{made['id']}", 404)


async def test_a_flood_of_refusals_is_no_flood_of_rows(
    any_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_AT_ONCE", 5)
    monkeypatch.setattr(writer, "_KEPT", 7)
    refusals = Refusals(any_runtime.ledger)
    for number in range(9):
        refusals.add(Caller(f"A{number}", "SLUSE", "10.0.0.1"), UNKNOWN_CALLING_AET)
        refusals.add(Caller("A0", "SLUSE", "10.0.0.1"), UNKNOWN_CALLING_AET)
    refusals.add(Caller("Hansen^Kari", "SLUSE", "10.0.0.1"), LIMIT_EXCEEDED)
    await refusals.write()
    found = await rows(any_runtime, Refusal)
    assert [(one.calling_aet, one.times) for one in found] == [
        ("A0", 10), ("A1", 1), ("A2", 1), ("A3", 1), ("A4", 1)
    ]  # fmt: skip
    for number in range(5):
        refusals.add(Caller(f"B{number}", "SLUSE", "10.0.0.1"), UNKNOWN_CALLING_AET)
    await refusals.write()
    left = [one.calling_aet for one in await rows(any_runtime, Refusal)]
    assert len(left) == 7 and left[-5:] == [f"B{number}" for number in range(5)]


async def test_what_is_no_title_is_not_stored_as_one(any_runtime: Runtime, api: Api) -> None:
    refusals = Refusals(any_runtime.ledger)
    refusals.add(Caller("Hansen^Kari", "SLUSE", "10.0.0.1"), UNKNOWN_CALLING_AET)
    await refusals.write()
    (found,) = (await api("GET", "/refusals", 200))["items"]
    assert found["calling_aet"] == "(unusual characters)" and not found["can_be_allowed"]


async def test_two_senders_of_one_name_are_both_let_in(any_runtime: Runtime, api: Api) -> None:
    async with any_runtime.ledger.transaction() as connection:
        await connection.execute(
            insert(core(Peer)).values(name="MR3 at 10.0.0.1", addresses="", password_hash="",
                                      enabled=False, created_at=now())
        )  # fmt: skip
    refusals = Refusals(any_runtime.ledger)
    refusals.add(Caller("MR3", "SLUSE", "10.0.0.1"), UNKNOWN_CALLING_AET)
    await refusals.write()
    async with any_runtime.ledger.reading() as connection:
        refusal = await connection.scalar(select(core(Refusal).c.id))
    assert (await api("POST", f"/refusals/{refusal}/allow", 201))["name"] == "MR3 at 10.0.0.1 2"
