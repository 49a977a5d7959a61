"""What a user agent says of its device. `ua-parser` reads it, and rules/device_table.py mends what that says."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from ua_parser import Domain, Parser, load_lazy_builtins

from app.rules import device_table
from app.rules.device_names import is_library, system_of
from app.rules.device_table import DeviceKind
from app.text import clean

_MOST_KEPT = 2048  # user agents of at most 512 characters: about 2 MiB in each process

_IPAD_AS_A_MAC = re.compile(r"\(Macintosh;.*(?:CriOS|FxiOS|EdgiOS|OPT|OPX|GSA)/")
_FIRST_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9._+-]{1,31})(?:/v?\d|\Z)")


@dataclass(frozen=True, slots=True)
class Described:
    """What a user agent says. None stands for unknown.

    Attributes:
        os, platform: The names of ua-parser, as clients of the API see them.
        program: What people call the program, if `platform` does not lead to it.
        device: What people call the device, if `os` and `form` do not lead to it.
        form: The kind of device, if `os` does not lead to it.
    """

    os: str | None = None
    platform: str | None = None
    program: str | None = None
    device: str | None = None
    form: DeviceKind | None = None


@lru_cache(maxsize=_MOST_KEPT)
def describe(user_agent: str) -> Described:
    """Describe the device of a user agent."""
    parsed = _parser()(user_agent, Domain.USER_AGENT | Domain.OS)
    os = clean(parsed.os.family) if parsed.os else None
    platform = clean(parsed.user_agent.family) if parsed.user_agent else None
    program = _program_of(user_agent, os, platform)
    thing = _thing_of(user_agent)
    form = thing.kind if thing else _form_of(user_agent, os, program or platform)
    device = thing.name if thing else None
    if form == "tablet" and os == "Mac OS X":
        device = "iPad"
    elif device is None and (model := device_table.MODEL_SENT.search(user_agent)):
        device = model[1]
    elif device is None and "OpenHarmony" in user_agent:
        device = "HarmonyOS"
    return Described(os, platform, program, device, None if form == system_of(os).kind else form)


@cache
def _parser() -> Parser:
    """Return a parser of user agents.

    The patterns for device models are left out: they are not needed, and take longest to compile.
    """
    programs, systems, _ = load_lazy_builtins()
    return Parser.from_matchers((programs, systems, []))


def _program_of(user_agent: str, os: str | None, platform: str | None) -> str | None:
    for token, name in device_table.PROGRAMS:
        if token in user_agent:
            return name
    if platform == "Apple Mail" and user_agent.startswith("Mozilla/"):
        return "Safari"  # a web view in any program
    if platform is None and os is None and (product := _FIRST_PRODUCT.match(user_agent)):
        is_named = product[0] != product[1] or is_library(product[1])
        return product[1] if is_named and product[1] not in ("Mozilla", "Opera") else None
    return None


def _thing_of(user_agent: str) -> device_table.Thing | None:
    for thing in device_table.THINGS:
        if thing.token in user_agent:
            return thing
    if amazon := device_table.AMAZON.search(user_agent):
        return device_table.FIRE_TV if amazon[1] else device_table.FIRE_TABLET
    return None


def _form_of(user_agent: str, os: str | None, program: str | None) -> DeviceKind | None:
    if _IPAD_AS_A_MAC.search(user_agent):
        return "tablet"
    if os == "Android":
        # Browsers say "Mobile" only on phones. Other programs never say it.
        is_tablet = user_agent.startswith("Mozilla/") and "Mobile" not in user_agent
        return "tablet" if is_tablet else None
    is_browser = user_agent.startswith(("Mozilla/", "Opera/"))
    return "program" if os is None and program and not is_browser else None
