"""Keys of another application in the same database: no route fails by them, and none changes them."""

import re

import pytest

from app.stores.keys import unprefixed as keys
from app.wire.contract import contract_of
from tests.device import API, PASSWORD
from tests.foreign import HASH, PUT, SHARED, names_of_user, only
from tests.web.test_secrets import dump

BODY = {
    **{"login": "alice@example.com", "email": "new@example.com", "username": "new", "password": PASSWORD},
    **{"new_password": PASSWORD, "token": "x", "ticket": "x", "code": "000000", "mfa_type": "password", "data": "x"},
    **{"session_id_hashes": [HASH], "ids": [HASH], "sessions": [], "regenerate": True, "name": "x", "all": "all"},
}
OWN = {"Sec-Fetch-Site": "same-origin"}


def walk(app, browser):
    """Ask every route, those that end the own session last. Yield what each answers."""
    asked = [
        (method, re.sub(r"<[^>]+>", HASH[:43], rule.rule))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods & {"GET", "POST", "PATCH", "DELETE"})
        if contract_of(app.view_functions[rule.endpoint]) and (API in rule.rule or "/api" not in rule.rule)
    ]
    for method, path in sorted(asked, key=lambda one: (one[0] != "GET", "logout" in one[1], one)):
        how = {"data": BODY} if path.startswith(("/settings", "/forgot", "/reset")) else {"json": BODY}
        answer = browser.open(path, method=method, headers=OWN, **({} if method == "GET" else how))
        yield method, path, answer.status_code


@pytest.fixture
def browser(app, alice):
    client = app.test_client()
    sent = {"login": alice.email, "password": PASSWORD}
    assert client.post("/login", json=sent, headers=OWN).status_code == 200
    return client


PLACES = [*range(len(names_of_user("7"))), *SHARED]


@pytest.mark.parametrize("redis", ["real"], indirect=True)
@pytest.mark.parametrize("place", PLACES)
def test_no_route_fails_by_a_foreign_key_in_the_place_of_ours(app, alice, bob, browser, redis, place):
    """Each of a user's own keys replaced in turn: refused or passed over, never a 500, never half done."""
    name = names_of_user(alice.user_id)[place] if isinstance(place, int) else place
    redis.delete(name)
    PUT["string" if keys.type_of(name) != "string" else "list"](redis, name)
    before = only(redis, [name])
    answers = list(walk(app, browser))
    assert len(answers) > 40
    assert [one for one in answers if one[2] not in range(200, 500) and one[2] != 503] == []
    assert only(redis, [name]) == before
    assert bob.is_signed_in


CONTENTS = {
    "sessions": [
        "no json",
        "[]",
        "5",
        '{"began_at":"x"}',
        '{"began_at":1e30}',
        '{"began_at":4000000000,"os":5,"more":[]}',
    ],
    "links": ["no json", "[]", "{}", '{"purpose":"reset","expires_at":"x"}', '{"purpose":5,"expires_at":9e9}'],
    "ended": ["no json", "[]", "{}", '{"id_hash":5,"reason":"logout"}', '{"id_hash":"x","reason":"theirs"}'],
    "passkeys": [
        *("no json", "[]", "5", "{}", '{"sign_count":0}', '{"id":5,"name":5,"sign_count":0}'),
        *(
            f'{{"id":"1","name":"x","public_key":{key},"sign_count":{count},"transports":"","created_at":{at}}}'
            for key, count, at in [
                ('"AA"', 0, 1),
                ('"AA"', "1e400", 1),
                ('"AA"', '"x"', 1),
                ('"é"', 0, 1),
                (5, 0, 1),
                ('"AA"', 0, "1e30"),
                ('"AA"', "-1", 1),
                ('"AA"', "null", 1),
                ('"A"', 0, 1),
            ]
        ),
    ],
    "user": ["", "theirs"],
}


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize(("where", "text"), [(where, text) for where, texts in CONTENTS.items() for text in texts])
def test_no_route_fails_by_content_that_is_not_ours(app, alice, bob, browser, redis, clock, where, text):
    """A record of the right type that no Keyrack wrote is passed over; a session with one is listed all the same."""
    key = getattr(keys, where)(alice.user_id)
    if where == "user":
        redis.hset(key, mapping={"epoch": "x", "created_at": text})
    elif where == "ended":
        redis.zadd(key, {text: clock()})
    else:
        redis.hset(key, mapping=dict.fromkeys([*redis.hkeys(key), HASH], text))
    listed = alice.get("/auth/sessions")
    assert [listed.status_code, len(listed.json["user_sessions"])] == [200, 2]
    answers = list(walk(app, browser))
    assert [one for one in answers if one[2] not in range(200, 500) and one[2] != 503] == []
    assert bob.is_signed_in


@pytest.mark.parametrize("redis", ["fake", "real"], indirect=True)
def test_a_foreign_key_leaves_nothing_half_done(alice, new_device, redis):
    """The script is refused before its first write: no session ends that the answer does not tell of."""
    phone = new_device().log_in(alice)
    proof = alice.prove()
    redis.delete(keys.ended(alice.user_id))
    redis.set(keys.ended(alice.user_id), "theirs")
    before = dump(redis)
    assert alice.end([phone.id_hash], proof).status_code == 503
    assert alice.post("/auth/logout").status_code == 503
    assert dump(redis) == before
    redis.delete(keys.ended(alice.user_id))
    assert alice.end([phone.id_hash], proof).status_code == 204
