"""Audit lines: each event, caused from outside, is exactly one line and one count; nobody's e-mail is in it."""

import logging

import pytest

from app.stores.mail import new_notice_id
from app.watch import context
from tests.device import PASSWORD, Device
from tests.watch.test_metrics import Growth

ADDRESS = "203.0.113.7"


@pytest.fixture
def told():
    """The lines so far, as what each tells beside the time; calling it forgets those before."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            current = context.current()
            lines.append(record.fields | {"request_id": current.request_id if current else None})

    keep, logger = Keep(), logging.getLogger("keyrack.audit")
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)

    def since():
        taken, lines[:] = list(lines), []
        return taken

    yield since
    logger.removeHandler(keep)


@pytest.fixture
def growth():
    return Growth()


def events(lines):
    return [line["event"] for line in lines]


def actor(device, id_hash):
    return {"user_id": device.user_id, "session": id_hash}


def named(line, *names):
    return {name: line.get(name) for name in names}


def test_a_line_tells_request_address_actor_and_target(make_app, told):
    """All that ASVS asks for: who, from where, what, to whom, why, in which request."""
    client = make_app(TRUSTED_PROXIES="127.0.0.1").test_client(use_cookies=False)
    laptop = Device(client, {"X_Forwarded_For": ADDRESS}).register("alice@example.com")
    phone = Device(client).log_in(laptop)
    own, other, proof = laptop.id_hash, phone.id_hash, laptop.prove()
    told()
    laptop.post(
        "/auth/sessions/logout",
        {"session_id_hashes": [other]},
        X_Discord_MFA_Authorization=proof,
        X_Request_Id="the-request",
    )
    assert told() == [
        {
            "event": "sessions_ended",
            "actor": actor(laptop, own),
            "user_id": laptop.user_id,
            "reason": "revoked",
            "count": 1,
            "sessions": [other],
            "request_id": "the-request",
            "address": ADDRESS,
        }
    ]


def test_registration(new_device, told, growth):
    alice = new_device().register("alice@example.com")
    lines = told()
    assert events(lines) == ["account_registered", "signed_in"]
    assert named(lines[1], "user_id", "session", "how") == {
        "user_id": alice.user_id,
        "session": alice.id_hash,
        "how": "registration",
    }
    assert growth("sign_ins_total", outcome="success", detail="registration") == 1


@pytest.fixture
def quiet(alice, told):
    """Alice's device, what it did to get there forgotten."""
    told()
    return alice


def test_sign_in(quiet, new_device, told, growth):
    phone = new_device().log_in(quiet)
    [line] = told()
    assert named(line, "event", "user_id", "session", "how") == {
        "event": "signed_in",
        "user_id": quiet.user_id,
        "session": phone.id_hash,
        "how": "password",
    }
    assert growth("sign_ins_total", outcome="success", detail="password") == 1


def test_wrong_password(quiet, new_device, told, growth):
    new_device().post("/auth/login", {"login": quiet.email, "password": "something else"})
    [line] = told()
    assert named(line, "event", "user_id", "reason", "actor") == {
        "event": "sign_in_failed",
        "user_id": quiet.user_id,
        "reason": "wrong_password",
        "actor": None,
    }
    assert growth("sign_ins_total", outcome="failed", detail="wrong_password") == 1


def test_unknown_account_is_named_by_a_digest(new_device, told, growth):
    """The same for all spellings of one e-mail, another for another; nothing that one could guess e-mails by."""
    for login in ("nobody@example.com", "NoBody@Example.com", "somebody@example.com"):
        new_device().post("/auth/login", {"login": login, "password": PASSWORD})
    lines = told()
    assert [named(line, "event", "user_id", "reason") for line in lines] == [
        {"event": "sign_in_failed", "user_id": None, "reason": "unknown_account"}
    ] * 3
    one, same, other = (line["account"] for line in lines)
    assert one == same != other
    assert "example" not in str(lines)
    assert growth("sign_ins_total", outcome="failed", detail="unknown_account") == 3


def test_disabled_account(app, quiet, new_device, told):
    app.extensions["keyrack"].leaving.disable(quiet.user_id)
    told()
    new_device().post("/auth/login", {"login": quiet.email, "password": PASSWORD})
    [line] = told()
    assert named(line, "event", "user_id", "reason") == {
        "event": "sign_in_failed",
        "user_id": quiet.user_id,
        "reason": "disabled",
    }


