"""The name of a device in English, for the API and operators, and its kind.

What things are called: device_table.py. How a client is read from a request: callers/client_info.py. Names in the
language of a page or mail, and why a session ended: languages/words.py.
"""

import re
from typing import Literal, NamedTuple, cast, get_args

from app.rules import device_table
from app.rules.device_table import DeviceKind, System
from app.stores.session_records import Client, Session

_UNKNOWN = "Unknown device"
_NO_SYSTEM = System(None, "unknown")
_VERSION = re.compile(r" [0-9]{1,2}(\.[0-9]{1,2})?\Z")  # as in "Windows 8.1"
_VERSIONED = {"Windows", "macOS", "Android"}  # systems whose version is shown, if a client tells it

_ONE_OF_MANY = {thing.name for thing in (*device_table.THINGS, device_table.FIRE_TABLET) if thing.is_one_of_many}
_THINGS = {thing.name for thing in (*device_table.THINGS, device_table.FIRE_TV)} - _ONE_OF_MANY | {"iPhone", "iPad"}
_PROGRAMS = (
    device_table.COMMON_PROGRAMS | set(device_table.CALLED.values()) | {name for _, name in device_table.PROGRAMS}
) - {""}
_SYSTEMS = {system.name for system in device_table.SYSTEMS.values()}
_BROWSERS_OF_ALL_CONSOLES = {"Safari", "NetFront", "NetFront NX"}

# How a device is put after "on": "on Windows", "on iPhone", "on a Pixel 8"
Grammar = Literal["system", "thing", "one of many"]


class Parts(NamedTuple):
    """The names that people know of a program and of what it runs on. None stands for unknown."""

    program: str | None
    device: str | None
    grammar: Grammar = "system"


def name_of(session: Session) -> str:
    """Return the name that a user gave to a session, else `made_up_name`."""
    return session.name or made_up_name(session.client)


def made_up_name(client: Client) -> str:
    """Return a name such as "Firefox on Linux", "Safari on iPhone", "Chrome on a Pixel 8" or "curl"."""
    program, device, grammar = parts_of(client)
    if program is None or device is None:
        return program or device or _UNKNOWN
    return f"{program} on a {device}" if grammar == "one of many" else f"{program} on {device}"


def parts_of(client: Client) -> Parts:
    """Return the names of program and device as people know them."""
    program = client.program or called(client.platform)
    if program in _BROWSERS_OF_ALL_CONSOLES and kind_of(client) == "console":
        program = None
    if client.device:
        return Parts(program, client.device, _grammar_of(client.device))
    system = system_of(client.os or _console_of(client))
    if system.name == "iOS":
        return Parts(program, "iPad" if kind_of(client) == "tablet" else "iPhone", "thing")
    return Parts(program, system.name, "thing" if system.is_thing else "system")


def kind_of(client: Client) -> DeviceKind:
    program = client.program or called(client.platform)
    if is_library(program):
        return "program"
    if client.form in get_args(DeviceKind):
        return cast(DeviceKind, client.form)
    kind = system_of(client.os).kind
    if kind != "desktop" and client.platform in device_table.KIND_OF_CLIENT:
        return device_table.KIND_OF_CLIENT[client.platform]
    return "browser" if kind == "unknown" and client.os is None and program else kind


def called(platform: str | None) -> str | None:
    """Return what people call a program that ua-parser or a client names; None for what is none."""
    return device_table.CALLED.get(platform, platform) or None if platform else None


def system_of(os: str | None) -> System:
    """Return the system that ua-parser or a client names. One that nobody knows keeps its name."""
    if not os:
        return _NO_SYSTEM
    version = _VERSION.search(os)
    found = device_table.SYSTEMS.get((os[: version.start()] if version else os).lower())
    if found is None:
        return System(os, "unknown")
    return found._replace(name=f"{found.name}{version[0]}") if version and found.name in _VERSIONED else found


def is_library(program: str | None) -> bool:
    """Return whether a program is no device: a library for HTTP, or a bot."""
    return program is not None and bool(device_table.LIBRARY.fullmatch(program) or device_table.BOT.search(program))


def model_in(text: object) -> str | None:
    """Return the model that a client says, if people know it by that name."""
    return text if isinstance(text, str) and device_table.MODEL.fullmatch(text) else None


def only_listed(client: Client) -> Client:
    """Return a client without the names that are on no list of ours, for mails: see mail/letters.py."""
    program = client.program or called(client.platform)
    is_listed = program in _PROGRAMS or bool(device_table.LIBRARY.fullmatch(program or ""))
    has_listed_device = client.device in _THINGS | _ONE_OF_MANY | _SYSTEMS or model_in(client.device)
    return Client(
        os=client.os if system_of(client.os).kind != "unknown" else None,
        platform=client.platform if is_listed else None,
        program=client.program if is_listed else None,
        device=client.device if has_listed_device else None,
        form=client.form,
        location=client.location,
        ip=client.ip,
    )


def _console_of(client: Client) -> str | None:
    """Return the console whose name some clients of Discord send as that of the program."""
    return client.platform if (client.platform or "").lower() in device_table.SYSTEMS else None


def _grammar_of(device: str) -> Grammar:
    if device in _ONE_OF_MANY or model_in(device):
        return "one of many"
    return "thing" if device in _THINGS else "system"
