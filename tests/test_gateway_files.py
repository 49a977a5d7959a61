"""The gateways' lists of paths: all that people and clients ask of Keyrack reaches it, and nothing else does.

The url map is the source. When a route is added, these tests print the expression that belongs into each file.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fakeredis import FakeRedis

from app import create_app
from app.config import load_settings
from app.web.front import API
from tests.conftest import ENVIRONMENT

DOCS = Path("docs/gateway")
FILES = ["nginx.conf", "Caddyfile", "traefik-routes.yaml", "envoy.yaml", "haproxy.cfg"]
INSIDE = {"/metrics", "/healthz", "/readyz"}  # for who runs it, besides all of /gateway/
APPLICATION = {"/"}  # Keyrack's own leads to its home page, where no application is
SHARED = f"{API}/users/@me"  # by method: the application may have others of the same path
AT = "(@|%40)"  # encodeURIComponent escapes it, and not every gateway reads the path without escapes
VARIES = ".+"
PREFIX = "/api(/v([6-9]|10))?"  # as web/front.py has it


def methods_by_path() -> dict[str, set[str]]:
    """Every path of Keyrack that is for people and clients, with VARIES in place of what varies."""
    app = create_app(load_settings(ENVIRONMENT | {"GATEWAY_SECRET": "x" * 32, "METRICS_SECRET": "x" * 32}), FakeRedis())
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", VARIES, rule.rule)
        if path not in INSIDE | APPLICATION and not path.startswith("/gateway/"):
            found.setdefault(path, set()).update(rule.methods or ())
    return found


def api_expression() -> str:
    paths = sorted(path.removeprefix(f"{API}/") for path in methods_by_path() if path.startswith(API))
    own = "|".join(path for path in paths if f"{API}/{path}" != SHARED)
    return f"{PREFIX}/({own.replace('@', AT)})/?"


def page_expression() -> str:
    """All others: those that one with VARIES has within it are not named again."""
    paths = {path.removeprefix("/") for path in methods_by_path() if not path.startswith(API)}
    wide = {path.removesuffix(VARIES) for path in paths if path.endswith(VARIES)}
    own = sorted(path for path in paths if path.endswith(VARIES) or not path.startswith(tuple(wide)))
    return f"/({'|'.join(path.replace(VARIES, '~').replace('.', chr(92) + '.').replace('~', VARIES) for path in own)})"


def expressions(name: str) -> Iterator[str]:
    """The expressions of one file for paths that are Keyrack's whatever the method, for whole paths."""
    text = (DOCS / name).read_text(encoding="utf-8")
    if name == "envoy.yaml":
        yield from re.findall(r"^ +regex: '(/.+)'$", text, re.MULTILINE)
        return
    before, after = {
        "nginx.conf": (r'"~\^\[A-Z\]\+ ', r'\$" 1;'),
        "Caddyfile": (r"^\t@(?:api|pages) path_regexp \^", r"\$$"),
        "traefik-routes.yaml": (r"^        PathRegexp\(`\^", r"\$`\)(?: \|\|)?$"),
        "haproxy.cfg": (r"acl is_own path -m reg \^", r"\$$"),
    }[name]
    yield from re.findall(f"{before}(/.+){after}", text, re.MULTILINE)


@pytest.mark.parametrize("name", FILES)
def test_keyracks_routes_reach_it_and_no_other_of_the_api_does(name):
    """A route that a gateway does not know would be the application's, and a link in a mail a 404."""
    api, pages = expressions(name)
    assert api == api_expression(), f"docs/gateway/{name} has another list of the API's routes"
    assert pages == page_expression(), f"docs/gateway/{name} has another list of the other routes"


def test_the_expressions_fit_the_routes():
    for path in set(methods_by_path()) - {SHARED}:
        assert sum(bool(re.fullmatch(one, path)) for one in (api_expression(), page_expression())) == 1, path


@pytest.mark.parametrize("name", FILES)
def test_the_route_that_is_shared_goes_by_method(name):
    """Keyrack's methods of it, and OPTIONS, by which a browser asks about them."""
    text = (DOCS / name).read_text(encoding="utf-8")
    assert f"{PREFIX}/users/{AT}me/?" in text
    lists = {
        "nginx.conf": "(GET|HEAD|OPTIONS|PATCH)",
        "Caddyfile": "method GET HEAD OPTIONS PATCH",
        "traefik-routes.yaml": "(Method(`GET`) || Method(`HEAD`) || Method(`OPTIONS`) || Method(`PATCH`))",
        "envoy.yaml": '"GET|HEAD|OPTIONS|PATCH"',
        "haproxy.cfg": "method GET HEAD OPTIONS PATCH",
    }
    assert methods_by_path()[SHARED] == {"GET", "HEAD", "OPTIONS", "PATCH"}
    assert lists[name] in text


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/channels/1",
            "/gateway/verify",
            "/metrics",
            "/healthz",
            "/settings",
            "/static/x.css",
            "/me",
            "/loginx",
        ),
        *(
            "/me/sessionsx",
            "/me/sessions/",
            "/keyrack",
            "/keyrack/",
            "/logout/mfa",
            "/forgot/code",
            "/login/",
            "/docs/",
        ),
        *("/settings/security/x", "/settings/sessions/x", "/gateway", "/gatewayx", "/openapiXjson", "/loginXform"),
        *("/api/v9/users/@me/guilds", "/api/v9/users/@me/settings", "/api/v9/users/@me/relationships", "/api/ping"),
        *("/api/v9/auth/generate-registration-tokens", "/api/v5/auth/login", "/api/v11/auth/login", "/login/x"),
    ],
)
def test_what_is_the_applications_is_in_no_list(path):
    assert not any(re.fullmatch(one, path) for name in FILES for one in expressions(name))


def test_traefik_and_envoy_files_are_yaml():
    """Each name is a key once: YAML takes the last of two without a word."""
    for name in ("traefik-routes.yaml", "traefik.yaml", "envoy.yaml"):
        assert yaml.safe_load((DOCS / name).read_text(encoding="utf-8"))
