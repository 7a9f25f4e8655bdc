"""Keys, UIDs and pseudonyms: every identity that Sluse makes or checks.

The identifiers of a de-identified object are keyed with its project's secret, so that nobody
without the key can confirm a guess, two projects' copies never collide, and the same input always
gives the same output (law 3). See docs/decisions/0004-keyed-uids.md.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from shared.disk import sync_folder
from shared.errors import StartError

PROJECT_CODE = r"[A-Z][A-Z0-9]{2,15}"
"""Project specifier: longer than 2, at most 16 so that it can be an AE title (PS3.5 6.2, AE)."""
PROJECT_NUMBER = r"P[0-9]{2}_[0-9]{2}"
"""Project number as the 2019 design has it: `P20_01`."""
PARTICIPANT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What any participant id must look like (LO holds 64), whatever the project's own pattern says."""
AE_TITLE = r"[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?"
"""AE title without the blanks around it: 1 to 16 characters, no backslash (PS3.5 6.2)."""

IMPLEMENTATION_CLASS_UID = "2.25.201184421042221908111791256988917395809"
"""Identifies Sluse as the writer of a file and on the wire (PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION_NAME = "SLUSE_0_1"

_LEGAL_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
# Vendors write components with leading zeros; they are harmless as names of files and as keys.
_USABLE_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")

KEY_BYTES = 32


def is_legal_uid(uid: str) -> bool:
    """Whether `uid` is legal by PS3.5 section 9.1: at most 64 digits and dots, no leading zeros."""
    return len(uid) <= 64 and _LEGAL_UID.fullmatch(uid) is not None


def printable_title(title: str) -> str:
    """An AE title for people to read; what does not look like a device's name stays out of it."""
    return title if re.fullmatch(r"[A-Za-z0-9 ._-]{1,16}", title) else "(unusual characters)"


def is_usable_uid(uid: str) -> bool:
    """Whether `uid` can identify a received object: as `is_legal_uid`, leading zeros forgiven."""
    return len(uid) <= 64 and _USABLE_UID.fullmatch(uid) is not None


def new_project_key() -> bytes:
    """A fresh project secret, 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def _digest(key: bytes, purpose: str, value: str) -> bytes:
    return hmac.digest(key, f"{purpose}\0{value}".encode(), hashlib.sha256)


def keyed_uid(key: bytes, uid: str) -> str:
    """The released UID for `uid`: `2.25.` and 128 keyed bits as a decimal (PS3.5 B.2).

    One function for every UID of an object, so that references link to their targets whatever
    attribute they stand in.
    """
    return f"2.25.{int.from_bytes(_digest(key, 'uid', uid)[:16])}"


def keyed_hash(key: bytes, purpose: str, value: str, length: int = 16) -> str:
    """A keyed identifier of `length` characters (SH holds 16) from A-Z and 2-7."""
    return base64.b32encode(_digest(key, purpose, value)).decode()[:length]


class MasterKeyError(StartError):
    """The master key is missing, is none, or is not the one a secret was encrypted under."""


class MasterKey:
    """Encrypts the projects' secrets at rest (Fernet: AES-128-CBC with HMAC-SHA256).

    Parameters
    ----------
    encoded
        The key as `MasterKey.generate` writes it.

    Raises
    ------
    MasterKeyError
        The text is not such a key.
    """

    def __init__(self, encoded: str) -> None:
        try:
            self._fernet = Fernet(encoded.encode())
            self._index_key = _digest(encoded.encode(), "master", "index")
            self._encoded = encoded
        except ValueError:
            raise MasterKeyError(
                "this is no master key: put the right one back from your backup, or, where there "
                "is no project yet, make one with `sluse new-master-key`"
            ) from None

    @staticmethod
    def generate() -> str:
        """A fresh master key, as text for a file or an environment variable."""
        return Fernet.generate_key().decode()

    @classmethod
    def from_file(cls, path: Path) -> "MasterKey":
        """Read the key from `path`.

        Raises
        ------
        MasterKeyError
            The file can't be read, or holds no key.
        """
        try:
            return cls(path.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) else "it is not text"
            raise MasterKeyError(
                f"the master key {path} can't be read ({what}): put it back from your backup"
            ) from None

    @classmethod
    def from_file_or_new(cls, path: Path) -> "MasterKey":
        """Read the key from `path`; make it first (mode 0600) if the file does not exist."""
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was first
                cls(cls.generate()).write(path)
        return cls.from_file(path)

    def write(self, path: Path) -> None:
        """Write the key into the new file `path`, for its owner only, durably.

        Raises
        ------
        FileExistsError
            There is such a file.
        """
        # Complete under its name or not at all: a key cut short would lock its owner out.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:
            file.write(self._encoded + "\n")
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)
        sync_folder(path.parent)

    @property
    def fingerprint(self) -> str:
        """What a key is recognised by; it says nothing about the key."""
        return self.index("purpose", "fingerprint")[:16]

    def index(self, kind: str, value: str) -> str:
        """What an encrypted value is found by: equal for spellings of one, 64 hexadecimal digits.

        Whoever has the database but not the key can't try values out on it.
        """
        return _digest(self._index_key, kind, value.strip().casefold()).hex()

    def encrypt(self, secret: bytes) -> str:
        """Encrypt `secret` for the database."""
        return self._fernet.encrypt(secret).decode()

    def decrypt(self, token: str) -> bytes:
        """Decrypt what `encrypt` gave.

        Raises
        ------
        MasterKeyError
            Encrypted under another master key, or damaged.
        """
        try:
            return self._fernet.decrypt(token.encode())
        except InvalidToken:
            raise MasterKeyError(
                "this is not the master key that the projects' keys were encrypted under: "
                "put the right one back from your backup"
            ) from None
