"""Posts one event to one webhook."""

import asyncio
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import httpx

from services.api.webhooks.addresses import AddressError, resolve
from services.api.webhooks.queue import Due, Hook
from services.api.webhooks.signing import signature
from shared.identity import IMPLEMENTATION_VERSION_NAME, MasterKey, MasterKeyError
from shared.settings import Settings

TIMEOUT = 10.0  # seconds for all of it


class Posted(NamedTuple):
    """What came of it."""

    taken: bool
    status: int | None
    detail: str
    """Why it was not taken, without what the other side has said."""


async def post(settings: Settings, master_key: MasterKey, hook: Hook, one: Due) -> Posted:
    """Send an event; never raises for what the other side does."""
    try:
        secret = master_key.decrypt(hook.secret).decode()
        async with asyncio.timeout(TIMEOUT):
            status = await _post(settings, secret, hook, one)
    except MasterKeyError:
        return Posted(False, None, "The secret was encrypted under another master key.")
    except AddressError as error:
        return Posted(False, None, str(error))
    except TimeoutError:
        return Posted(False, None, "It did not answer in time.")
    # ValueError: a certificate's host name that is none, or an address.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        kind = type(error).__name__
        return Posted(False, None, f"It could not be reached ({kind}).")
    if 200 <= status < 300:
        return Posted(True, status, "")
    return Posted(False, status, f"It answered with {status}.")


async def _post(settings: Settings, secret: str, hook: Hook, one: Due) -> int:
    """The status of the answer; nothing else of it is read."""
    addresses = await resolve(hook.url, settings, of_project=hook.project_id is not None)
    url, body = httpx.URL(hook.url), one.body.encode()
    headers = {
        "Content-Type": "application/json",
        "Host": url.netloc.decode(),
        "User-Agent": IMPLEMENTATION_VERSION_NAME,
        "Sluse-Event": one.event,
        "Sluse-Delivery": str(one.id),
        "Sluse-Signature": signature(secret, int(time.time()), body),
    }
    # The address that was looked at is the one that is called: a name may stand for another one
    # a moment later. So connections are not kept either: they are known by address, not by name.
    async with httpx.AsyncClient(
        verify=_context(settings.webhook_ca),
        timeout=TIMEOUT,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        follow_redirects=False,
    ) as client:
        for last, address in _with_last(addresses):
            try:
                async with client.stream(
                    "POST",
                    url.copy_with(host=address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": url.raw_host.decode()},
                ) as answer:
                    return answer.status_code
            except httpx.ConnectError:
                if last:
                    raise
    raise AddressError("The host name is not known.")


def _with_last(addresses: list[str]) -> list[tuple[bool, str]]:
    return [(place == len(addresses), one) for place, one in enumerate(addresses, start=1)]


@lru_cache(maxsize=1)
def _context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context
