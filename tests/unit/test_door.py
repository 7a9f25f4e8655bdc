"""Who is let in: titles, listed senders, passwords."""

import pytest

from services.receiver.acse import (
    NOT_IDENTIFIED,
    UNKNOWN_CALLED_AET,
    UNKNOWN_CALLING_AET,
    Caller,
    Identity,
    Rejection,
)
from services.receiver.door import Guests, Listed
from shared.passwords import fits, hashed
from shared.settings import PeerPolicy

SECRET = hashed(b"correct horse")


def guests(*rows: tuple[str | None, str, str | None, str]) -> Guests:
    return Guests(frozenset({"SLUSE"}), tuple(Listed(*row) for row in rows))


def shown(name: bytes = b"mr3", password: bytes = b"correct horse", kind: int = 2) -> Identity:
    return Identity(kind, name, password, answer_wanted=True)


@pytest.mark.parametrize(
    ("row", "address", "expected"),
    [(("MR3", "", None, ""), "10.1.2.3", None),
     (("MR4", "", None, ""), "10.1.2.3", UNKNOWN_CALLING_AET),
     ((None, "10.1.2.0/24", None, ""), "10.1.2.3", None),
     ((None, "10.1.2.0/24", None, ""), "10.1.3.3", UNKNOWN_CALLING_AET),
     (("MR3", "10.1.2.3", None, ""), "10.1.2.3", None),
     (("MR3", "10.1.2.3", None, ""), "10.1.2.4", UNKNOWN_CALLING_AET),
     (("MR3", "fd00::/8", None, ""), "fd00::17", None),
     (("MR3", "fe80::/10", None, ""), "fe80::1%eth0", None),
     (("MR3", "fd00::/8", None, ""), "10.1.2.3", UNKNOWN_CALLING_AET),
     (("MR3", "10.0.0.0/8", None, ""), "", UNKNOWN_CALLING_AET)],
)  # fmt: skip
def test_only_listed_senders_are_let_in_where_that_is_wanted(
    row: tuple[str | None, str, str | None, str], address: str, expected: Rejection | None
) -> None:
    caller = Caller("MR3", "SLUSE", address)
    assert guests(row).verdict(caller, PeerPolicy.LISTED).rejection is expected
    assert guests(row).verdict(caller, PeerPolicy.OPEN).rejection is None
    assert guests().verdict(caller, PeerPolicy.LISTED).rejection is UNKNOWN_CALLING_AET


def test_an_unknown_called_title_is_said_first() -> None:
    caller = Caller("MR3", "NOBODY", "10.1.2.3")
    assert guests().verdict(caller, PeerPolicy.LISTED).rejection is UNKNOWN_CALLED_AET


@pytest.mark.parametrize("policy", list(PeerPolicy))
@pytest.mark.parametrize(
    ("identity", "right"),
    [(shown(), True), (shown(password=b"wrong"), False), (shown(name=b"mr4"), False),
     (shown(kind=1), False), (shown(kind=5), False), (None, False)],
)  # fmt: skip
def test_a_password_is_asked_for_where_one_was_entered(
    policy: PeerPolicy, identity: Identity | None, right: bool
) -> None:
    door = guests(("MR3", "", "mr3", SECRET))
    verdict = door.verdict(Caller("MR3", "SLUSE", "10.1.2.3", identity), policy)
    assert (verdict.rejection is None, verdict.identified) == (right, right)
    assert right or verdict.rejection is NOT_IDENTIFIED


def test_an_entry_for_a_network_takes_no_password_away() -> None:
    door = guests((None, "10.0.0.0/8", None, ""), ("MR3", "10.1.2.3", "mr3", SECRET))
    asked = Caller("MR3", "SLUSE", "10.1.2.3")
    assert door.verdict(asked, PeerPolicy.LISTED).rejection is NOT_IDENTIFIED
    assert door.verdict(Caller("CT1", "SLUSE", "10.1.2.3"), PeerPolicy.LISTED).rejection is None


def test_what_nobody_asks_for_is_not_confirmed() -> None:
    verdict = guests().verdict(Caller("MR3", "SLUSE", "10.1.2.3", shown()), PeerPolicy.OPEN)
    assert (verdict.rejection, verdict.identified) == (None, False)


def test_passwords_are_kept_as_hashes() -> None:
    assert hashed(b"correct horse") != SECRET and "correct" not in SECRET
    assert fits(b"correct horse", SECRET) and not fits(b"correct horse ", SECRET)
    with pytest.raises(ValueError, match="not a hashed password"):
        fits(b"", "plain$a$b")
