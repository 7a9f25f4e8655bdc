"""The hospital's directory (LDAP, RFC 4511; Active Directory) checks passwords and knows groups."""

import ssl
from dataclasses import dataclass
from typing import Any

from ldap3 import ANONYMOUS, BASE, NONE, SIMPLE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from services.api.accounts.groups import Groups, of_directory
from shared import telemetry
from shared.settings import Settings

log = telemetry.logger("accounts")

_PATIENCE = 10  # seconds for each answer
_LEVELS = 10  # groups in groups
_MOST_GROUPS = 500
_ID_ATTRIBUTES = ("entryUUID", "objectGUID")
_NAMES = ("displayName", "cn")
_GROUP_FILTER = "(|(member={member})(uniqueMember={member}))"


class DirectoryAwayError(Exception):
    """The directory does not answer, or not as it should; the text says how, without names."""


@dataclass(frozen=True)
class Found:
    """A person whom the directory knows."""

    subject: str
    """What it knows the person by, whatever else changes."""
    name: str
    groups: Groups
    """Those that contain others too."""


def check(settings: Settings, username: str, password: str) -> Found | None:
    """Whether it is the person's password, and who that is; waits for the network.

    Raises
    ------
    DirectoryAwayError
        Nobody can tell at the moment.
    """
    if not password:
        return None  # a simple bind without a password succeeds for anybody (RFC 4513 5.1.2)
    try:
        with _bound(settings, settings.ldap_bind_dn, _bind_password(settings)) as searcher:
            entry = _person(searcher, settings, username)
            if entry is None:
                return None
            dn = str(entry["dn"])
            try:
                with _bound(settings, dn, password):
                    pass
            except _RefusedError:
                return None
            return Found(_subject(entry), _name(entry), _groups(searcher, settings, entry))
    except _RefusedError as error:
        raise DirectoryAwayError("it does not let Sluse search") from error
    except (LDAPException, OSError) as error:
        raise DirectoryAwayError(type(error).__name__) from error


class _RefusedError(Exception):
    """The directory did not accept a name and password."""


def _bind_password(settings: Settings) -> str:
    return settings.ldap_bind_password.get_secret_value()


def _bound(settings: Settings, dn: str, password: str) -> Connection:
    """A connection that is secured before anything is said over it."""
    url = settings.ldap_url or ""
    tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=settings.ldap_ca and str(settings.ldap_ca))
    server = Server(url, tls=tls, get_info=NONE, connect_timeout=_PATIENCE)
    connection = Connection(
        server, user=dn or None, password=password or None,
        authentication=SIMPLE if dn else ANONYMOUS,
        receive_timeout=_PATIENCE, read_only=True, raise_exceptions=False,
    )  # fmt: skip
    connection.open()
    if url.startswith("ldap://") and not connection.start_tls():
        raise DirectoryAwayError("it refuses StartTLS")
    if not connection.bind():
        connection.unbind()
        raise _RefusedError
    return connection


def _person(searcher: Connection, settings: Settings, username: str) -> dict[str, object] | None:
    wanted = settings.ldap_user_filter.format(username=escape_filter_chars(username))
    found = _search(searcher, settings.ldap_users, wanted, [*_ID_ATTRIBUTES, *_NAMES, "memberOf"])
    if len(found) > 1:
        log.warning("several people in the directory have one user name", people=len(found))
        return None
    return found[0] if found else None


def _search(
    searcher: Connection, base: str, wanted: str, attributes: list[str], scope: Any = SUBTREE
) -> list[dict[str, object]]:
    # What a directory does not know of these attributes it leaves out.
    searcher.search(
        base, wanted, scope, attributes=attributes, size_limit=_MOST_GROUPS, time_limit=_PATIENCE
    )
    return [one for one in searcher.response or [] if one.get("type") == "searchResEntry"]


def _values(entry: dict[str, object], name: str) -> list[bytes]:
    raw = entry.get("raw_attributes")
    return list(raw.get(name, [])) if hasattr(raw, "get") else []


def _subject(entry: dict[str, object]) -> str:
    for name in _ID_ATTRIBUTES:
        for value in _values(entry, name):
            return value.decode() if name == "entryUUID" else value.hex()
    return str(entry["dn"]).casefold()


def _name(entry: dict[str, object]) -> str:
    for name in _NAMES:
        for value in _values(entry, name):
            return value.decode(errors="replace")[:100]
    return ""


def _groups(searcher: Connection, settings: Settings, entry: dict[str, object]) -> Groups:
    """The groups that a person is in, and those that these are in (to some depth)."""
    known: set[str] = set()
    fresh = {value.decode(errors="replace") for value in _values(entry, "memberOf")}
    members = {str(entry["dn"]), *fresh}
    for _ in range(_LEVELS):
        known |= fresh
        fresh = set()
        for member in members:
            fresh |= _containing(searcher, settings, member) - known
        members = fresh
        if not fresh or len(known) > _MOST_GROUPS:
            break
    return of_directory(known, settings.ldap_groups)


def _containing(searcher: Connection, settings: Settings, member: str) -> set[str]:
    if not settings.ldap_groups:
        found = _search(searcher, member, "(objectClass=*)", ["memberOf"], BASE)
        return {
            value.decode(errors="replace") for one in found for value in _values(one, "memberOf")
        }
    wanted = _GROUP_FILTER.format(member=escape_filter_chars(member))
    return {str(one["dn"]) for one in _search(searcher, settings.ldap_groups, wanted, ["cn"])}
