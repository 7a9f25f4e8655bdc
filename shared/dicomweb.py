"""HTTP to a research PACS: DICOMweb (PS3.18), and what else it takes."""

from typing import Any

import httpx

from shared.credentials import find
from shared.dimse.tls import client_context
from shared.identity import IMPLEMENTATION_VERSION_NAME
from shared.settings import Settings

JSON = "application/dicom+json"
_CONNECTING = 10.0  # seconds


def client(settings: Settings, url: str, credentials: str) -> httpx.Client:
    """A client of one service. Redirects are not followed: images go where they were entered to go.

    Parameters
    ----------
    url
        What stands before `/studies`.
    credentials
        Name of the folder with the secrets (`shared.credentials`).

    Raises
    ------
    CredentialsError, TlsError
        Our own certificates or secrets can't be used.
    """
    return httpx.Client(**_options(settings, url, credentials))


def async_client(settings: Settings, url: str, credentials: str) -> httpx.AsyncClient:
    """The same for the event loop."""
    return httpx.AsyncClient(**_options(settings, url, credentials))


def _options(settings: Settings, url: str, credentials: str) -> dict[str, Any]:
    timeout = settings.network_timeout
    headers = {"User-Agent": IMPLEMENTATION_VERSION_NAME}
    authorization = find(settings, credentials).authorization_for(url)
    if authorization:
        headers["Authorization"] = authorization
    return {
        "base_url": url.rstrip("/"),
        "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECTING)),
        "headers": headers,
        "verify": client_context(settings, credentials) if url.startswith("https:") else True,
        # A research PACS is in the house: what the environment says of proxies is not for it.
        "trust_env": False,
    }