def test_sign_in_with_a_second_factor(with_totp, new_device, told, growth, clock):
    """The question for a code, a wrong one, the right one, and a ticket that is used: a line each."""
    told()
    phone = new_device()
    asked = phone.post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json
    for code in ("000000", with_totp.backup_codes[0], with_totp.backup_codes[1]):
        phone.post("/auth/mfa/totp", {"ticket": asked["ticket"], "code": code})
    lines = told()
    assert [named(line, "event", "user_id", "how", "reason") for line in lines] == [
        {"event": "code_asked", "user_id": with_totp.user_id, "how": None, "reason": None},
        {"event": "sign_in_failed", "user_id": with_totp.user_id, "how": None, "reason": "wrong_code"},
        {"event": "signed_in", "user_id": with_totp.user_id, "how": "backup", "reason": None},
        {"event": "sign_in_failed", "user_id": None, "how": None, "reason": "invalid_ticket"},
    ]
    assert growth("sign_ins_total", outcome="code_asked", detail="") == 1
    assert growth("sign_ins_total", outcome="failed", detail="wrong_code") == 1
    assert growth("sign_ins_total", outcome="success", detail="backup") == 1
    clock.advance(30)
    asked = phone.post("/auth/login", {"login": with_totp.email, "password": PASSWORD}).json
    phone.post("/auth/mfa/totp", {"ticket": asked["ticket"], "code": with_totp.code(clock())})
    assert told()[1]["how"] == "totp"


def test_step_up(quiet, told, growth):
    own, ticket = quiet.id_hash, quiet.challenge()["ticket"]
    for answer in ("something else", PASSWORD, PASSWORD):
        quiet.post("/mfa/finish", {"ticket": ticket, "mfa_type": "password", "data": answer})
    lines = told()
    assert [named(line, "event", "reason", "method", "actor") for line in lines] == [
        {"event": "step_up_failed", "reason": "wrong", "method": "password", "actor": actor(quiet, own)},
        {"event": "step_up_passed", "reason": None, "method": "password", "actor": actor(quiet, own)},
        {"event": "step_up_failed", "reason": "invalid_ticket", "method": None, "actor": actor(quiet, own)},
    ]
    for outcome, method in (("wrong", "password"), ("passed", "password"), ("invalid_ticket", "")):
        assert growth("step_ups_total", outcome=outcome, method=method) == 1


def test_a_method_that_a_client_makes_up_is_no_label(quiet, told):
    quiet.post("/mfa/finish", {"ticket": "made up", "mfa_type": "mallory@example.com", "data": "x"})
    [line] = told()
    assert (line["event"], line["reason"]) == ("step_up_failed", "invalid_ticket")
    assert "@" not in str(line)


def test_a_password_that_is_wrong_when_asked_for_again(quiet, told):
    quiet.patch("/users/@me", {"password": "something else", "new_password": "another long one"})
    [line] = told()
    assert named(line, "event", "reason", "method") == {
        "event": "step_up_failed",
        "reason": "wrong",
        "method": "password",
    }


def test_logout(quiet, told, growth):
    own = quiet.id_hash
    quiet.post("/auth/logout")
    [line] = told()
    assert named(line, "event", "reason", "count", "sessions", "actor") == {
        "event": "sessions_ended",
        "reason": "logout",
        "count": 1,
        "sessions": [own],
        "actor": actor(quiet, own),
    }
    assert growth("sessions_ended_total", reason="logout") == 1


def test_all_others_are_one_line(quiet, new_device, told, growth):
    others = {new_device().log_in(quiet).id_hash for _ in range(3)}
    told()
    quiet.end(sorted(others))
    passed, ended = told()
    assert passed["event"] == "step_up_passed"
    assert (ended["count"], set(ended["sessions"])) == (3, others)
    assert growth("sessions_ended_total", reason="revoked") == 3


def test_ending_nothing_is_no_line(quiet, told):
    quiet.end(["A" * 43 + "="])
    assert events(told()) == ["step_up_passed"]


def test_eviction_and_expiry_are_by_nobody(make_app, told, clock, growth):
    client = make_app(MAX_SESSIONS_PER_USER="1", SESSION_TTL="1h").test_client(use_cookies=False)
    first = Device(client).register("alice@example.com")
    evicted = first.id_hash
    told()
    second = Device(client).log_in(first)
    expired = second.id_hash
    lines = told()
    assert [named(line, "event", "reason", "sessions", "actor") for line in lines[:1]] == [
        {"event": "sessions_ended", "reason": "evicted", "sessions": [evicted], "actor": None}
    ]
    assert events(lines[1:]) == ["signed_in"]
    clock.advance(3601)
    assert not second.is_signed_in
    [line] = told()
    assert named(line, "reason", "sessions", "actor") == {"reason": "expired", "sessions": [expired], "actor": None}
    assert not second.is_signed_in
    assert told() == [], "its end is noticed once"
    assert growth("sessions_ended_total", reason="evicted") == growth("sessions_ended_total", reason="expired") == 1


def test_change_of_password(quiet, new_device, told, growth):
    own, other = quiet.id_hash, new_device().log_in(quiet).id_hash
    told()
    answer = quiet.patch("/users/@me", {"password": PASSWORD, "new_password": "another long one"})
    quiet.token = answer.json["token"]
    ended, changed = told()
    assert named(ended, "reason", "sessions", "actor") == {
        "reason": "password_change",
        "sessions": [other],
        "actor": actor(quiet, own),
    }
    assert named(changed, "event", "what", "session", "actor") == {
        "event": "credentials_changed",
        "what": "password",
        "session": quiet.id_hash,
        "actor": actor(quiet, own),
    }
    assert growth("credential_changes_total", what="password") == 1


