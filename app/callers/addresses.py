"""The IP address of a caller: the peer of the socket, or the address that trusted proxies report.
Addresses of Redis: stores/connection/redis_url.py.
"""

import ipaddress
from collections.abc import Iterable

from app.setting_parsers import Networks

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def caller_address(peer: str | None, forwarded_for: str, trusted: Networks) -> Address | None:
    """Return the address of the caller.

    A trusted proxy appends the address of its own peer to X-Forwarded-For. So the rightmost address that is not a
    trusted proxy's is the caller's. Addresses to its left may be made up. If the peer is no trusted proxy, the header
    is not read.

    Args:
        peer: The peer of the socket; None or "" for a unix socket.
        forwarded_for: All X-Forwarded-For headers of the request, joined by commas.
    """
    address = _parse_address(peer or "")
    if address is None or not _is_in(address, trusted):
        return address
    nearest = address
    for hop in reversed(list(filter(None, map(str.strip, forwarded_for.split(","))))):
        forwarded = _parse_address(hop)
        if forwarded is None:  # a proxy that does not know whom it was asked by: what stands to the left may be made up
            return nearest
        if not _is_in(forwarded, trusted):
            return forwarded
        nearest = forwarded
    return address


def limit_key(address: Address | None) -> str:
    """Return the key under which rate limits count an address."""
    # An IPv6 customer usually has a whole /64, so its addresses count together.
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def limit_keys(addresses: Iterable[str | None]) -> set[str]:
    """Return the keys of addresses as a session's record has them. What is no address is passed over."""
    parsed = (_parse_address(address) for address in addresses if address)
    return {limit_key(address) for address in parsed if address}


def network_key(address: Address | None) -> str:
    """Return the network that an address belongs to: the /48 of IPv6, which a site usually has, or the /24 of IPv4."""
    if address is None:
        return str(address)
    prefix = 48 if isinstance(address, ipaddress.IPv6Address) else 24
    return str(ipaddress.ip_network((address, prefix), strict=False))


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _parse_address(text: str) -> Address | None:
    """Parse 192.0.2.1, 192.0.2.1:443, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:443. Return None for other text."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or _of_nat64(address) or address


def _of_nat64(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address in one of 64:ff9b::/96 (RFC 6052), so that clients behind one NAT64 do not all count as
    one."""
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
