"""The address of an account: verified by a link, changed by one to the new address, put back by one to the old."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.stores.addresses import KEPT_S, AddressStore
from app.stores.keys import unprefixed as keys
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device, errors
from tests.letters import letters_of
from tests.passkeys import add, prove, sign_in

HOUR = 3600
NEW = "new@example.net"
NEW_PASSWORD = "another horse battery"


@pytest.fixture
def mailed(app, redis):
    return lambda kind: letters_of(app, redis, kind)


@pytest.fixture
def ask(mailed):
    """Asks for another address with the password, and returns the secret that is mailed to it."""

    def asked(device, email=NEW, password=PASSWORD, **headers):
        answer = device.patch("/users/@me", {"email": email, "password": password}, **headers)
        assert answer.status_code == 200, answer.json
        letter = mailed("new_address")[-1]
        assert letter.to == email
        return letter.secret

    return asked


def verify(device, secret):
    return device.post("/auth/verify", {"token": secret})


def me(device):
    return device.get("/users/@me").json


def enter(device, email, password=PASSWORD):
    return device.post("/auth/login", {"login": email, "password": password})


def test_a_registration_is_verified_by_its_mail_once(alice, mailed):
    assert (me(alice)["verified"], me(alice)["pending_email"]) == (False, None)
    [letter] = mailed("verify")
    assert letter.to == alice.email
    assert verify(alice, letter.secret).json == {"user_id": alice.user_id, "token": None}
    assert me(alice)["verified"] is True
    assert errors(verify(alice, letter.secret), "token") == ["TOKEN_INVALID"]
    assert mailed("verify") == []


def test_who_has_no_session_gets_one_and_who_has_a_second_factor_none(alice, new_device, mailed, clock):
    """The link alone is one factor. A session of another user is none of this one."""
    other = new_device().register("carol@example.com")
    secret = mailed("verify")[0].secret
    carols = mailed("verify")[1].secret
    answer = verify(other, secret)
    signed_in = new_device()
    signed_in.token = answer.json["token"]
    assert me(signed_in)["id"] == alice.user_id == answer.json["user_id"]
    other.enable_totp(clock())
    assert verify(new_device(), carols).json == {"user_id": other.user_id, "token": None}


def test_a_link_works_for_48_hours_and_each_of_several_does(alice, mailed, clock):
    first = mailed("verify")[0].secret
    clock.advance(HOUR)
    assert alice.post("/auth/verify/resend").status_code == 204
    second = mailed("verify")[-1].secret
    assert first != second
    clock.advance(47 * HOUR)
    assert errors(verify(alice, first), "token") == ["TOKEN_INVALID"]
    assert verify(alice, second).status_code == 200
    before = len(mailed(""))
    assert alice.post("/auth/verify/resend").status_code == 204
    assert len(mailed("")) == before, "nothing is to be verified any more"


def test_resends_are_limited_by_user_and_by_mailbox(make_app, redis):
    app = make_app(RATE_LIMIT_VERIFY="2 per hour")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    bob = Device(app.test_client(use_cookies=False)).register("bob@example.com")
    assert [alice.post("/auth/verify/resend").status_code for _ in range(3)] == [204, 204, 429]
    body = {"email": "victim@example.com", "password": PASSWORD}
    assert [bob.patch("/users/@me", body).status_code for _ in range(3)] == [200, 200, 429]
    carol = Device(app.test_client(use_cookies=False)).register("carol@example.com")
    assert carol.patch("/users/@me", body).status_code == 429, "the mailbox has had its mails"
    assert carol.patch("/users/@me", {"email": carol.email, "password": PASSWORD}).status_code == 200
    assert redis.hget(keys.user(carol.user_id), "pending_email") is None


def test_an_account_of_the_release_before_and_one_where_no_mail_is_sent_count_as_verified(make_app, redis):
    app = make_app(SMTP_URL="")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    assert me(alice)["verified"] is True
    assert alice.post("/auth/verify/resend").status_code == 204


def test_a_new_address_counts_once_its_link_was_used(alice, new_device, ask, mailed):
    verify(alice, mailed("verify")[0].secret)
    secret = ask(alice)
    assert (me(alice)["email"], me(alice)["pending_email"]) == (alice.email, NEW)
    assert enter(new_device(), NEW).status_code == 400
    assert verify(alice, secret).json == {"user_id": alice.user_id, "token": None}
    assert (me(alice)["email"], me(alice)["pending_email"], me(alice)["verified"]) == (NEW, None, True)
    assert enter(new_device(), NEW).status_code == 200
    assert errors(enter(new_device(), alice.email), "login") == ["INVALID_LOGIN"]
    assert errors(verify(alice, secret), "token") == ["TOKEN_INVALID"]
    [told] = mailed("address_changed")
    assert told.to == alice.email


def test_the_old_address_takes_it_back_with_all_that_was_set_since(alice, new_device, ask, mailed, clock, redis):
    verify(alice, mailed("verify")[0].secret)
    thief = new_device().log_in(alice)
    assert verify(thief, ask(thief, "thief@example.net")).status_code == 200
    thief.enable_totp(clock())
    secret = mailed("address_changed")[-1].secret
    clock.advance(47 * HOUR)
    answer = new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD})
    assert answer.status_code == 200
    owner = new_device()
    owner.token = answer.json["token"]
    assert (me(owner)["email"], me(owner)["mfa_enabled"]) == (alice.email, False)
    assert not alice.is_signed_in
    assert not thief.is_signed_in
    assert enter(new_device(), "thief@example.net", NEW_PASSWORD).status_code == 400
    assert enter(new_device(), alice.email, NEW_PASSWORD).status_code == 200
    again = new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD})
    assert errors(again, "token") == ["TOKEN_INVALID"]
    new_device().register("thief@example.net")
    assert redis.ttl(keys.email(alice.email)) == -1


def test_it_works_for_48_hours(alice, new_device, ask, mailed, clock):
    verify(alice, mailed("verify")[0].secret)
    verify(alice, ask(alice))
    secret = mailed("address_changed")[-1].secret
    clock.advance(48 * HOUR)
    answer = new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD})
    assert errors(answer, "token") == ["TOKEN_INVALID"]
    assert mailed("address_changed") == [], "a mail that comes later would lead to nothing"


@pytest.mark.parametrize("act", ["reset", "another change", "delete", "disable", "all others"])
def test_the_thief_cannot_make_it_void(alice, new_device, ask, mailed, app, clock, act):
    """By nothing that the password, the session and the new mailbox can do."""
    verify(alice, mailed("verify")[0].secret)
    thief = new_device().log_in(alice)
    verify(thief, ask(thief, "thief@example.net"))
    secret = mailed("address_changed")[0].secret
    if act == "reset":
        new_device().post("/auth/forgot", {"login": "thief@example.net"})
        body = {"token": mailed("reset")[-1].secret, "password": "somebody else's horse"}
        assert new_device().post("/auth/reset", body).status_code == 200
    elif act == "another change":
        clock.advance(1)
        verify(thief, ask(thief, "second@example.net"))
    elif act in ("delete", "disable"):
        assert thief.post(f"/users/@me/{act}", {"password": PASSWORD}).status_code == 204
    else:
        client = app.test_client()
        answer = client.post("/me/sessions/revoke-all", headers={"Authorization": thief.token})
        assert answer.status_code == 200
    later = mailed("address_changed")[-1].secret
    answer = new_device().post("/auth/revert", {"token": secret, "password": NEW_PASSWORD})
    assert answer.status_code == 200, answer.json
    owner = new_device()
    owner.token = answer.json["token"]
    assert me(owner)["email"] == alice.email
    body = {"token": later, "password": "somebody else's horse"}
    assert errors(new_device().post("/auth/revert", body), "token") == ["TOKEN_INVALID"], "what came later is void"


def test_an_older_factor_stays_and_is_asked_for(alice, new_device, ask, mailed, clock):
    verify(alice, mailed("verify")[0].secret)
    phone = Authenticator()
    add(alice, phone)
    clock.advance(10)
    verify(alice, ask(alice, X_Discord_MFA_Authorization=prove(alice, phone).json["token"]))
    body = {"token": mailed("address_changed")[-1].secret, "password": NEW_PASSWORD}
    answer = new_device().post("/auth/revert", body)
    assert "message" in answer.json
    assert enter(new_device(), alice.email, NEW_PASSWORD).json["mfa"] is True


def test_the_mailbox_of_an_address_that_nobody_verified_takes_nothing_back(alice, ask, mailed):
    """It was a slip, perhaps: its owner may be a stranger."""
    verify(alice, ask(alice))
    assert mailed("address_changed") == []
    assert me(alice)["verified"] is True


def test_two_want_one_address_and_who_verifies_first_has_it(alice, bob, new_device, ask, redis):
    """Nobody learns of the other by asking, and asking reserves nothing."""
    first, second = ask(alice), ask(bob)
    assert verify(bob, second).status_code == 200
    assert errors(verify(alice, first), "token") == ["EMAIL_ALREADY_REGISTERED"]
    assert me(alice)["email"] == alice.email
    assert me(bob)["email"] == NEW
    taken = ask(alice, bob_was := "bob@example.com")
    assert errors(verify(alice, taken), "token") == ["EMAIL_ALREADY_REGISTERED"], "kept for who may take it back"
    assert redis.ttl(keys.email(bob_was)) > KEPT_S - 60


def test_of_many_who_use_their_links_at_once_one_has_it(app, new_device, ask, redis):
    devices = [new_device().register(f"user{number}@example.com") for number in range(5)]
    asked = [(device, ask(device)) for device in devices]
    with ThreadPoolExecutor(5) as pool:
        statuses = list(pool.map(lambda one: verify(*one).status_code, asked))
    assert sorted(statuses) == [200] + [400] * 4
    [winner] = [device for device, status in zip(devices, statuses, strict=True) if status == 200]
    assert redis.get(keys.email(NEW)) == winner.user_id
    assert redis.ttl(keys.email(NEW)) == -1
    assert [me(device)["email"] for device in devices].count(NEW) == 1


def test_asking_tells_nobody_whether_an_address_is_taken(alice, bob, redis):
    told = []
    for email in (bob.email, "nobody@example.com"):
        before = redis.xlen(keys.mail.waiting)
        answer = alice.patch("/users/@me", {"email": email, "password": PASSWORD})
        told.append((answer.status_code, answer.json | {"pending_email": ""}, redis.xlen(keys.mail.waiting) - before))
    assert told[0] == told[1]


@pytest.mark.parametrize("event", ["password", "reset", "cancel", "another", "operator", "leave"])
def test_what_makes_a_pending_address_void(alice, app, new_device, ask, mailed, event):
    """Among it each change of the password: whoever knew the former one may have asked."""
    secret = ask(alice)
    services = app.extensions[EXTENSION]
    if event == "password":
        body = {"password": PASSWORD, "new_password": NEW_PASSWORD}
        alice.token = alice.patch("/users/@me", body).json["token"]
    elif event == "reset":
        new_device().post("/auth/forgot", {"login": alice.email})
        body = {"token": mailed("reset")[-1].secret, "password": NEW_PASSWORD}
        assert new_device().post("/auth/reset", body).status_code == 200
    elif event == "cancel":
        services.addresses.cancel(services.accounts.get(alice.user_id))
    elif event == "another":
        ask(alice, "third@example.net")
    elif event == "operator":
        list(services.operators.end_all(alice.user_id))
    else:
        assert alice.post("/users/@me/disable", {"password": PASSWORD}).status_code == 204
    assert errors(verify(new_device(), secret), "token") == ["TOKEN_INVALID"]


def test_a_reset_of_the_former_mailbox_is_void(alice, ask, new_device, mailed):
    new_device().post("/auth/forgot", {"login": alice.email})
    reset = mailed("reset")[-1].secret
    verify(alice, ask(alice))
    answer = new_device().post("/auth/reset", {"token": reset, "password": NEW_PASSWORD})
    assert errors(answer, "token") == ["TOKEN_INVALID"]


def test_a_thief_with_a_session_alone_changes_nothing(with_totp):
    for body in ({"email": NEW}, {"email": NEW, "password": "wrong"}):
        assert errors(with_totp.patch("/users/@me", body), "password")
    answer = with_totp.patch("/users/@me", {"email": NEW, "password": PASSWORD})
    assert (answer.status_code, answer.json["code"]) == (401, 60003)
    assert me(with_totp)["pending_email"] is None


@pytest.mark.parametrize("email", ["nonsense", "a b@example.com", "x" * 300 + "@example.com", "alice@"])
def test_what_is_no_address_is_told_at_its_field(alice, email):
    answer = alice.patch("/users/@me", {"email": email, "password": PASSWORD})
    assert errors(answer, "email") == ["EMAIL_TYPE_INVALID_EMAIL"]


def test_where_no_mail_is_sent_it_counts_at_once(make_app, redis):
    app = make_app(SMTP_URL="")
    alice, bob = (
        Device(app.test_client(use_cookies=False)).register(email) for email in ("alice@example.com", "bob@example.com")
    )
    taken = alice.patch("/users/@me", {"email": bob.email, "password": PASSWORD})
    assert errors(taken, "email") == ["EMAIL_ALREADY_REGISTERED"]
    assert alice.patch("/users/@me", {"email": NEW, "password": PASSWORD}).json["email"] == NEW
    assert enter(bob, NEW).status_code == 200
    assert redis.get(keys.email("alice@example.com")) is None
    assert redis.ttl(keys.email(NEW)) == -1


@pytest.mark.parametrize("dies", ["take", "retire"])
def test_a_process_that_dies_amid_a_change_leaves_an_account_that_is_whole(
    alice, app, new_device, ask, redis, monkeypatch, dies
):
    """The next login settles it, and so does `flask users tidy`."""

    class Died(BaseException):
        pass

    def die(*_):
        raise Died

    secret = ask(alice)
    with monkeypatch.context() as patched:
        patched.setattr(AddressStore, dies, die)
        with pytest.raises(Died):
            verify(alice, secret)
    assert redis.ttl(keys.email(NEW)) > 0 or dies == "retire"
    assert enter(new_device(), NEW).status_code == 200
    assert redis.ttl(keys.email(NEW)) == -1
    assert 0 < redis.ttl(keys.email(alice.email)) <= KEPT_S
    assert redis.hget(keys.user(alice.user_id), "moved_from") is None


def test_a_process_that_dies_before_the_record_changes_leaves_the_address_as_it_was(
    alice, bob, app, ask, redis, monkeypatch
):
    """The claim ends by itself, and the same link goes on."""
    secret = ask(alice)
    services = app.extensions[EXTENSION]
    assert services.addresses._store.claim(alice.user_id, [NEW])
    assert me(alice)["email"] == alice.email
    assert verify(alice, secret).status_code == 200
    assert redis.get(keys.email(NEW)) == alice.user_id


def test_where_it_is_required_a_second_device_waits_for_it(make_app, redis):
    app = make_app(VERIFY_EMAIL="required")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    assert alice.is_signed_in
    other = Device(app.test_client(use_cookies=False))
    for _ in range(6):
        assert errors(enter(other, alice.email), "login") == ["ACCOUNT_LOGIN_VERIFICATION_EMAIL"]
    assert errors(enter(other, alice.email, "wrong"), "login") == ["INVALID_LOGIN"]
    letters = letters_of(app, redis, "verify")
    assert 1 < len(letters) <= 4, "a mailbox is not flooded"
    assert verify(other, letters[-1].secret).json["token"]
    assert enter(other, alice.email).status_code == 200


def test_where_it_is_required_a_passkey_waits_for_it_and_a_link_for_a_new_password_does_not(make_app, redis):
    """Whoever has that link has the mailbox."""
    app = make_app(VERIFY_EMAIL="required")
    alice, bob = (
        Device(app.test_client(use_cookies=False)).register(email) for email in ("alice@example.com", "bob@example.com")
    )
    phone = Authenticator()
    add(alice, phone)
    other = Device(app.test_client(use_cookies=False))
    assert errors(sign_in(other, phone), "login") == ["ACCOUNT_LOGIN_VERIFICATION_EMAIL"]
    assert verify(other, letters_of(app, redis, "verify")[-1].secret).status_code == 200
    assert sign_in(other, phone).status_code == 200
    assert other.post("/auth/forgot", {"login": bob.email}).status_code == 200
    reset = {"token": letters_of(app, redis, "reset")[-1].secret, "password": NEW_PASSWORD}
    assert other.post("/auth/reset", reset).status_code == 200
    assert enter(other, bob.email, NEW_PASSWORD).status_code == 200


def test_a_get_of_the_page_changes_nothing_and_its_form_does(alice, app, mailed):
    secret = mailed("verify")[0].secret
    client = app.test_client()
    for path in ("/verify", f"/verify?token={secret}", "/verify/form"):
        client.get(path, follow_redirects=True)
    assert me(alice)["verified"] is False
    answer = client.post("/verify/form", data={"token": secret})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?done=verified")
    assert "__Host-session" not in answer.headers.get("Set-Cookie", "")
    assert me(alice)["verified"] is True
    again = client.post("/verify/form", data={"token": secret})
    assert again.status_code == 400
    assert "expired or was used already" in again.text


def test_of_two_changes_at_once_where_no_mail_is_sent_none_leaves_an_address_behind(make_app, redis, monkeypatch):
    """Whoever read the record before the other change is refused, and nobody's address stays taken for nothing."""
    app = make_app(SMTP_URL="")
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    begin, others = AddressStore.claim, iter([True])

    def claim(store, user_id, forms):
        if next(others, None):
            assert alice.patch("/users/@me", {"email": "other@example.net", "password": PASSWORD}).status_code == 200
        return begin(store, user_id, forms)

    with monkeypatch.context() as patched:
        patched.setattr(AddressStore, "claim", claim)
        late = alice.patch("/users/@me", {"email": NEW, "password": PASSWORD})
    assert errors(late, "password") == ["PASSWORD_DOES_NOT_MATCH"]
    assert me(alice)["email"] == "other@example.net"
    assert list(redis.scan_iter("email:*")) == [keys.email("other@example.net")]
