"""The place of an IP address, from a local file. No address ever leaves the machine."""

import ipaddress
import logging
import re
from pathlib import Path
from typing import Any

import maxminddb

from app.callers.addresses import Address
from app.stores.session_records import Place
from app.text import clean

log = logging.getLogger(__name__)

# ipaddress' is_private is not used. It includes the documentation ranges, which demonstrations locate.
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
]


class Locations:
    """Places of addresses, from a City database in MaxMind's format. Without a database every place is unknown."""

    def __init__(self, database: Path | None) -> None:
        self._reader = None
        # The file was a database when the settings were read. If it is damaged now, the service goes on without places.
        try:
            self._reader = maxminddb.open_database(database) if database else None
        except (maxminddb.InvalidDatabaseError, OSError):
            log.error("GEOIP_DATABASE cannot be read, and no location is known; reload when it is whole")

    def locate(self, address: Address | None) -> Place | None:
        """Return the place of an address, with names in English; None if it is private, or if nothing is known."""
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
        place = Place(
            country_code=_iso_code(record.get("country")),
            country=_english_name(record.get("country")),
            region=_english_name(state),
            city=_english_name(record.get("city")),
        )
        return None if place == Place() else place


def is_private(address: Address) -> bool:
    """Tell whether an address is in a network that cannot be reached from outside."""
    return any(address in network for network in _PRIVATE)


def _iso_code(country: Any) -> str | None:
    code = country.get("iso_code") if isinstance(country, dict) else None
    return code if isinstance(code, str) and re.fullmatch("[A-Z]{2}", code) else None


def _english_name(place: Any) -> str | None:
    # Databases of other makers may have something else instead of a name.
    names = place.get("names") if isinstance(place, dict) else None
    name = names.get("en") if isinstance(names, dict) else None
    return clean(name)
