"""A remembered device is no proof: every route answers its session as it answers one that has proved nothing lately."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from fakeredis import FakeRedis

from app import create_app
from app.config import load_settings
from app.errors import MfaAlreadyOn, MfaRequired
from app.stores.passkeys import Passkey
from app.stores.users import Change
from app.web.services import EXTENSION
from app.wire.contract import contract_of
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD

NEW_PASSWORD = "another horse battery"
SECRETS = {"GATEWAY_SECRET": "g" * 32, "METRICS_SECRET": "m" * 32}
PASSKEY = Passkey("Y3JlZA", "11", "Phone", b"\x01key", 0, (), True, 7)
REMEMBERED = "__Host-remembered"
UNTIL_NO_PROOF_S = 301


def routes():
    """Every method of every path."""
    app = create_app(load_settings(ENVIRONMENT | SECRETS), FakeRedis())
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    return [(method, rule.rule) for rule in rules for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]


def guarded():
    """Those whose contract says that they ask for a proof."""
    app = create_app(load_settings(ENVIRONMENT | SECRETS), FakeRedis())
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if MfaRequired in contract_of(app.view_functions[rule.endpoint]).refusals
    }


ROUTES = routes()


@dataclass
class World:
    """Alice with TOTP and a passkey, and her browsers, each of which has a live session.

    Attributes:
        remembered: Signed in this moment, with her password alone, because it is remembered.
        old: Signed in with a code, too long ago for a proof.
        fresh: Signed in this moment, with a code.
    """

    remembered: Any
    old: Any
    fresh: Any
    parts: dict[str, str]
    body: dict[str, Any]


@pytest.fixture
def app(make_app):
    return make_app(**SECRETS)


@pytest.fixture
def make_world(app, new_device, clock):
    services = app.extensions[EXTENSION]
    made = []

    def log_in(alice, *, code=False, like=None):
        browser = app.test_client()
        if like:
            browser.set_cookie(REMEMBERED, like.get_cookie(REMEMBERED).value, secure=True)
        answer = browser.post("/login", json={"login": alice.email, "password": PASSWORD})
        assert answer.json.get("mfa", False) is code
        if code:
            body = {"ticket": answer.json["ticket"], "code": alice.backup_codes.pop(), "remember": True}
            assert browser.post("/login/mfa", json=body).status_code == 200
        return browser

    def make():
        made.append(alice := new_device().register(f"alice{len(made)}@example.com"))
        alice.enable_totp(clock())
        services.second_steps._users.change(alice.user_id, Change(add_passkey=PASSKEY))
        old = log_in(alice, code=True)
        clock.advance(UNTIL_NO_PROOF_S)
        remembered = log_in(alice, like=old)
        fresh = log_in(alice, code=True)
        [device, *_] = old.get("/me/remembered").json
        named = {"passkey_id": "11", "device_id": device["id"], "session_id": alice.id_hash}
        body = {
            **{"password": PASSWORD, "new_password": NEW_PASSWORD, "username": "zoe", "name": "x"},
            **{"session_id_hashes": [alice.id_hash], "ids": [alice.id_hash], "session": alice.id_hash, "all": "all"},
            **{"regenerate": True, "login": alice.email, "secret": "A" * 32},
        }
        return World(remembered, old, fresh, named, body)

    return make


def ask(browser, method, rule, world):
    """The answer of a route, as one text: its status, its code, and where it leads."""
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: world.parts.get(found[1], "x"), rule)
    own = {"Sec-Fetch-Site": "same-origin"}
    if rule == "/gateway/verify":
        path += "?require=mfa"
    if "register" in rule or "validate" in rule:
        world.body["email"] = f"new-{world.body['login']}"
    browser.delete_cookie(REMEMBERED)  # it is of logins, not of sessions
    is_form = rule.startswith("/settings") or rule.endswith("/form")
    sent = {"data": world.body} if is_form else {"json": world.body} if method != "GET" else {}
    answer = browser.open(path, method=method, headers=own, **sent)
    code = answer.json.get("code") if answer.is_json and isinstance(answer.json, dict) else None
    is_asked = "Enter Auth Code" in answer.text
    return answer.status_code, code, answer.headers.get("Location"), is_asked


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize(("method", "rule"), ROUTES, ids=[f"{method} {rule}" for method, rule in ROUTES])
def test_no_route_takes_a_remembered_device_for_a_proof(make_world, method, rule):
    with_remembered, with_old = make_world(), make_world()
    answered = ask(with_remembered.remembered, method, rule, with_remembered)
    assert answered == ask(with_old.old, method, rule, with_old)
    if (method, rule) in guarded() and answered[1] != MfaAlreadyOn.code:
        assert answered[:2] == (401, MfaRequired.code)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_the_walk_would_see_a_proof(make_world):
    """A session that was opened with a code this moment is answered otherwise, where a login is proof enough."""
    for method, rule in [
        ("POST", "/me/sessions/revoke-all"),
        ("POST", "/me/sessions/revoke"),
        ("DELETE", "/me/sessions/<any_text:session_id>"),
        ("POST", "/settings/sessions/end"),
    ]:
        assert (method, rule) in ROUTES
        world = make_world()
        as_fresh = ask(world.fresh, method, rule, world)
        world = make_world()
        assert as_fresh != ask(world.remembered, method, rule, world)


def test_the_walk_knows_the_guarded_routes():
    assert len(guarded()) >= 12
    assert guarded() <= set(ROUTES)
