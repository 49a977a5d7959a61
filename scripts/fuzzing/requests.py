"""Requests as raw bytes: well-formed ones for every route, and mutations of them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from fakeredis import FakeRedis
from flask import Flask

from app import create_app
from app.config import load_settings
from app.wire.fields import WireSchema
from app.wire.gateway import IntrospectSchema
from scripts.fuzzing.service import GATEWAY_SECRET, PASSWORD, Account
from tests.conftest import ENVIRONMENT

CRLF = b"\r\n"
# fmt: off
_METHODS = [
    b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"P", b"\xff",
]
_CONTROLS = bytes([*range(32), 127])  # gunicorn refuses a header that has one of them
_ODD_TEXTS = [
    "", " ", "\0", "\x7f", "\u202e", "\u2028", "\ufeff", "\u0130", "\u00df", "\U0001f600", "\u0300" * 40, "a\u0301",
    "../..", "%00", "%", "%zz", "//evil.example", "/\\evil.example", "http://evil.example/", "javascript:alert(1)",
    "{}", "[]", "null", "true", "NaN", "-0", "1e999", "0x10", "'", '"', "<script>", "${7*7}", "{{7*7}}", "\r\nX: y",
    "a@b", "a@b.c", '"a b"@example.com', "a@[127.0.0.1]", "ä@ä.example", "x" * 300 + "@example.com", "A" * 43 + "=",
]
_LONG_UNITS = [
    "a", "a.", "\u0315\u0300", "(", "\u0130", "0", " ", "=", "%41", "a,", ";", "é", "\U0001f600", "[", '{"a":',
]
_HOPS = ["203.0.113.7", "10.0.0.1:443", "[2001:db8::1]:80", "::ffff:127.0.0.1", "fe80::1%eth0", "unknown", "", "["]
_USER_AGENTS = [b"curl/8", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0", b"(" * 500, b"Mozilla/5.0 " * 40]
# fmt: on


@dataclass(frozen=True)
class Request:
    """The bytes of a request, and what they were made of.

    Attributes:
        path: The path before any mutation.
        mutated: The bytes were changed, so that the real method and path are not known.
        stays_open: The sender leaves its half of the connection open and sends no more.
    """

    raw: bytes
    method: bytes
    path: bytes
    mutated: bool
    stays_open: bool


def application() -> Flask:
    """Make the service as the one under test has it, to look at its routes."""
    return create_app(load_settings(ENVIRONMENT | {"GATEWAY_SECRET": GATEWAY_SECRET}), FakeRedis())


def routes() -> list[tuple[str, str]]:
    """Return the method and path of every route, also of /gateway/verify, which is served without Flask."""
    found = [
        (method, rule.rule.replace("<any_text:session_id>", "{id}").replace("<path:filename>", "keyrack.css"))
        for rule in application().url_map.iter_rules()
        for method in sorted(rule.methods or ())
    ]
    return [*found, *((method, "/gateway/verify") for method in ("GET", "POST", "HEAD", "PATCH"))]


def bodies() -> list[list[str]]:
    """Return the names of the fields, for each body that the service reads."""
    return [list(kind().fields) for kind in (*WireSchema.__subclasses__(), IntrospectSchema)]


class Maker:
    """A maker of random requests, with the secrets of an account in them."""

    def __init__(self, random: Random, known_routes: list[tuple[str, str]], known_bodies: list[list[str]]) -> None:
        self._random = random
        self._routes = known_routes
        self._bodies = known_bodies

    def make(self, account: Account) -> Request:
        r = self._random
        method, rule = r.choice(self._routes)
        path = rule.replace("{id}", r.choice([account.id_hash.rstrip("="), self._text(account)]))
        target = quote_from_bytes(path.encode(), safe="/@{}") if self._chance(95) else path.replace(" ", "")
        if self._chance(30):
            target += "?" + self._query(account)
        verb = method.encode() if self._chance(90) else r.choice(_METHODS)
        headers = self._headers(account)
        body, described = self._body(account) if method in ("POST", "PATCH", "PUT") or self._chance(10) else (b"", [])
        first = verb + b" " + target.encode("utf-8", "replace") + b" HTTP/1." + (b"1" if self._chance(97) else b"0")
        lines = [first, *(name + b": " + value for name, value in [*headers, *described])]
        raw = CRLF.join([*lines, b"", b""]) + body
        plain = target.partition("?")[0].encode()
        if mutated := self._chance(30):
            raw = self._mutate(raw)
        if self._chance(3):  # two requests in one packet, the second may be cut short
            raw, mutated = raw + raw[: r.randrange(len(raw) + 1)], True
        return Request(raw, verb, plain, mutated, stays_open=self._chance_in_thousand(1))

    # Headers

    def _headers(self, account: Account) -> list[tuple[bytes, bytes]]:
        r = self._random
        made: list[tuple[bytes, bytes]] = [(b"Host", b"localhost" if self._chance(95) else self._bytes(account))]
        if self._chance(85):
            made.append(self._credential(account))
        for _ in range(r.choice([0, 0, 1, 1, 2, 3, 6])):
            name, value = r.choice(_HEADERS)(self, account)
            made.append((name, value if self._chance(80) else self._bytes(account)))
        r.shuffle(made)
        return made

    def _credential(self, account: Account) -> tuple[bytes, bytes]:
        token = account.token if self._chance(80) else self._text(account)
        if self._chance(15):
            token = self._mutate(token.encode()).decode("latin-1")
        form = self._random.choice(["header", "header", "bearer", "cookie", "cookie", "gateway"])
        if form == "cookie":
            proof = f"; __Secure-recent_mfa={self._random.choice(account.secrets)}" if self._chance(50) else ""
            return b"Cookie", f"__Host-session={token}{proof}".encode("utf-8", "replace").translate(None, _CONTROLS)
        value = {"header": token, "bearer": f"Bearer {token}", "gateway": f"Bearer {GATEWAY_SECRET}"}[form]
        return b"Authorization", value.encode("utf-8", "replace").translate(None, _CONTROLS)

    def properties(self, account: Account) -> bytes:
        properties = {"os": self._value(account), "browser": self._value(account), "device": self._value(account)}
        return base64.b64encode(json.dumps(properties).encode())

    def proof(self, account: Account) -> bytes:
        return self._random.choice(account.secrets).encode()

    def cookies(self, account: Account) -> bytes:
        names = ["__Host-session", "__Secure-recent_mfa", "session", "a b", ""]
        pairs = (f"{self._random.choice(names)}={self._text(account)}" for _ in range(self._random.randrange(1, 9)))
        return self._random.choice(["; ", ";", ",", ";;"]).join(pairs).encode("utf-8", "replace")

    def hops(self, _: Account) -> bytes:
        return ", ".join(self._random.choice(_HOPS) for _ in range(self._random.randrange(1, 30))).encode()

    def number(self, _: Account) -> bytes:
        return str(self._random.choice([0, 1, 5, -1, 2**31, 2**63, 10**30, "1e3", "0x5", "5,5", "+5", "٥"])).encode()

    def _bytes(self, account: Account) -> bytes:
        """A header's value that is none, but for the line end, which would end it."""
        raw = self._random.choice([self._text(account).encode("utf-8", "replace"), self._random.randbytes(40)])
        return raw.translate(None, _CONTROLS) if self._chance(95) else raw

    # Bodies

    def _body(self, account: Account) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Return a body and the headers that describe it. Now and then they are wrong."""
        form = self._random.choice(["json"] * 6 + ["form"] * 4 + ["multipart", "raw"])
        raw, content_type = getattr(self, f"_{form}")(account)
        if self._chance(10):
            raw = self._mutate(raw)
        if self._chance(8):
            content_type = self._random.choice(_CONTENT_TYPES)
        described = [(b"Content-Type", content_type)]
        if self._chance(20):
            return self._chunked(raw), [*described, (b"Transfer-Encoding", b"chunked")]
        length = len(raw) if self._chance(95) else max(0, len(raw) + self._random.choice([-3, -1, 1, 5, 70_000]))
        return raw, [*described, (b"Content-Length", b"%d" % length)]

    def _json(self, account: Account) -> tuple[bytes, bytes]:
        value = self._fields(account) if self._chance(90) else self._value(account, depth=4)
        raw = json.dumps(value, ensure_ascii=self._chance(50)).encode("utf-8", "surrogatepass")
        return raw, b"application/json"

    def _form(self, account: Account) -> tuple[bytes, bytes]:
        names = ["answer", "session", "one", "all", "none", "next", "done", "csrf"]
        fields = {name: self._text(account) for name in self._random.sample(names, self._random.randrange(4))}
        fields |= {name: str(value) for name, value in self._fields(account).items()}
        return urlencode(fields, errors="replace").encode(), b"application/x-www-form-urlencoded"

    def _multipart(self, account: Account) -> tuple[bytes, bytes]:
        parts = (
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self._fields(account).items()
        )
        return ("".join(parts) + "--x--\r\n").encode("utf-8", "replace"), b"multipart/form-data; boundary=x"

    def _raw(self, account: Account) -> tuple[bytes, bytes]:
        kinds = [b"", b"{", b"\xff\xfe{}", b"[" * 5000, b" " * 65_537, self._text(account).encode("utf-8", "replace")]
        return self._random.choice(kinds), b"application/json"

    def _chunked(self, raw: bytes) -> bytes:
        r = self._random
        made, at = b"", 0
        while at < len(raw):
            piece = raw[at : at + r.choice([1, 7, 100, 8192])]
            at += len(piece)
            size = b"%x" % len(piece) if self._chance(99) else r.choice([b"", b"zz", b"-1", b"ffffffffffffffff", b"0"])
            made += size + (b";a=b" if self._chance(3) else b"") + CRLF + piece + CRLF
        end = r.choice([b"0\r\n\r\n"] * 8 + [b"0\r\nX-Trailer: a\r\n\r\n", b"", b"0\r\n"])
        return made + end

    def _fields(self, account: Account) -> dict[str, Any]:
        """Return the fields of one of the bodies. Each is right, odd or missing."""
        names = self._random.choice(self._bodies)
        right = self._right(account)
        return {
            name: right.get(name, "x") if self._chance(70) else self._value(account)
            for name in names
            if self._chance(93)
        }

    def _right(self, account: Account) -> dict[str, Any]:
        secret = self._random.choice(account.secrets)
        hashes = [account.id_hash if self._chance(30) else "A" * 43 + "="]
        return {
            "login": account.email,
            "email": account.email,
            "password": PASSWORD,
            "new_password": PASSWORD,
            "username": "somebody",
            "global_name": "Somebody",
            "ticket": secret,
            "token": secret,
            "code": secret,
            "data": PASSWORD,
            "mfa_type": self._random.choice(["password", "totp", "backup"]),
            "method": "totp",
            "session_id_hashes": hashes,
            "ids": hashes,
            "name": "Kitchen",
            "secret": "GEZDGNBVGY3TQOJQ" * 2,
            "regenerate": True,
            "user_id": account.user_id,
            "id_hash": account.id_hash,
            "sessions": [{"user_id": account.user_id, "id_hash": account.id_hash}],
        }

    # Values

    def _value(self, account: Account, depth: int = 2) -> Any:
        r = self._random
        kind = r.randrange(10 if depth else 7)
        if kind < 4:
            return self._text(account)
        if kind < 7:
            return r.choice([None, True, False, 0, -1, 2**53, 2**63, 2**64, 10**300, 0.1, 1e308, float("nan")])
        if kind == 7:
            return [self._value(account, depth - 1) for _ in range(r.choice([0, 1, 2, 64, 65]))]
        return {self._text(account): self._value(account, depth - 1) for _ in range(r.randrange(4))}

    def _text(self, account: Account) -> str:
        r = self._random
        kind = r.randrange(10)
        if kind < 3:
            return r.choice(_ODD_TEXTS)
        if kind < 5:
            return r.choice(account.secrets)
        if kind < 6:
            return r.choice([account.email, account.token, PASSWORD, account.user_id, "000000"])
        if kind == 6 and self._chance(20):
            return (r.choice(_LONG_UNITS) * 70_000)[: r.choice([65, 1000, 9000, 30_000, 66_000])]
        return "".join(
            chr(r.choice([r.randrange(128), r.randrange(0xD800), r.randrange(0xE000, 0x110000)]))
            for _ in range(r.randrange(20))
        )

    def _query(self, account: Account) -> str:
        names = ["require", "extended", "next", "done", "token", self._text(account)]
        values = ["mfa", "true", "", "/settings/security", "//evil.example", "64", self._text(account)]
        pairs = [(self._random.choice(names), self._random.choice(values)) for _ in range(self._random.randrange(1, 5))]
        query = urlencode(pairs, errors="replace")
        return query if self._chance(90) else query.replace("%", "")

    def _mutate(self, raw: bytes) -> bytes:
        """Make one to four small changes: flip a bit, change a byte, or remove, repeat, move or cut a piece."""
        r = self._random
        data = bytearray(raw)
        for _ in range(r.randrange(1, 5)):
            if not data:
                break
            at, kind = r.randrange(len(data)), r.randrange(7)
            piece = data[at : at + r.choice([1, 2, 8, 64])]
            if kind == 0:
                data[at] ^= 1 << r.randrange(8)
            elif kind == 1:
                data[at] = r.choice(b'\0\t\r\n \x0b\x7f\x80\xff:;,="\\%/?#')
            elif kind == 2:
                del data[at : at + len(piece)]
            elif kind == 3:
                data[at:at] = piece
            elif kind == 4:
                data[at:at] = r.randbytes(len(piece))
            elif kind == 5:
                to = r.randrange(len(data))
                data[to:to] = piece
            else:
                del data[at:]
        return bytes(data)

    def _chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def _chance_in_thousand(self, share: int) -> bool:
        return self._random.randrange(1000) < share


# fmt: off
_CONTENT_TYPES = [
    b"application/json; charset=utf-16", b"application/x+json", b"text/plain", b"", b"/", b"multipart/form-data",
    b"application/x-www-form-urlencoded; charset=x", b"multipart/form-data; boundary=", b"application/JSON", b"\xff",
]
# fmt: on

_Header = Callable[[Maker, Account], tuple[bytes, bytes]]


def _fixed(name: bytes, *values: bytes) -> _Header:
    return lambda maker, _: (name, maker._random.choice(values))


def _made(name: bytes, make: Callable[[Maker, Account], bytes]) -> _Header:
    return lambda maker, account: (name, make(maker, account))


_HEADERS: list[_Header] = [
    _made(b"X-Super-Properties", Maker.properties),
    _made(b"X-Discord-MFA-Authorization", Maker.proof),
    _made(b"Cookie", Maker.cookies),
    _made(b"X-Forwarded-For", Maker.hops),
    _made(b"Content-Length", Maker.number),
    _made(b"Max-Forwards", Maker.number),
    _fixed(b"User-Agent", *_USER_AGENTS),
    _fixed(b"Origin", b"null", b"http://localhost", b"https://evil.example", b"http://[::1", b"//", b""),
    _fixed(b"Sec-Fetch-Site", b"same-origin", b"none", b"cross-site", b""),
    _fixed(b"X-Forwarded-Method", b"GET", b"DELETE", b"get", b""),
    _fixed(b"X-Request-Id", b"abc", b"a b", b"x" * 65),
    _fixed(b"Transfer-Encoding", b"chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"\x0bchunked"),
    _fixed(b"Expect", b"100-continue", b"x"),
    _fixed(b"Connection", b"close", b"keep-alive", b"upgrade", b"Authorization"),
    _fixed(b"Upgrade", b"websocket", b"h2c"),
    _fixed(b"Range", b"bytes=0-0", b"bytes=-1", b"bytes=9999999999-", b"bytes=0-,1-,2-", b"x"),
    _fixed(b"If-Modified-Since", b"Thu, 01 Jan 1970 00:00:00 GMT", b"Fri, 99 Foo 99999 99:99:99", b"0"),
    _fixed(b"If-None-Match", b"*", b'"x"', b'W/"'),
    _fixed(b"Accept", b"*/*", b"text/html;q=NaN", b","),
    _fixed(b"Accept-Language", b"de", b"x;q=-1", b"*"),
    _fixed(b"Content-Encoding", b"gzip", b"br"),
    _fixed(b"Forwarded", b"for=6.6.6.6;host=evil.example"),
    _fixed(b"X-Forwarded-Host", b"evil.example"),
    _fixed(b"X-HTTP-Method-Override", b"DELETE"),
    _fixed(b"Proxy-Authorization", b"Basic x"),
    _fixed(b"X_Forwarded_For", b"1.2.3.4"),
]
