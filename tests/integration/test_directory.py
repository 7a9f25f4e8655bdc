"""Signing in with the hospital's directory: a real slapd, StartTLS and LDAPS, groups in groups."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from services.api.accounts.directory import DirectoryAwayError, check
from shared.clock import now
from shared.ledger.tables import Account, core
from shared.runtime import Runtime
from shared.settings import Settings
from tests.certificates import Authority
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api
from tests.integration.test_people_fixtures import World, _fast_hashes, form_token, world
from tests.servers.common import free_port
from tests.servers.slapd import GROUPS, PEOPLE, SEARCHER, SEARCHERS_PASSWORD, Directory, slapd

__all__ = ["_fast_hashes", "world"]

ELSEWHERE, COMMA = "ou=elsewhere,dc=hospital,dc=local", "\\2C"
PEOPLE_THERE = {
    "kari": "Kari Nordmann",
    "per": "Per Ås",
    "ola": "Ola (Radiology)",
    "eva": "Eva",
    "sluse": "S",
}
GROUPS_THERE = {
    "Research-AAA": [f"uid=kari,{PEOPLE}"],
    "Researchers": [f"cn=Research-AAA,{GROUPS}", f"uid=ola,{PEOPLE}", f"uid=sluse,{PEOPLE}"],
    "Staff": [f"cn=Researchers,{GROUPS}", f"cn=Staff,{GROUPS}"],  # and one that contains itself
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with slapd(tmp_path_factory.mktemp("slapd"), PEOPLE_THERE, GROUPS_THERE) as running:
        # While it runs: so it says of people that they are in these groups, as it would of all.
        running.modify(
            f"dn: {ELSEWHERE}\nchangetype: add\nobjectClass: organizationalUnit\n\n"
            f"dn: cn=Staff,{ELSEWHERE}\nchangetype: add\nobjectClass: groupOfNames\n"
            f"member: uid=eva,{PEOPLE}\n\n"
            f"dn: cn=cn\\3Dstaff\\2C{GROUPS.replace(',', COMMA)},{ELSEWHERE}\n"
            f"changetype: add\nobjectClass: groupOfNames\nmember: uid=eva,{PEOPLE}\n"
        )
        yield running


def configured(settings: Settings, directory: Directory, **changes: Any) -> Settings:
    knobs = {
        "ldap_url": directory.plain, "ldap_ca": directory.authority, "ldap_bind_dn": SEARCHER,
        "ldap_bind_password": SecretStr(SEARCHERS_PASSWORD), "ldap_users": PEOPLE,
        "ldap_groups": GROUPS, "ldap_user_filter": "(uid={username})",
    }  # fmt: skip
    return settings.model_copy(update=knobs | changes)


@pytest.mark.parametrize("secured", ["plain", "tls"])
def test_people_and_the_groups_they_are_in(
    settings: Settings, directory: Directory, secured: str
) -> None:
    knobs = configured(settings, directory, ldap_url=getattr(directory, secured))
    found = check(knobs, "kari", "password of kari")
    assert found is not None and found.name == "Kari Nordmann"
    assert found.groups.names == {"research-aaa", "researchers", "staff"}
    assert f"cn=research-aaa,{GROUPS}" in found.groups.dns
    other = check(knobs, "per", "password of per")
    assert other is not None and other.groups == (frozenset(), frozenset())
    assert other.name == "Per Ås" and other.subject != found.subject


@pytest.mark.parametrize(
    ("username", "password"),
    [("kari", "wrong"), ("kari", ""), ("nobody", "password of kari"), ("*", "password of kari"),
     ("kari)(uid=*", "password of kari"), ("ka*", "password of kari"), ("", "x"),
     ("kari\\00", "password of kari")],
)  # fmt: skip
def test_whoever_is_not_who_they_say_is_nobody(
    settings: Settings, directory: Directory, username: str, password: str
) -> None:
    assert check(configured(settings, directory), username, password) is None


def test_a_directory_that_can_not_be_trusted_is_told_no_password(
    settings: Settings, directory: Directory, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").certificate
    for changes in (
        {"ldap_ca": stranger}, {"ldap_ca": stranger, "ldap_url": directory.tls},
        {"ldap_url": f"ldap://127.0.0.1:{free_port()}"}, {"ldap_ca": tmp_path / "none.pem"},
        {"ldap_bind_password": SecretStr("wrong")}, {"ldap_bind_dn": ""},
    ):  # fmt: skip
        with pytest.raises(DirectoryAwayError):
            check(configured(settings, directory, **changes), "kari", "password of kari")


class Hospital:
    """Sluse with the directory."""

    def __init__(self, world: World) -> None:
        self.world, self.root = world, world.root

    async def sign_in(self, username: str) -> Any:
        client = self.world.client()
        form = {"username": username, "password": f"password of {username}"}
        return await client.post("/sign-in", data=form), client


@pytest.fixture
async def any_runtime(any_runtime: Runtime, directory: Directory) -> Runtime:
    settings = configured(any_runtime.settings, directory)
    object.__setattr__(any_runtime, "settings", settings)
    return any_runtime


async def test_groups_give_roles_and_take_them(world: World, directory: Directory) -> None:
    hospital = Hospital(world)
    answer, _ = await hospital.sign_in("kari")
    assert answer.status_code == 403 and "nobody has given you anything" in answer.text
    for role in (
        {"group_name": "Staff", "project": "AAA", "role": "viewer"},
        {"group_name": f"CN=Research-AAA,{GROUPS}", "project": "AAA", "role": "data-manager"},
        {"group_name": "Researchers", "role": "operator"},
    ):
        await world.root("POST", "/group-roles", 201, role)
    await world.root("POST", "/group-roles", 409, {"group_name": "Researchers", "role": "operator"})
    await world.root.refused(
        "/group-roles", {"group_name": "x", "project": "AAA", "role": "operator"}, "role"
    )
    await world.root.refused("/group-roles", {"group_name": "x", "role": "owner"}, "role")

    answer, client = await hospital.sign_in("kari")
    assert answer.status_code == 303
    own = await Api(client)("GET", "/account", 200)
    assert (own["name"], own["rights"]) == ("Kari Nordmann", ["operate"])
    assert own["projects"] == {"AAA": ["assign", "correct", "export", "identify", "view"]}
    answer, client = await hospital.sign_in("ola")
    assert (await Api(client)("GET", "/account", 200))["projects"] == {"AAA": ["view"]}

    # What a person has given stays, what the group gave goes with it.
    await world.root("PUT", "/projects/BBB/members/kari", 200, {"role": "owner"})
    listed = await world.root("GET", "/group-roles", 200)
    for one in listed:
        if one["project"] == "AAA":
            await world.root("DELETE", f"/group-roles/{one['id']}", 204)
    answer, client = await hospital.sign_in("kari")
    assert list((await Api(client)("GET", "/account", 200))["projects"]) == ["BBB"]
    accounts = {one.username: one for one in await rows(world.runtime, Account)}
    assert accounts["kari"].source == "ldap" and accounts["kari"].password_hash == ""
    await world.root.refused(
        f"/accounts/{accounts['kari'].id}", {"password": "a long enough one"}, "password",
        method="PATCH",
    )  # fmt: skip


async def test_a_short_name_is_not_that_of_a_group_elsewhere(
    world: World, directory: Directory
) -> None:
    """Whoever may make groups somewhere in the directory is not an administrator of Sluse."""
    settings = world.runtime.settings
    found = check(settings, "eva", "password of eva")
    assert found is not None and f"cn=staff,{ELSEWHERE}" in found.groups.dns
    assert found.groups.names == frozenset()
    anywhere = check(configured(settings, directory, ldap_groups=""), "eva", "password of eva")
    assert anywhere is not None and "staff" in anywhere.groups.names

    hospital = Hospital(world)
    for name in ("Staff", f"CN=Staff,{GROUPS}"):
        await world.root("POST", "/group-roles", 201, {"group_name": name, "role": "administrator"})
    assert (await hospital.sign_in("eva"))[0].status_code == 403
    name = "CN = staff, OU=Elsewhere,  DC=hospital,DC=LOCAL"
    await world.root("POST", "/group-roles", 201, {"group_name": name, "role": "operator"})
    answer, client = await hospital.sign_in("eva")
    assert answer.status_code == 303
    assert (await Api(client)("GET", "/account", 200))["rights"] == ["operate"]


async def test_what_groups_give_counts_for_a_day(world: World) -> None:
    """Of whoever does not sign in any more, nobody knows what groups they are in."""
    for role in (
        {"group_name": "Research-AAA", "project": "AAA", "role": "data-manager"},
        {"group_name": "Staff", "role": "operator"},
    ):
        await world.root("POST", "/group-roles", 201, role)
    hospital = Hospital(world)
    _, client = await hospital.sign_in("kari")
    await world.root("PUT", "/projects/BBB/members/kari", 200, {"role": "viewer"})
    browser = Api(client)
    client.headers["x-form-token"] = await form_token(client)
    made = await browser("POST", "/tokens", 201, {"name": "t", "rights": ["view", "operate"]})
    system = Api(world.client(authorization=f"Bearer {made['token']}"))
    for api in (browser, system):
        own = await api("GET", "/account", 200)
        assert (set(own["projects"]), own["rights"]) == ({"AAA", "BBB"}, ["operate"])

    await signed_in_ago(world, hours=25)
    for api in (browser, system):
        own = await api("GET", "/account", 200)
        assert (set(own["projects"]), own["rights"]) == ({"BBB"}, [])
        await api("GET", "/projects/AAA", 404)
    (listed,) = [one for one in await world.root("GET", "/projects/AAA/members", 200)
                 if one["username"] == "kari"]  # fmt: skip
    assert (listed["by_directory"], listed["counts"]) == (True, False)
    longer = world.runtime.settings.model_copy(update={"group_roles_hours": 26})
    object.__setattr__(world.runtime, "settings", longer)
    assert "AAA" in (await system("GET", "/account", 200))["projects"]
    await signed_in_ago(world, hours=27)
    await hospital.sign_in("kari")
    assert set((await system("GET", "/account", 200))["projects"]) == {"AAA", "BBB"}


async def signed_in_ago(world: World, *, hours: float) -> None:
    account = core(Account)
    async with world.runtime.ledger.transaction() as connection:
        await connection.execute(
            update(account)
            .where(account.c.username == "kari")
            .values(signed_in_at=now() - timedelta(hours=hours))
        )


async def test_nobody_comes_by_a_name_of_the_audits_own(world: World) -> None:
    await world.root("POST", "/group-roles", 201, {"group_name": "Staff", "role": "operator"})
    answer, _ = await Hospital(world).sign_in("sluse")
    assert answer.status_code == 403 and "calls itself, or tokens, like that" in answer.text
    assert not [one for one in await rows(world.runtime, Account) if one.username == "sluse"]


async def test_a_name_that_is_somebody_elses_now_opens_nothing(
    world: World, directory: Directory
) -> None:
    hospital = Hospital(world)
    await world.root("POST", "/group-roles", 201, {"group_name": "Staff", "role": "operator"})
    assert (await hospital.sign_in("ola"))[0].status_code == 303
    dn = f"uid=ola,{PEOPLE}"
    entry = (
        f"dn: {dn}\nchangetype: delete\n\ndn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "uid: ola\nsn: Other\ncn: Other\nuserPassword: password of ola\n"
    )
    directory.modify(entry)
    assert (await hospital.sign_in("ola"))[0].status_code == 401


async def test_accounts_of_sluse_work_when_the_directory_is_away(
    world: World, directory: Directory
) -> None:
    away = configured(world.runtime.settings, directory, ldap_url=f"ldap://127.0.0.1:{free_port()}")
    object.__setattr__(world.runtime, "settings", away)
    answer, _ = await Hospital(world).sign_in("kari")
    assert answer.status_code == 503
    assert "directory does not answer" in answer.text and 'value="kari"' in answer.text
    await world.signed_in("viewer")


async def test_an_account_of_sluse_is_not_the_directorys(world: World) -> None:
    """Whoever is called so in the directory does not get what somebody else has here."""
    await world.root(
        "POST", "/accounts", 201, {"username": "per", "password": "correct horse battery"}
    )
    assert (await Hospital(world).sign_in("per"))[0].status_code == 401
