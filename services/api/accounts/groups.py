"""What groups are called, and whether what was entered names a group that somebody is in.

A distinguished name (RFC 4514) names one group only. A short name says less: anybody who may make
groups somewhere in a directory could make one that is called so.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ldap3.utils.dn import escape_rdn

_TYPE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)\s*")
_ESCAPED = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.S)


_Part = list[tuple[str, str]]
"""A relative distinguished name: types and values."""


class Groups(NamedTuple):
    """The groups that a person is in."""

    names: frozenset[str]
    """Their short names, in small letters; of an identity provider what it calls them."""
    dns: frozenset[str]
    """Their distinguished names, as `distinguished` writes them."""

    def have(self, entered: str) -> bool:
        """Whether a name that was entered is that of one of them."""
        dn = distinguished(entered)
        return short(entered) in self.names if dn is None else dn in self.dns


def of_directory(dns: Iterable[str], base: str) -> Groups:
    """Groups by their distinguished names.

    Parameters
    ----------
    base
        The distinguished name below which groups may be meant by their short names; empty for
        anywhere.
    """
    below = _parts(base) if base else []
    parsed = [parts for dn in dns if (parts := _parts(dn))]
    known = [] if below is None else [one for one in parsed if _is_below(one, below)]
    return Groups(frozenset(_naming(one[0]) for one in known), frozenset(map(_joined, parsed)))


def of_provider(names: Iterable[str]) -> Groups:
    """Groups by what an identity provider calls them, distinguished names among it."""
    given = list(names)
    dns = (distinguished(one) for one in given)
    return Groups(frozenset(map(short, given)), frozenset(one for one in dns if one is not None))


def distinguished(name: str) -> str | None:
    """A distinguished name, in the one way to write it: blanks, letters and escapes do not matter.

    None for what is none.
    """
    parts = _parts(name)
    return _joined(parts) if parts else None


def short(name: str) -> str:
    """A short name, in the one way to write it."""
    return " ".join(name.split()).casefold()


def _parts(dn: str) -> list[_Part] | None:
    """What a distinguished name consists of, from the inside out; None for what is none."""
    found = []
    for part in _split(dn, ","):
        values = [one.partition("=") for one in _split(part, "+")]
        if any(_TYPE.fullmatch(kind) is None or not value.strip() for kind, _, value in values):
            return None
        found.append(sorted((short(kind), short(_unescaped(value))) for kind, _, value in values))
    return found


def _split(text: str, at: str) -> list[str]:
    """The pieces between separators that are not escaped."""
    pieces, escaped = [""], False
    for one in text:
        if one == at and not escaped:
            pieces.append("")
        else:
            pieces[-1] += one
        escaped = one == "\\" and not escaped
    return pieces


def _unescaped(value: str) -> str:
    """A value without its escapes, which stand for bytes or characters (RFC 4514 2.4)."""

    def plain(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else found[2]

    return _ESCAPED.sub(plain, value.encode()).decode(errors="replace")


def _is_below(parts: list[_Part], base: list[_Part]) -> bool:
    return len(parts) > len(base) and parts[len(parts) - len(base) :] == base


def _naming(part: _Part) -> str:
    """`research` of `cn=research`; of several values the one that names."""
    return dict(part).get("cn", part[0][1])


def _joined(parts: list[_Part]) -> str:
    return ",".join(
        "+".join(f"{kind}={escape_rdn(value)}" for kind, value in part) for part in parts
    )
