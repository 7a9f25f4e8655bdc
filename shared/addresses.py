"""Networks as people enter them: `10.1.2.3`, `10.1.2.0/24`, `fd00::/8`; empty for any."""

from ipaddress import ip_address, ip_network


def covers(network: str, address: str) -> bool:
    """Whether an address is in a network."""
    if not network:
        return True
    try:
        # `in` is False for addresses of the other kind; link-local ones have a zone.
        return ip_address(address.partition("%")[0]) in ip_network(network, strict=False)
    except ValueError:
        return False
