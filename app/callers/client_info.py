"""The client of a request: system, program, place and address. A bad header counts as absent.
User agents: user_agents.py. Names of devices:
rules/device_names.py.
"""

import base64
import binascii
from dataclasses import replace
from typing import Any

import orjson

from app.callers.addresses import Address
from app.callers.location import Locations
from app.callers.user_agents import describe
from app.rules.device_names import model_in, system_of
from app.rules.device_table import DeviceKind
from app.stores.session_records import Client
from app.text import clean

_MAX_PROPERTIES = 8 * 1024
_MAX_USER_AGENT = 512
_SEEN_BETTER = (None, "Electron", "Chrome", "Unknown")  # `browser` of properties, where the user agent may say more


def read_client(properties: str, user_agent: str, address: Address | None, locations: Locations) -> Client:
    """Describe the client of a request.

    Args:
        properties: X-Super-Properties, the base64 of a JSON object. `os`, `browser` and `device` are read.
        user_agent: User-Agent. It fills in what the properties leave out.
    """
    fields = _read_properties(properties)
    told_os, told_platform = clean(fields.get("os")), clean(fields.get("browser"))
    seen = describe(user_agent[:_MAX_USER_AGENT])
    if told_os and system_of(told_os).name != system_of(seen.os).name:  # of the device, the properties are believed
        seen = replace(seen, device=None, form=None)
    device, form = _device_told(fields.get("device"))
    place = locations.locate(address)
    return Client(
        os=told_os or seen.os,
        platform=told_platform or seen.platform,
        location=place.text if place else None,
        place=place,
        ip=None if address is None else str(address),
        program=seen.program if told_platform in _SEEN_BETTER or seen.program == "Discord" else None,
        device=device or seen.device,
        form=form or seen.form,
        told=True if told_os or told_platform else None,
    )


def _read_properties(header: str) -> dict[str, Any]:
    if not header or len(header) > _MAX_PROPERTIES:
        return {}
    try:
        properties = orjson.loads(base64.b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return properties if isinstance(properties, dict) else {}


def _device_told(device: Any) -> tuple[str | None, DeviceKind | None]:
    """Return the model and kind of the device that properties name."""
    is_ipad = isinstance(device, str) and device.startswith("iPad")
    return model_in(device), "tablet" if is_ipad else None
