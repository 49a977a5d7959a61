"""Whose address a request counts for: the socket's peer, or what trusted proxies say of it."""

import ipaddress

from app.config import Networks

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def caller_address(peer: str | None, forwarded_for: str, trusted: Networks) -> Address | None:
    """The rightmost address that no trusted proxy has, read only where the peer itself is one.

    peer           as the socket has it; None or "" for a unix socket
    forwarded_for  all X-Forwarded-For of the request, joined by commas
    Source         contract.md, "Client info"
    """
    address = _read(peer or "")
    if address is None or not _is_in(address, trusted):
        return address
    for hop in reversed(forwarded_for.split(",")):
        forwarded = _read(hop)
        if forwarded is not None and not _is_in(forwarded, trusted):
            return forwarded
    return address


def limit_key(address: Address | None) -> str:
    """What rate limits count an address by: an IPv6 customer has a /64, so all of it counts as one."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _read(text: str) -> Address | None:
    """Read 192.0.2.1, 192.0.2.1:443, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:443; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
