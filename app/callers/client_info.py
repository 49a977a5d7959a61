"""The client of a request: system, program, place and address. A bad header counts as absent.
Names of devices: rules/device_names.py.
"""

import base64
import binascii
from functools import cache
from typing import Any

import orjson
from ua_parser import Domain, Parser, load_lazy_builtins

from app.callers.addresses import Address
from app.callers.location import Locations
from app.stores.session_records import Client
from app.text import clean

_MAX_PROPERTIES = 8 * 1024
_MAX_USER_AGENT = 512


def read_client(properties: str, user_agent: str, address: Address | None, locations: Locations) -> Client:
    """Describe the client of a request.

    Args:
        properties: X-Super-Properties, the base64 of a JSON object. `os`, `browser` and `device` are read.
        user_agent: User-Agent. It fills in what the properties leave out.
    """
    fields = _read_properties(properties)
    os, platform = clean(fields.get("os")), clean(fields.get("browser"))
    if os is None or platform is None:
        parsed_os, parsed_platform = _parse_user_agent(user_agent)
        os, platform = os or parsed_os, platform or parsed_platform
    place = locations.locate(address)
    return Client(
        os=os,
        platform=platform,
        location=place.text if place else None,
        place=place,
        ip=None if address is None else str(address),
        form="tablet" if _is_tablet(fields.get("device"), user_agent[:_MAX_USER_AGENT]) else None,
    )


def _read_properties(header: str) -> dict[str, Any]:
    if len(header) > _MAX_PROPERTIES:
        return {}
    try:
        properties = orjson.loads(base64.b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return properties if isinstance(properties, dict) else {}


def _parse_user_agent(header: str) -> tuple[str | None, str | None]:
    """Return the names of the system and the program; None for each that is unknown."""
    parsed = _parser()(header[:_MAX_USER_AGENT], Domain.USER_AGENT | Domain.OS)
    os = parsed.os.family if parsed.os else None
    platform = parsed.user_agent.family if parsed.user_agent else None
    return clean(os), clean(platform)


@cache
def _parser() -> Parser:
    """Return a parser of user agents.

    The patterns for device models are left out: they are not needed, and take longest to compile.
    """
    programs, systems, _ = load_lazy_builtins()
    return Parser.from_matchers((programs, systems, []))


def _is_tablet(device: Any, user_agent: str) -> bool:
    # An iPad names itself. Browsers on Android say "Mobile" only on phones. Other programs on Android never say it.
    if isinstance(device, str) and device.startswith("iPad"):
        return True
    is_browser_on_android = user_agent.startswith("Mozilla/") and "Android" in user_agent
    return "iPad" in user_agent or (is_browser_on_android and "Mobile" not in user_agent)