def test_changes_of_the_second_factor(quiet, told, growth, clock):
    quiet.enable_totp(clock())
    proof = quiet.prove()
    body = {"password": PASSWORD, "regenerate": True}
    renewed = quiet.post("/users/@me/mfa/codes", body, X_Discord_MFA_Authorization=proof)
    quiet.backup_codes = [code["code"] for code in renewed.json["backup_codes"]]
    assert quiet.post("/users/@me/mfa/totp/disable", X_Discord_MFA_Authorization=quiet.prove()).status_code == 200
    lines = told()
    assert [line.get("what", line["event"]) for line in lines] == [
        "totp_on",
        "step_up_passed",
        "backup_codes",
        "step_up_passed",
        "totp_off",
    ]
    for what in ("totp_on", "backup_codes", "totp_off"):
        assert growth("credential_changes_total", what=what) == 1


def test_limit_hit(make_app, told, growth):
    """By the pages too, which answer it on their own."""
    client = make_app(RATE_LIMIT_LOGIN_ADDRESS="1 per hour").test_client()
    told()
    body = {"login": "nobody@example.com", "password": PASSWORD}
    statuses = [client.post(path, **sent).status_code for path, sent in (
        ("/api/v9/auth/login", {"json": body}), ("/api/v9/auth/login", {"json": body}), ("/login/form", {"data": body})
    )]  # fmt: skip
    assert statuses == [400, 429, 429]
    failed, *hits = told()
    assert failed["event"] == "sign_in_failed"
    assert [named(hit, "event", "limit", "counted_by") for hit in hits] == [
        {"event": "limit_hit", "limit": "login_address", "counted_by": "127.0.0.1"}
    ] * 2
    assert growth("limit_hits_total", limit="login_address") == 2


def test_a_limit_by_account_names_no_email(make_app, told):
    client = make_app(RATE_LIMIT_LOGIN="1 per hour").test_client()
    body = {"login": "nobody@example.com", "password": PASSWORD}
    for _ in range(2):
        client.post("/api/v9/auth/login", json=body)
    failed, hit = told()
    assert hit["counted_by"] == f"127.0.0.1/{failed['account']}"


def test_a_password_set_by_a_link(app, quiet, new_device, told):
    """Asked for, by an account and by none; a link that is none; the right one, which ends what was signed in."""
    own = quiet.id_hash
    for login in (quiet.email, "nobody@example.com"):
        new_device().post("/auth/forgot", {"login": login})
    asked, asked_by_nobody = told()
    assert named(asked, "event", "user_id", "account") == {
        "event": "reset_asked",
        "user_id": quiet.user_id,
        "account": None,
    }
    assert (asked_by_nobody["user_id"], len(asked_by_nobody["account"])) == (None, 32)
    services = app.extensions["keyrack"]
    secret = services.links.issue_reset(
        quiet.user_id, services.accounts.get(quiet.user_id).secrets_version, services.clock(), new_notice_id()
    )
    for token in ("made up", secret):
        new_device().post("/auth/reset", {"token": token, "password": "another long one"})
    lines = told()
    assert events(lines) == ["sign_in_failed", "sessions_ended", "credentials_changed", "signed_in"]
    failed, ended, _, signed_in = lines
    assert (failed["reason"], signed_in["how"]) == ("invalid_link", "reset")
    assert named(ended, "reason", "sessions", "actor") == {
        "reason": "password_change",
        "sessions": [own],
        "actor": None,
    }


def test_what_an_operator_does_is_told_as_theirs(app, quiet, told):
    own, leaving = quiet.id_hash, app.extensions["keyrack"].leaving
    with context.operator("root"):
        leaving.disable(quiet.user_id)
        leaving.enable(quiet.user_id)
        leaving.delete(quiet.user_id)
        assert not leaving.delete(quiet.user_id)
    lines = told()
    assert events(lines) == ["sessions_ended", "account_disabled", "account_enabled", "account_deleted"]
    assert {str(line["actor"]) for line in lines} == {"{'operator': 'root'}"}
    assert named(lines[0], "reason", "sessions") == {"reason": "admin", "sessions": [own]}
    assert context.current() is None


def test_looking_is_no_event(quiet, told):
    for path in ("/auth/sessions", "/users/@me", "/gateway/verify"):
        assert quiet.get(path).status_code == 200
        assert quiet.get(path, Authorization="none").status_code == 401
    assert told() == []


def test_a_rename_is_told_where_a_name_changes(alice, told):
    """Clients send the present names along with other fields."""
    present = alice.get("/users/@me").json
    told()
    same = {"username": present["username"], "global_name": present["global_name"], "password": PASSWORD}
    assert alice.patch("/users/@me", same).status_code == 200
    assert "account_renamed" not in [line["event"] for line in told()]
    assert alice.patch("/users/@me", same | {"global_name": "Ada"}).status_code == 200
    assert [line["event"] for line in told()].count("account_renamed") == 1
