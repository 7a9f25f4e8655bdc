"""What groups are called: one distinguished name in several ways to write it, and short names."""

import pytest
from pydantic import ValidationError

from services.api.accounts.groups import distinguished, of_directory, of_provider
from services.api.accounts.schemas import GroupRoleCreate

BASE = "OU=Groups,DC=hospital,DC=local"
DN = "cn=research,ou=groups,dc=hospital,dc=local"


@pytest.mark.parametrize(
    "written",
    [f"CN=Research,{BASE}", f" cn = RESEARCH , {BASE}", f"cn=\\52esearch,{BASE}",
     f"cn=research,{BASE.lower()}"],
)  # fmt: skip
def test_one_distinguished_name_in_several_ways(written: str) -> None:
    assert distinguished(written) == DN
    assert of_directory([written], BASE).have(f"CN=research, {BASE}")


@pytest.mark.parametrize("other", ["OU=Other,DC=hospital,DC=local", "DC=local", f"OU=Sub,{BASE}"])
def test_a_distinguished_name_is_that_of_one_group(other: str) -> None:
    assert not of_directory([f"CN=Research,{other}"], BASE).have(DN)
    assert not of_directory([f"CN=Research,{BASE}"], "").have(f"cn=research,{other}")


def test_escaped_characters_are_characters() -> None:
    found = of_directory([f"CN=Bl\\C3\\A5\\, r\\2Bd,{BASE}"], BASE)
    assert found.names == {"blå, r+d"} and found.have("Blå,  R+D")
    assert found.have(f"cn=blå\\2c r\\+d,{BASE}")


@pytest.mark.parametrize(
    ("base", "counts"),
    [("", True), (BASE, True), ("dc=hospital,dc=local", True), ("ou=other,dc=hospital", False),
     (f"cn=research,{BASE}", False), ("dc=local,dc=hospital", False), ("no name", False)],
)  # fmt: skip
def test_a_short_name_counts_below_the_base_only(base: str, counts: bool) -> None:
    assert of_directory([DN], base).have("research") is counts


def test_a_group_can_not_be_called_like_another_ones_distinguished_name() -> None:
    evil = f"CN={DN.replace(',', chr(92) + ',')},{BASE}"
    found = of_directory([evil], "")
    assert found.names == {DN} and not found.have(DN)


def test_what_a_provider_calls_groups() -> None:
    found = of_provider(["Research", "/staff/mr", f"CN=Research,{BASE}", "a=b"])
    for name in ("research", "/Staff/MR", DN, "A=B"):
        assert found.have(name)
    assert not found.have("mr") and not found.have(f"cn=research,ou=x,{BASE}")


def entered(name: str) -> str:
    return GroupRoleCreate.model_validate({"group_name": name, "role": "operator"}).group_name


@pytest.mark.parametrize(
    "name", ["x" * 300, f"CN=Research\\, MR,{BASE}", "CN=" + "x" * 200 + f",{BASE}"]
)
def test_long_and_escaped_names_can_be_entered(name: str) -> None:
    assert entered(f" {name} ") == name


@pytest.mark.parametrize("name", ["", " ", "x" * 301, "a\nb", "CN=Research,OU", "=x,DC=hospital"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        entered(name)
