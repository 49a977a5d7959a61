"""The service's own name, logo and colour: what they must be, and what the colour becomes on dark pages.

The sheet with the other colours: static/keyrack.css. The files: routes/brand.py.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from app.text import has_hidden

READABLE = 4.5  # WCAG 2.2, 1.4.3
_LARGEST_PICTURE = 256 * 1024

_LIGHT_GROUND = (0xF5, 0xF6, 0xF9)
_DARK_GROUND = (0x1B, 0x20, 0x2B)  # the lightest of a dark page
_WHITE = (255, 255, 255)

_Rgb = tuple[int, int, int]


def read_name(raw: str) -> str:
    """Return a name for people. Authenticator apps read a colon as its end."""
    if not 1 <= len(raw) <= 64 or ":" in raw or has_hidden(raw):
        raise ValueError("must be a name of 1 to 64 characters, without a colon and hidden characters")
    return raw


def file_stem(name: str) -> str:
    """Return how the names of files begin that people download from a service of this name: "keyrack"."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", ascii_only.lower()).strip("-") or "account"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that pages show.

    Attributes:
        kind: "png" or "svg".
    """

    content: bytes = field(repr=False)
    kind: str
    media_type: str

    @property
    def path(self) -> str:
        """Return its path on the site."""
        return f"/keyrack/logo.{self.kind}"


def read_picture(raw: str) -> Picture:
    """Return the content of a picture that browsers show. SVG must be XML as a whole, as browsers want it."""
    try:
        with Path(raw).open("rb") as file:
            content = file.read(_LARGEST_PICTURE + 1)
    except (OSError, ValueError):  # ValueError: a NUL in it
        raise ValueError("must be the path of a file that can be read") from None
    if len(content) > _LARGEST_PICTURE:
        raise ValueError(f"must be a file of {_LARGEST_PICTURE // 1024} KiB at most: every visitor loads it")
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture(content, "png", "image/png")
    try:
        tag = ElementTree.fromstring(content).tag  # noqa: S314 - the operator's own file
        is_svg = tag == "{http://www.w3.org/2000/svg}svg"
    except (ElementTree.ParseError, LookupError, ValueError):  # the last two: an encoding that it does not know
        is_svg = False
    if not is_svg:
        raise ValueError("must be a PNG, or an SVG that is a file of its own, with its xmlns")
    return Picture(content, "svg", "image/svg+xml")


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour with its shades, each as CSS writes it. White can be read on `light`, black on `dark`.

    Attributes:
        light: On light pages, and the buttons of mails.
        light_soft: Behind icons, and notices with their links.
    """

    light: str
    light_soft: str
    dark: str
    dark_soft: str


def read_colour(raw: str) -> Colour:
    """Return a colour with its shades. ValueError says what it must be."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", raw):
        raise ValueError("must be a colour as CSS writes it, with six digits, as in #3450cf")
    own = int(raw[1:3], 16), int(raw[3:5], 16), int(raw[5:7], 16)
    found = contrast(own, _LIGHT_GROUND)
    if found < READABLE:
        raise ValueError(
            f"is too light: its contrast with light pages is {found:.1f} to 1, and {READABLE} is needed for people to "
            "read links and buttons; a darker shade will do"
        )
    shades = (_mix(own, _WHITE, percent) for percent in range(0, 101, 2))
    dark = next(shade for shade in shades if contrast(shade, _mix(_DARK_GROUND, shade, 15)) >= READABLE)
    tints = (_mix(_WHITE, own, percent) for percent in range(10, -1, -1))
    light_soft = next(tint for tint in tints if contrast(own, tint) >= READABLE)
    return Colour(_written(own), _written(light_soft), _written(dark), _written(_mix(_DARK_GROUND, dark, 15)))


def contrast(one: _Rgb, other: _Rgb) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: _Rgb) -> float:
    parts = (part / 255 for part in colour)
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mix(one: _Rgb, other: _Rgb, percent: int) -> _Rgb:
    """Return a colour with so many percent of another."""
    red, green, blue = (round(a + (b - a) * percent / 100) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _written(colour: _Rgb) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
