"""The secrets for a research PACS: files that hospital IT puts there, never rows of the database.

A destination names a folder in `SLUSE_PACS_CREDENTIALS`; what is not in it comes from the settings
for all destinations. The files are read each time: new ones need no restart.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from shared.settings import Settings

NAME = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
"""Of a folder: no way out of the one that they are all in."""
_LONGEST = 1 << 16  # bytes of a token
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
T = TypeVar("T")


class CredentialsError(Exception):
    """The secrets can't be used; the text says why, and holds none of them."""


@dataclass(frozen=True)
class Credentials:
    """What Sluse shows to a research PACS, and whom it believes."""

    ca: Path | None
    """Authorities of its certificate; None for those of the system."""
    certificate: Path | None
    key: Path | None
    authorization: str | None
    """Value of the HTTP header (RFC 9110 11.6.2)."""
    hosts: frozenset[str] | None
    """The only hosts that may see it; None for any, but over HTTPS."""

    def authorization_for(self, url: str) -> str | None:
        """What a service at an address is shown.

        Raises
        ------
        CredentialsError
            It is not to see it.
        """
        if self.authorization is None:
            return None
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if self.hosts is not None and host not in self.hosts:
            raise CredentialsError(f"these credentials are not for {host}")
        if parts.scheme != "https" and self.hosts is None and host not in _THIS_MACHINE:
            raise CredentialsError("credentials go over https only, or to those in the file hosts")
        return self.authorization

    def __repr__(self) -> str:
        return "Credentials()"  # never a secret in a log


def find(settings: Settings, name: str) -> Credentials:
    """The credentials for a destination.

    Parameters
    ----------
    name
        Of its folder; empty where it has none of its own.

    Raises
    ------
    CredentialsError
        The folder is not there, or a file can't be read.
    """
    try:
        folder = _folder(settings, name) if name else None
        certificate = _in(folder, "certificate.pem")
        return Credentials(
            ca=_in(folder, "ca.pem") or settings.pacs_tls_ca,
            certificate=certificate or settings.pacs_tls_certificate,
            key=_in(folder, "key.pem") if certificate else settings.pacs_tls_key,
            authorization=_line(folder, "authorization", _authorization),
            hosts=_line(folder, "hosts", lambda said: frozenset(said.lower().split())),
        )
    except OSError as error:
        raise CredentialsError(f"the credentials can't be read: {error.strerror}") from None


def _folder(settings: Settings, name: str) -> Path:
    if settings.pacs_credentials is None:
        raise CredentialsError("SLUSE_PACS_CREDENTIALS does not say where credentials are")
    folder = settings.pacs_credentials / name
    if not folder.is_dir():
        raise CredentialsError(f"there are no credentials {name!r} in SLUSE_PACS_CREDENTIALS")
    return folder


def _in(folder: Path | None, name: str) -> Path | None:
    path = folder / name if folder else None
    return path if path and path.exists() else None


def _line(folder: Path | None, name: str, understood: Callable[[str], T]) -> T | None:
    """What is made of a file with one line; None when there is no such file."""
    path = _in(folder, name)
    if path is None:
        return None
    with path.open("rb") as file:
        raw = file.read(_LONGEST)
    try:
        said = raw.decode().strip()
    except UnicodeDecodeError:
        said = ""
    if not said or not said.isprintable():
        raise CredentialsError(f"the file {name} must hold one line")
    return understood(said)


def _authorization(said: str) -> str:
    """`Bearer …` or `Basic …` as it stands there; `user:password` becomes the latter (RFC 7617)."""
    if said.startswith(("Bearer ", "Basic ")):
        if not said.isascii():
            raise CredentialsError("the file authorization holds what no token has")
        return said
    if ":" not in said:
        raise CredentialsError("write user:password or Bearer … into the file authorization")
    return "Basic " + base64.b64encode(said.encode()).decode()
