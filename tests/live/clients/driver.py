"""What the drivers share. Each drives one client in an environment of its own, in a process that is watched.

A driver reads its task from standard input and writes what worked, as JSON, as its last line.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import certifi

TASK: dict[str, Any] = json.load(sys.stdin)
PROXY: str = TASK["proxy"]
API = "https://discord.com/api/v9"
METHOD, REQUEST = "yes", "by request"  # the client has a method, or only a function that sends any request

_worked: dict[str, str] = {}
_left: list[str] = []


def _stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to look up or to connect to anything but loopback."""
    host = None
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    if host not in (None, "127.0.0.1", b"127.0.0.1"):
        _left.append(f"{event} {host}")
        raise OSError(f"{host} is not on this machine")


sys.addaudithook(_stay_here)
sys.modules["uvloop"] = SimpleNamespace(install=lambda: None)  # it connects past that hook
certifi.where = lambda: TASK["ca"]  # the outside on loopback has certificates of the tests' own


@contextmanager
def does(feature: str, how: str = METHOD) -> Iterator[None]:
    """Note how the client does a thing, or why it does not."""
    try:
        yield
    except AssertionError as problem:
        _worked[feature] = f"no: {problem}"
    except Exception as problem:  # whatever a client trips over is told
        _worked[feature] = f"no: {type(problem).__name__} {problem}"
    else:
        _worked[feature] = how


def cannot(*features: str) -> None:
    """Note what the client has no method for, and no sense in requests by hand."""
    _worked.update(dict.fromkeys(features, "–"))


def code(secret: str, steps: int = 0) -> str:
    """Return the TOTP code of now, or of some steps later (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    digest = hmac.digest(base64.b32decode(secret), counter, hashlib.sha1)
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def tell() -> None:
    print(json.dumps({"worked": _worked, "left": _left}))
