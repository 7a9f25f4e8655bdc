"""How the identifiers of released objects are made: keyed, or as the earlier system made them.

A new project's identifiers are keyed with its secret (`shared.identity`). A project that comes from
the earlier system chooses the legacy scheme it was begun with, so that follow-up images join the
studies that were released before. The legacy schemes hash with SHA-256 and **no secret**: whoever
knows an original UID can confirm that it is in the project.

What is illegal about legacy UIDs stays so, as the old data has it (PS3.5 section 9.1):

* about one in eight has a component with a leading zero;
* a UID of an element that the table marks `hashuid` has neither a root nor a dot;
* hexadecimal UIDs hold letters;
* a nested StudyInstanceUID becomes the object's own study's, whatever study it named.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from shared.identity import keyed_hash, keyed_uid
from shared.profile import Action

_STUDY_INSTANCE_UID = 0x0020000D
_LEGACY_ROOT = "1.3.6.1.4.1.45037."
_LEGACY_UID_LENGTH = 63
_STUDY_HASH_LENGTH = 16
_DECIMALS = str.maketrans("abcdef", "012345")
# PS3.5 table 6.2-1: the most characters that a value may have.
_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "PN": 64, "SH": 16, "UI": 64}


class Scheme(StrEnum):
    """How a project's identifiers are made; chosen when the project is entered, for good."""

    KEYED = "keyed"
    """With the project's secret: see docs/decisions/0004-keyed-uids.md."""
    LEGACY_DECIMAL = "legacy-decimal"
    """As the earlier system, digests written in decimal digits. No secret."""
    LEGACY_HEX = "legacy-hex"
    """As the earlier system, digests written in hexadecimal. No secret."""


class Identifiers(Protocol):
    """The released identifiers of one study's objects in one project."""

    def uid(self, tag: int, action: Action | None, uid: str) -> str:
        """What `uid` becomes where it stands in `tag`, whose row of the table says `action`.

        Parameters
        ----------
        action
            None for an element that the table does not name.
        uid
            The original, without padding.
        """
        ...

    def value_hash(self, vr: str, value: str) -> str:
        """What `value`, without padding, becomes in an element that is hashed (`Action.HASH`)."""
        ...

    def study_hash(self) -> str:
        """The study's short identifier, 16 characters (`Action.STUDYHASH`)."""
        ...


@dataclass(frozen=True)
class _Keyed:
    """One function for every UID, so that references link whatever element they stand in."""

    key: bytes = field(repr=False)
    study_uid: str = field(repr=False)

    def uid(self, tag: int, action: Action | None, uid: str) -> str:
        return keyed_uid(self.key, uid)

    def value_hash(self, vr: str, value: str) -> str:
        return keyed_hash(self.key, "value", value)

    def study_hash(self) -> str:
        return keyed_hash(self.key, "study", self.study_uid, _STUDY_HASH_LENGTH)


@dataclass(frozen=True)
class _Legacy:
    """The earlier system's formulas; what they hash is the value with its padding, as stored."""

    project: str
    study_uid: str = field(repr=False)
    hexadecimal: bool

    def uid(self, tag: int, action: Action | None, uid: str) -> str:
        if tag == _STUDY_INSTANCE_UID or (action is None and uid == self.study_uid):
            return self._rooted(self.study_uid.encode())
        raw = _padded(uid.encode(), b"\0")
        if action is Action.HASHUID:
            return self._digest(raw)[: _LONGEST["UI"]]
        # Also what the table does not name, so that nothing leaks and references link.
        return self._rooted(raw)

    def value_hash(self, vr: str, value: str) -> str:
        return self._digest(_padded(_stored(value), b" "))[: _LONGEST.get(vr)]

    def study_hash(self) -> str:
        raw = self.study_uid.encode() + self.project.encode()
        return self._digest(raw)[:_STUDY_HASH_LENGTH]

    def _rooted(self, raw: bytes) -> str:
        digest = self._digest(raw + self.project.encode())
        return f"{_LEGACY_ROOT}{digest}"[:_LEGACY_UID_LENGTH]

    def _digest(self, raw: bytes) -> str:
        digest = hashlib.sha256(raw).hexdigest()
        return digest if self.hexadecimal else digest.translate(_DECIMALS)


def _padded(raw: bytes, pad: bytes) -> bytes:
    """To even length, as values are stored (PS3.5 section 6.2)."""
    return raw + pad if len(raw) % 2 else raw


def _stored(value: str) -> bytes:
    """The bytes that the earlier system read: Latin-1 in its files, or UTF-8."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def identifiers(scheme: Scheme, key: bytes, project: str, study_uid: str) -> Identifiers:
    """The identifiers of a project's copy of one study.

    Parameters
    ----------
    key
        The project's secret; the legacy schemes have no use for it.
    project
        The project's code.
    study_uid
        The original StudyInstanceUID of the whole object, without padding.
    """
    if scheme is Scheme.KEYED:
        return _Keyed(key, study_uid)
    return _Legacy(project, study_uid, hexadecimal=scheme is Scheme.LEGACY_HEX)
