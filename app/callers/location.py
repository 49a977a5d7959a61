"""The place of an address, from a local file: no address ever leaves the machine."""

import ipaddress
import logging
from pathlib import Path
from typing import Any

import maxminddb

from app.callers.addresses import Address

log = logging.getLogger(__name__)

# Not ipaddress' is_private: that counts the documentation ranges in, which demonstrations locate.
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
]


class Locations:
    """Looks addresses up in a MaxMind-format City database; without one every place is unknown."""

    def __init__(self, database: Path | None) -> None:
        """A file that is no database now, though it was when the settings were read, is as if there were none."""
        self._reader = None
        try:
            self._reader = maxminddb.open_database(database) if database else None
        except (maxminddb.InvalidDatabaseError, OSError):
            log.error("GEOIP_DATABASE cannot be read, and no location is known; reload when it is whole")

    def of(self, address: Address | None) -> str | None:
        """ "City, State, Country" in English, unknown parts left out; None where all are, or the address is private."""
        if self._reader is None or address is None or is_private(address):
            return None
        try:
            record = self._reader.get(address)
        except (maxminddb.InvalidDatabaseError, ValueError):  # a damaged file, an IPv6 address in an IPv4 file
            log.warning("the location database could not be read")
            return None
        if not isinstance(record, dict):
            return None
        subdivisions = record.get("subdivisions")
        state = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
        parts = (_name(record.get("city")), _name(state), _name(record.get("country")))
        return ", ".join(part for part in parts if part) or None


def is_private(address: Address) -> bool:
    """Whether an address is of a network that nobody outside can reach."""
    return any(address in network for network in _PRIVATE)


def _name(place: Any) -> str | None:
    """In English; None where a database of another make has something else in the name's place."""
    names = place.get("names") if isinstance(place, dict) else None
    name = names.get("en") if isinstance(names, dict) else None
    return name if isinstance(name, str) else None
