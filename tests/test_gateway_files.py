"""The gateways' lists of paths: all that people and clients ask of Keyrack reaches it, and nothing else of it does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fakeredis import FakeRedis

from app import create_app
from app.config import load_settings
from tests.conftest import ENVIRONMENT

DOCS = Path("docs/gateway")
INSIDE = {"/metrics", "/healthz", "/readyz"}  # for who runs it, besides all of /gateway/
APPLICATION = {"/"}  # Keyrack's own leads to its home page, where no application is


def rules() -> set[str]:
    """Every path of Keyrack, with something in place of what varies."""
    app = create_app(load_settings(ENVIRONMENT | {"GATEWAY_SECRET": "x" * 32, "METRICS_SECRET": "x" * 32}), FakeRedis())
    return {re.sub(r"<[^>]+>", "some", rule.rule) for rule in app.url_map.iter_rules()}


def nginx() -> list[str]:
    """As expressions for whole paths: what the gateway hands Keyrack."""
    text = (DOCS / "nginx.conf").read_text(encoding="utf-8")
    [location] = re.findall(r"location ~ \^(\S+) \{\n        proxy_pass http://keyrack;", text)
    return [location + ".*"]


def caddy() -> list[str]:
    text = (DOCS / "Caddyfile").read_text(encoding="utf-8")
    [paths] = re.findall(r"^\t@keyrack path (.+)$", text, re.MULTILINE)
    return [re.escape(path.removesuffix("*")) + (".*" if path.endswith("*") else "") for path in paths.split()]


def traefik() -> list[str]:
    routes = yaml.safe_load((DOCS / "traefik-routes.yaml").read_text(encoding="utf-8"))
    rule = routes["http"]["routers"]["keyrack"]["rule"]
    matchers = [re.fullmatch(r"(Path|PathPrefix)\(`([^`]+)`\)", part) for part in rule.split(" || ")]
    assert all(matchers)
    return [re.escape(match[2]) + (".*" if match[1] == "PathPrefix" else "") for match in matchers if match]


def envoy() -> list[str]:
    [listener] = yaml.safe_load((DOCS / "envoy.yaml").read_text(encoding="utf-8"))["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    [site] = manager["route_config"]["virtual_hosts"]
    matches = [one["match"] for one in site["routes"] if one.get("route", {}).get("cluster") == "keyrack"]
    assert {key for match in matches for key in match} == {"path", "path_separated_prefix"}
    return [
        re.escape(match.get("path") or match["path_separated_prefix"]) + ("" if "path" in match else "(/.*)?")
        for match in matches
    ]


@pytest.mark.parametrize("matchers", [nginx, caddy, traefik, envoy])
def test_what_is_for_people_and_clients_reaches_keyrack_and_nothing_else(matchers: Callable[[], list[str]]):
    """A page that a gateway does not know would be the application's, and a link in a mail a 404."""
    passed = matchers()
    reached = {rule for rule in rules() if any(re.fullmatch(one, rule) for one in passed)}
    inside = {rule for rule in rules() if rule in INSIDE or rule.startswith("/gateway/")}
    assert inside >= INSIDE
    assert reached == rules() - inside - APPLICATION
    assert not any(re.fullmatch(one, path) for one in passed for path in ("/", "/channels/1", "/gateway/verify"))


@pytest.mark.parametrize("matchers", [caddy, traefik, envoy])
def test_no_gateway_keeps_a_path_from_the_application_that_nobody_answers(matchers: Callable[[], list[str]]):
    assert [one for one in matchers() if not any(re.fullmatch(one, rule) for rule in rules())] == []
