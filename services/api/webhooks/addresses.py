"""Which addresses webhooks may lie at: whoever enters one has Sluse send requests."""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from shared.settings import Settings

Address = IPv4Address | IPv6Address
_MOST = 4  # addresses of one host that are tried


class AddressError(Exception):
    """A webhook must not lie there; the text says why."""


def check(url: str, settings: Settings, *, of_project: bool) -> None:
    """Look at an address as it is written; what its name stands for is known when it is called.

    Raises
    ------
    AddressError
        It can be told already that nothing would be sent there.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if settings.webhook_hosts and host not in settings.webhook_hosts:
        raise AddressError("Webhooks may not lie on this host: see SLUSE_WEBHOOK_HOSTS.")
    try:
        written = [ip_address(host)]
    except ValueError:
        return
    _require(written, parts.scheme, _own_machine(settings, host, of_project=of_project))


async def resolve(url: str, settings: Settings, *, of_project: bool) -> list[str]:
    """The network addresses to call for an address, all of which may be called.

    Raises
    ------
    AddressError
        One of them may not, or there is none.
    """
    check(url, settings, of_project=of_project)
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressError("The host name is not known.") from None
    # Link-local addresses have a zone.
    addresses = {ip_address(str(one[4][0]).partition("%")[0]): None for one in found}
    _require(addresses, parts.scheme, _own_machine(settings, host, of_project=of_project))
    return [str(one) for one in addresses][:_MOST]


def _own_machine(settings: Settings, host: str, *, of_project: bool) -> bool:
    """Whether a webhook may lie on Sluse's own machine, whose doors may be open to it alone."""
    return not of_project or host in settings.webhook_hosts


def _require(addresses: Iterable[Address], scheme: str, own_machine: bool) -> None:
    for one in addresses:
        address = getattr(one, "ipv4_mapped", None) or one
        # Link-local: where machines in a cloud learn their secrets.
        if (
            address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or (address.is_reserved and not address.is_loopback)
        ):
            raise AddressError("Webhooks may not lie at such an address.")
        if address.is_loopback and not own_machine:
            raise AddressError(
                "A project's webhook may not lie on Sluse's own machine: see SLUSE_WEBHOOK_HOSTS."
            )
        if scheme != "https" and not address.is_private:
            raise AddressError("Outside of the hospital's own networks webhooks need https.")
