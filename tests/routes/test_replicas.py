"""What is told as done is on as many replicas as REDIS_WAIT_REPLICAS asks for; else it is told that it may not last."""

import pytest

from app.stores import keys
from tests.device import PASSWORD

UNCONFIRMED = (
    "503: Service Unavailable. This may or may not have happened: too few replicas have confirmed it. "
    "It is safe to send it again."
)
alone = pytest.mark.parametrize("redis", ["real"], indirect=True)  # it has no replica
followed = pytest.mark.parametrize("redis", ["cluster"], indirect=True)  # each of its primaries has one


@pytest.fixture
def app(request, make_app):
    """Waits for as many replicas as the test's parameter says, one where it says nothing."""
    return make_app(REDIS_WAIT_REPLICAS=str(getattr(request, "param", 1)), REDIS_WAIT_MS="50")


def assert_unconfirmed(answer):
    assert answer.status_code == 503
    assert answer.json == {"code": 0, "message": UNCONFIRMED}
    assert answer.headers["Retry-After"] == "1"


@pytest.fixture
def phone(make_app, alice, new_device):
    return new_device().log_in(alice)


@pytest.fixture
def proof(make_app, alice, phone):
    """Of alice's, earned where nobody waits for replicas."""
    at_once = type(alice)(make_app().test_client(use_cookies=False))
    at_once.token, at_once.password = alice.token, alice.password
    return at_once.prove()


@alone
def test_an_ending_that_no_replica_has(alice, phone, proof, caplog):
    """It holds where it was done, is on record, and who asks again is not told more than is known."""
    ended = phone.id_hash
    caplog.clear()
    assert_unconfirmed(alice.end([ended], proof))
    assert not phone.is_signed_in
    assert [record.getMessage() for record in caplog.records].count("sessions_ended") == 1
    assert_unconfirmed(alice.end([ended], proof))


@alone
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/logout", None),
        ("PATCH", "/users/@me", {"password": PASSWORD, "new_password": "another long one"}),
        ("POST", "/users/@me/mfa/totp/enable", "right"),
    ],
)
def test_changes_that_no_replica_has(alice, clock, method, path, body):
    if body == "right":
        secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
        alice.totp_secret = secret
        body = {"password": PASSWORD, "secret": secret, "code": alice.code(clock())}
    assert_unconfirmed(alice.call(method, path, body))


@alone
def test_a_code_that_is_used_up_on_the_primary_alone(alice):
    """A failover could make it good again, so it earns nothing; and it is used up all the same."""
    answer = {"ticket": alice.challenge()["ticket"], "mfa_type": "password", "data": PASSWORD}
    assert_unconfirmed(alice.post("/mfa/finish", answer))
    assert alice.post("/mfa/finish", answer).json["code"] == 60006


@alone
def test_who_registers_and_signs_in_is_let_in(alice, phone):
    """Losing that may sign somebody out, never in."""
    assert [device.is_signed_in for device in (alice, phone)] == [True, True]


@alone
def test_the_cookie_surface_says_so_too(app, alice):
    browser = app.test_client()
    answer = browser.post("/login", json={"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 200
    answer = browser.post("/me/sessions/revoke-all")
    assert (answer.status_code, answer.json) == (503, {"error": UNCONFIRMED})


@followed
def test_what_a_replica_has_is_told_as_done(alice, phone, proof, redis, cluster):
    ended = phone.id_hash
    assert alice.end([ended], proof).status_code == 204
    slot = cluster.slot_of(keys.ended(alice.user_id))
    replica = next(
        node for node in cluster.replicas() if node.replication()["master_port"] == cluster.owner_of(slot).port
    )
    replica.call("READONLY")
    assert replica.call("ZCARD", keys.ended(alice.user_id)) == 1
    assert alice.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"}).status_code == 200


@followed
@pytest.mark.parametrize("app", [2], indirect=True)
def test_more_replicas_than_there_are(alice):
    assert_unconfirmed(alice.post("/auth/logout"))
