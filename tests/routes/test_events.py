"""Events for other systems: one for each thing that happened, by whichever way it happened."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from app.receivers.receiver import Receiver
from app.rules.password_hashes import to_keep
from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.stores.users import Change
from app.watch import lost_jobs, metrics
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.letters import letters_of
from tests.passkeys import CREDENTIALS, add, sign_in

NEW = "a new battery"
URL = "https://hooks.example.com/keyrack"
RECEIVER = Receiver("webhook", URL).id
SETTINGS = {"WEBHOOK_URLS": URL, "WEBHOOK_SECRETS": "whsec_" + base64.b64encode(b"0" * 32).decode()}
CREATE, CHANGE, REMOVE = "AUTH_SESSION_CREATE", "AUTH_SESSION_CHANGE", "AUTH_SESSION_REMOVE"


@pytest.fixture
def app(make_app):
    return make_app(**SETTINGS)


@pytest.fixture
def services(app):
    return app.extensions[EXTENSION]


@pytest.fixture
def run(app):
    """Runs a command of operators."""

    def command(*args, typed=""):
        done = app.test_cli_runner().invoke(args=args, input=typed)
        assert done.exit_code == 0, done.output
        return done

    return command


@pytest.fixture
def events(redis):
    """What a receiver was told of since this was last asked."""
    seen = {}

    def since():
        rows = redis.xrange(keys.events(RECEIVER).waiting, f"({seen['last']}" if seen else "-")
        seen.update({"last": rows[-1][0]} if rows else {})
        assert not list(redis.scan_iter("user:*:outbox")), "what is in an outbox is passed on right after"
        found = [json.loads(row["event"]) for _, row in rows]
        assert [row["user"] for _, row in rows] == [event["user_id"] for event in found]
        assert len({event["id"] for event in found}) == len(found)
        return found

    return since


@pytest.fixture
def told(events):
    """The same as short texts: the type and what is beside it."""
    return lambda: [words(event) for event in events()]


def words(event):
    if event["type"].startswith("AUTH_SESSION"):
        return " ".join(filter(None, (event["type"], event["reason"])))
    beside = [event[name] for name in ("credential", "changed", "reason", "by") if name in event]
    return " ".join((event["type"], *(",".join(value) if isinstance(value, list) else value for value in beside)))


@pytest.fixture
def alice(alice, events):
    events()
    return alice


def log_in(device, login, password=PASSWORD, **more):
    answer = device.post("/auth/login", {"login": login, "password": password, **more})
    device.token = (answer.json or {}).get("token") or ""
    return answer


def test_a_registration_is_a_user_and_a_session(new_device, events, clock):
    device = new_device().register("bob@example.com")
    created, session = events()
    assert {**created, "id": ""} == {"id": "", "type": "user.created", "user_id": device.user_id, "at": created["at"]}
    assert created["id"].startswith("evt_")
    assert session == {
        **{"id": session["id"], "type": CREATE, "user_id": device.user_id, "at": session["at"]},
        **{"auth_session_id_hash": device.id_hash, "reason": None},
    }
    assert (
        device.post("/auth/register", {"email": "bob@example.com", "username": "b", "password": NEW}).status_code == 400
    )
    assert events() == []


def test_a_registration_that_is_taken_back_is_told_so(new_device, monkeypatch, told, services, redis):
    """As on a full Redis, which refuses the session. The address is free again."""
    from app.stores.connection.connect import StoreRefused  # noqa: PLC0415 - as Redis says it

    def refuse(*_, **__):
        raise StoreRefused("OOM")

    monkeypatch.setattr(services.accounts._sign_ins, "open", refuse)
    body = {"email": "bob@example.com", "username": "bob", "password": PASSWORD}
    assert new_device().post("/auth/register", body).status_code >= 500
    assert told() == ["user.created", "user.deleted"]
    assert not list(redis.scan_iter("user:*")) + list(redis.scan_iter("email:*"))


def test_an_import_tells_nobody(run, told, tmp_path, redis):
    file = tmp_path / "users.jsonl"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    file.write_text(json.dumps({"id": "7", "email": "eve@example.com", "username": "eve", "password_hash": hashed}))
    run("users", "import", str(file))
    assert redis.exists(keys.user("7"))
    assert told() == []


def test_sessions(alice, new_device, told, events, clock, app):
    phone, tablet = new_device(), new_device()
    for device in (phone, tablet):
        assert log_in(device, alice.email).status_code == 200
    assert told() == [CREATE, CREATE]
    log_in(new_device(), alice.email, "wrong")
    assert phone.post("/auth/logout").status_code == 204
    assert told() == [f"{REMOVE} logout"]
    phone.post("/auth/logout")
    for _ in range(2):
        alice.end([tablet.id_hash] if tablet.is_signed_in else ["A" * 43 + "="])
    assert told() == [f"{REMOVE} revoked"]
    log_in(phone, alice.email)
    own = {"Authorization": alice.token, "X-Discord-MFA-Authorization": alice.prove()}
    assert app.test_client().post("/me/sessions/revoke-all", json={}, headers=own).status_code == 200
    assert told() == [CREATE, f"{REMOVE} revoked"]
    clock.advance(31 * 24 * 3600)
    alice.get("/users/@me")
    list(app.extensions[EXTENSION].operators.tidy())
    [removed] = events()
    assert words(removed) == f"{REMOVE} expired"
    assert removed["former_auth_session_id_hashes"] == []


def test_an_ending_names_the_hashes_that_the_session_had(alice, events, clock):
    """So a receiver knows the session by whichever hash it has heard."""
    first = alice.id_hash
    alice.enable_totp(clock())
    second = alice.id_hash
    alice.post("/auth/logout")
    removed = events()[-1]
    assert removed["auth_session_id_hash"] == second
    assert removed["former_auth_session_id_hashes"] == [first]


def test_the_cap(make_app, told):
    app = make_app(**SETTINGS, MAX_SESSIONS_PER_USER="1")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    told()
    log_in(alice, alice.email)
    assert told() == [f"{REMOVE} evicted", CREATE]


def test_a_password(alice, told, run, services, clock, new_device):
    assert alice.patch("/users/@me", {"password": PASSWORD, "new_password": NEW}).status_code == 200
    assert told() == ["credential.updated password user", f"{CHANGE} password_change"]
    run("users", "set-password", alice.email, "--yes", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert told() == ["credential.updated password operator", f"{REMOVE} admin"]
    version = services.accounts.get(alice.user_id).secrets_version
    secret = services.links.issue_reset(alice.user_id, version, clock(), new_notice_id())
    for expected in (200, 400):
        assert alice.post("/auth/reset", {"token": secret, "password": NEW}).status_code == expected
    assert told() == ["user.updated verified", "credential.updated password link", CREATE]
    assert new_device().patch("/users/@me", {"password": "wrong", "new_password": "another"}).status_code == 401
    assert told() == []


def test_another_hash_of_the_same_password_is_no_change(alice, new_device, services, told):
    """As at the first login with a password that an import brought."""
    brought = to_keep(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode())
    services.profiles._users.change(alice.user_id, Change(set={"password_hash": brought}, same_credentials=True))
    assert log_in(new_device(), alice.email).status_code == 200
    assert services.accounts.get(alice.user_id).password_hash != brought
    assert told() == [CREATE]


def test_totp_and_backup_codes(alice, told, clock, new_device):
    alice.enable_totp(clock())
    on = ["credential.created totp user", "credential.created backup_codes user", f"{CHANGE} mfa_change"]
    assert told() == [on[0], on[1], on[2]]
    new_device().log_in(alice)
    assert told() == [CREATE], "a code that is used up is no event"
    proof = {"X_Discord_MFA_Authorization": alice.prove()}
    body = {"password": PASSWORD, "regenerate": True}
    assert alice.post("/users/@me/mfa/codes", body, **proof).status_code == 200
    assert told() == ["credential.updated backup_codes user"]
    clock.advance(30)
    for expected in (200, 401):
        answer = alice.post("/users/@me/mfa/totp/disable", {"code": alice.code(clock())}, **proof)
        if answer.status_code == 401 and expected == 200:
            ticket = answer.json["mfa"]["ticket"]
            given = {"ticket": ticket, "mfa_type": "totp", "data": alice.code(clock())}
            proof = {"X_Discord_MFA_Authorization": alice.post("/mfa/finish", given).json["token"]}
            answer = alice.post("/users/@me/mfa/totp/disable", {"code": alice.code(clock())}, **proof)
        assert answer.status_code in (expected, 400), answer.json
        alice.token = answer.json.get("token", alice.token)
    assert told() == ["credential.deleted totp user", "credential.deleted backup_codes user", f"{CHANGE} mfa_change"]


def test_an_operator_who_resets_factors(alice, told, run, clock):
    alice.enable_totp(clock())
    told()
    run("users", "reset-mfa", alice.email, "--yes")
    off = ["credential.deleted totp operator", "credential.deleted backup_codes operator", f"{REMOVE} admin"]
    assert told() == off


def test_passkeys(alice, events, told, new_device):
    phone = Authenticator()
    made = add(alice, phone)
    first, codes = events()
    assert first["type"] == "authenticator.created"
    assert first["authenticator"] == {"id": made["id"], "type": 1, "name": "Phone"}
    assert words(codes) == "credential.created backup_codes user"
    assert sign_in(new_device(), phone).status_code == 200
    assert sign_in(new_device(), phone, counter=0).status_code == 400
    assert told() == [CREATE]
    proof = {"X_Discord_MFA_Authorization": alice.prove()}
    assert alice.patch(f"{CREDENTIALS}/{made['id']}", {"name": "Key"}, **proof).status_code == 200
    [renamed] = events()
    assert (renamed["type"], renamed["authenticator"]["name"]) == ("authenticator.updated", "Key")
    for expected in (204, 404):
        answer = alice.call("DELETE", f"{CREDENTIALS}/{made['id']}", **proof)
        assert answer.status_code in (expected, 401)
    assert told() == ["authenticator.deleted", "credential.deleted backup_codes user"]


def test_names_and_addresses(alice, told, app, redis, new_device):
    assert alice.patch("/users/@me", {"username": "al", "password": PASSWORD}).status_code == 200
    assert alice.patch("/users/@me", {"username": "al", "password": PASSWORD}).status_code == 200
    assert alice.patch("/users/@me", {"global_name": "Al"}).status_code == 200
    assert alice.patch("/users/@me", {"global_name": ""}).status_code == 200
    assert alice.patch("/users/@me", {"username": "alic", "global_name": "A", "password": PASSWORD}).status_code == 200
    assert told() == [
        *("user.updated username", "user.updated global_name", "user.updated global_name"),
        "user.updated username,global_name",
    ]
    secret = letters_of(app, redis, "verify")[0].secret
    for _ in range(2):
        alice.post("/auth/verify", {"token": secret})
    assert told() == ["user.updated verified"]
    assert alice.patch("/users/@me", {"email": "new@example.net", "password": PASSWORD}).status_code == 200
    assert told() == [], "it is not the user's yet"
    alice.post("/auth/verify", {"token": letters_of(app, redis, "new_address")[-1].secret})
    assert told() == ["user.updated email"]
    body = {"token": letters_of(app, redis, "address_changed")[-1].secret, "password": NEW}
    assert new_device().post("/auth/revert", body).status_code == 200
    assert told() == ["user.updated email", "credential.updated password link", f"{REMOVE} password_change", CREATE]


def test_where_no_mail_is_sent_an_address_counts_at_once(make_app, told):
    app = make_app(**SETTINGS, SMTP_URL="")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    told()
    assert alice.patch("/users/@me", {"email": "new@example.net", "password": PASSWORD}).status_code == 200
    assert told() == ["user.updated email"]


def test_a_factor_that_a_link_takes_off(alice, told, app, redis, new_device, clock):
    alice.enable_totp(clock())
    add(alice, Authenticator(), **{"X_Discord_MFA_Authorization": alice.prove()})
    told()
    body = {"token": letters_of(app, redis, "totp_on")[-1].secret, "password": NEW}
    assert new_device().post("/auth/revert", body).status_code == 200
    assert told() == [
        "authenticator.deleted",
        *("credential.updated password link", "credential.deleted totp link", "credential.deleted backup_codes link"),
        *(f"{REMOVE} password_change", CREATE),
    ]


def test_disabled_and_enabled_by_operators(alice, told, run):
    for _ in range(2):
        run("users", "disable", alice.email, "--yes")
    assert told() == ["user.disabled operator", f"{REMOVE} admin"]
    for _ in range(2):
        run("users", "enable", alice.email)
    assert told() == ["user.enabled operator"]


def test_who_leaves_and_comes_back(alice, new_device, told, events, run, clock):
    assert alice.post("/users/@me/disable", {"password": PASSWORD}).status_code == 204
    assert told() == ["user.disabled user", f"{REMOVE} revoked"]
    assert log_in(alice, alice.email).status_code == 400
    assert log_in(alice, alice.email, undelete=True).status_code == 200
    assert told() == ["user.enabled user", CREATE]
    assert alice.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    disabled, _ = events()
    assert disabled["reason"] == "deletion"
    assert disabled["delete_at"] > disabled["at"]
    run("users", "disable", alice.email, "--yes")
    assert told() == ["user.disabled operator"], "for another reason: only operators bring them back"


def test_who_comes_back_by_a_link_or_a_passkey(alice, new_device, told, services, clock):
    phone = Authenticator()
    add(alice, phone)
    proof = {"X_Discord_MFA_Authorization": alice.prove()}
    assert alice.post("/users/@me/disable", {"password": PASSWORD}, **proof).status_code == 204
    told()
    begun = alice.post("/auth/passwordless/start").json
    body = {"ticket": begun["ticket"], "credential": phone.get(begun["challenge"]), "undelete": True}
    alice.token = alice.post("/auth/conditional/finish", body).json["token"]
    assert told() == ["user.enabled user", CREATE]


def test_who_comes_back_by_a_reset(alice, told, services, clock, new_device):
    assert alice.post("/users/@me/disable", {"password": PASSWORD}).status_code == 204
    told()
    version = services.accounts.get(alice.user_id).secrets_version
    secret = services.links.issue_reset(alice.user_id, version, clock(), new_notice_id())
    assert new_device().post("/auth/reset", {"token": secret, "password": NEW}).status_code == 200
    assert told() == ["user.updated verified", "credential.updated password link", "user.enabled link", CREATE]


def test_a_deletion_by_an_operator_or_when_it_is_due(alice, bob, told, run, clock, redis):
    told()
    run("users", "delete", alice.email, "--yes")
    assert told() == ["user.disabled operator", f"{REMOVE} admin", "user.deleted"]
    assert bob.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    told()
    clock.advance(15 * 24 * 3600)
    for _ in range(2):
        run("users", "tidy")
    assert told() == ["user.deleted"]
    assert [key for key in redis.scan_iter("user:{*") if not key.endswith(":passing_on")] == []


def test_simultaneous_requests_are_one_event(alice, told, app, services, clock):
    """Of many who do the same at once, one does it."""
    version = services.accounts.get(alice.user_id).secrets_version
    secret = services.links.issue_reset(alice.user_id, version, clock(), new_notice_id())

    def reset(_):
        device = Device(app.test_client(use_cookies=False))
        return device.post("/auth/reset", {"token": secret, "password": NEW}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(reset, range(8))) == [200, *[400] * 7]
    assert told() == [
        *("user.updated verified", "credential.updated password link", f"{REMOVE} password_change", CREATE),
    ]


def test_events_are_in_the_order_in_which_they_became_true(alice, app, events, new_device):
    """Also if many requests of a user run at once: whoever reads them in order ends with what is so."""

    def come_and_go(_):
        device = Device(app.test_client(use_cookies=False))
        for _ in range(3):
            log_in(device, alice.email)
            device.post("/auth/logout")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))
    live = {alice.id_hash}
    for event in events():
        if event["type"] == CREATE:
            live.add(event["auth_session_id_hash"])
        else:
            live.remove(event["auth_session_id_hash"])
    assert live == {alice.id_hash}


def test_no_name_address_or_secret_is_in_a_queue(alice, app, redis, clock, new_device, run):
    alice.patch("/users/@me", {"username": "alice the second", "global_name": "Alice Liddell", "password": PASSWORD})
    alice.enable_totp(clock())
    new_device().log_in(alice)
    alice.patch("/users/@me", {"email": "wonder@example.net", "password": PASSWORD})
    run("users", "set-password", alice.email, "--yes", typed=f"{NEW}\n{NEW}\n")
    run("users", "delete", alice.email, "--yes")
    text = " ".join(row["event"] for _, row in redis.xrange(keys.events(RECEIVER).waiting))
    assert "user.deleted" in text
    for personal in ("Liddell", "second", "wonder", "example.", "127.0.0.1", "Firefox", *filter(None, alice.secrets)):
        assert personal not in text


def test_a_stream_of_another_application_fails_nothing(app, new_device, redis, caplog, monkeypatch):
    """What cannot be told is lost, counted and logged, and people sign in."""
    monkeypatch.setattr(lost_jobs, "_told_at", -60.0)  # no other test has just lost something
    before = metrics.JOBS_LOST.labels(RECEIVER)._value.get()
    redis.set(keys.events(RECEIVER).waiting, "theirs")
    alice = new_device().register("alice@example.com")
    alice.post("/auth/logout")
    assert not alice.is_signed_in
    assert redis.get(keys.events(RECEIVER).waiting) == "theirs"
    assert "lost" in caplog.text
    assert metrics.JOBS_LOST.labels(RECEIVER)._value.get() - before == 3
