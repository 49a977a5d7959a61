"""Register, log in, log in with a code, log out."""

import base64
import unicodedata

import pyotp
import pytest

from app import tokens
from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client
from tests.device import PASSWORD, Device, errors


def log_in(device, email="alice@example.com", password=PASSWORD):
    return device.post("/auth/login", {"login": email, "password": password})


def test_register_signs_the_first_device_in(new_device):
    device = new_device().register("alice@example.com")
    me = device.get("/users/@me")
    assert me.json == {
        "id": device.user_id,
        "username": "alice",
        "global_name": None,
        "email": "alice@example.com",
        "mfa_enabled": False,
        "authenticator_types": [],
        "discriminator": "0",
        "avatar": None,
        "verified": False,
        "pending_email": None,
        "locale": "en-US",
        "flags": 0,
        "premium_type": 0,
        "bio": "",
        "banner": None,
        "accent_color": None,
    }
    assert me.headers["Cache-Control"] == "no-store"


def test_a_token_names_its_user_and_its_time(alice, clock):
    """Clients read the user's id from the first part; the second is the beginning in 4 bytes."""
    user_id, seconds, random = alice.token.split(".")
    assert base64.urlsafe_b64decode(user_id + "=" * (-len(user_id) % 4)).decode() == alice.user_id
    assert int.from_bytes(base64.urlsafe_b64decode(seconds + "==")) == int(clock())
    assert len(base64.urlsafe_b64decode(random + "=")) == 32


def test_a_taken_address_is_refused_in_whatever_case(alice, new_device):
    body = {"email": "ALICE@Example.com", "username": "other", "password": PASSWORD}
    assert errors(new_device().post("/auth/register", body), "email") == ["EMAIL_ALREADY_REGISTERED"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("uu@m\u00fcnchen.de", "uu@xn--mnchen-3ya.de", True),
        ("e\u0301x@example.com", "\u00e9x@example.com", True),
        ("uu@\uff45xample.com", "uu@example.com", True),
        ("stra\u00dfe@example.com", "strasse@example.com", False),
        ("mia@stra\u00dfe.example", "mia@xn--strae-oqa.example", True),
        ("mia@stra\u00dfe.example", "mia@strasse.example", False),
        ("J\u030cx@example.com", "\u01f0x@example.com", True),
        ("H\u0331x@example.com", "\u1e96x@example.com", True),
        ("T\u0308x@example.com", "\u1e97x@example.com", True),
        ("a..b@docomo.ne.jp", "A..B@docomo.ne.jp", True),
        ("a.@docomo.ne.jp", "a@docomo.ne.jp", False),
        ("a..b@docomo.ne.jp", "a.b@docomo.ne.jp", False),
        ("ada@example.com", " \u202aada@example.com\u00a0", True),
    ],
)
def test_spellings_of_one_address_are_one_account(new_device, first, second, same):
    """Composed or not, IDNA or not, it is one mailbox; what only looks alike is another."""
    new_device().register(first)
    answer = new_device().post("/auth/register", {"email": second, "username": "other", "password": PASSWORD})
    assert answer.status_code == (400 if same else 201)
    assert log_in(new_device(), email=second.upper() if not same else second).status_code == 200


def test_an_account_of_an_earlier_release_is_found(alice, new_device, redis):
    """It was kept under small letters that were not composed again, and its address is taken."""
    redis.set(keys.email("j\u030cx@example.com"), alice.user_id)
    redis.hset(keys.user(alice.user_id), "email", "j\u030cx@example.com")
    assert log_in(new_device(), email="J\u030cx@example.com").status_code == 200
    body = {"email": "J\u030cx@example.com", "username": "other", "password": PASSWORD}
    assert errors(new_device().post("/auth/register", body), "email") == ["EMAIL_ALREADY_REGISTERED"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("email", "nobody", "EMAIL_TYPE_INVALID_EMAIL"),
        ("email", "a\r\nBcc: b@example.com", "EMAIL_TYPE_INVALID_EMAIL"),
        ("email", 5, "STRING_TYPE_CONVERT"),
        ("email", None, "BASE_TYPE_REQUIRED"),
        ("username", "a", "BASE_TYPE_BAD_LENGTH"),
        ("username", "a" * 33, "BASE_TYPE_BAD_LENGTH"),
        ("username", "a\u202eb", "BASE_TYPE_BAD_CHARACTERS"),
        ("global_name", "a\x00b", "BASE_TYPE_BAD_CHARACTERS"),
        ("password", "short", "BASE_TYPE_BAD_LENGTH"),
        ("password", "x" * 73, "BASE_TYPE_BAD_LENGTH"),
        ("password", "é" * 37, "BASE_TYPE_BAD_LENGTH"),
        ("password", "PassWord1", "PASSWORD_BAD_PASSWORD"),
        ("password", "eight\x00chars", "PASSWORD_BAD_PASSWORD"),
    ],
)
def test_register_refuses_bad_fields(new_device, field, value, code):
    body = {"email": "alice@example.com", "username": "alice", "password": PASSWORD, field: value}
    assert errors(new_device().post("/auth/register", body), field) == [code]


@pytest.mark.parametrize("password", ["eight ch", "x" * 71 + "y", "пароль из слов", "    spaces    "])
def test_passwords_are_taken_as_they_are(new_device, password):
    """No composition rules, nothing trimmed or cut."""
    device = new_device()
    device.password = password
    device.register("alice@example.com")
    assert log_in(new_device(), password=password).status_code == 200
    assert log_in(new_device(), password=password[:-1]).status_code == 400


COMPOSED = "ged\u00e4chtnis f\u00fcr alles"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.mark.parametrize(("first", "then"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_password_passes_in_either_unicode_form(new_device, app, first, then):
    """Macs and phones differ in what they send for an umlaut: at login, step-up, a change and a reset."""
    device = new_device()
    device.password = first
    device.register("alice@example.com")
    assert log_in(new_device(), password=then).status_code == 200
    device.password = then
    assert device.prove()
    changed = device.patch("/users/@me", {"password": then, "new_password": first + "!"})
    assert changed.status_code == 200
    assert log_in(new_device(), password=then + "!").status_code == 200


def test_the_length_of_a_password_counts_composed(new_device):
    """Eight characters, 72 bytes: as people count them, not as a system sends them."""
    body = {"email": "alice@example.com", "username": "alice"}
    seven = unicodedata.normalize("NFD", "\u00fc" * 7)
    assert errors(new_device().post("/auth/register", body | {"password": seven}), "password") == [
        "BASE_TYPE_BAD_LENGTH"
    ]
    longest = unicodedata.normalize("NFD", "\u00fc" * 36)
    assert new_device().post("/auth/register", body | {"password": longest}).status_code == 201
    assert log_in(new_device(), password="\u00fc" * 36).status_code == 200


def in_script(zero, digits):
    return "".join(chr(ord(zero) + int(digit)) if digit.isdigit() else digit for digit in digits)


ZEROS = {"Arabic": "\u0660", "Persian": "\u06f0", "Devanagari": "\u0966", "Bengali": "\u09e6", "full-width": "\uff10"}


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS.keys())
def test_codes_have_digits_of_any_script(with_totp, new_device, clock, zero):
    """As some authenticators show them and keyboards type them, with the marks of direction that copying adds."""
    clock.advance(30)
    code = "\u200f" + in_script(zero, with_totp.code(clock())) + "\u200e"
    ticket = log_in(new_device()).json["ticket"]
    assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).status_code == 200
    backup_code = in_script(zero, with_totp.backup_codes[0])
    ticket = log_in(new_device()).json["ticket"]
    assert new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": backup_code}).status_code == 200
    step_up = {
        "ticket": with_totp.challenge()["ticket"],
        "mfa_type": "totp",
        "data": in_script(zero, with_totp.code(clock() + 30)),
    }
    assert with_totp.post("/mfa/finish", step_up).status_code == 200


@pytest.mark.parametrize(
    "typed", ["\u00b2\u00b2\u00b2\u00b2\u00b2\u00b2", "\u2460" * 6, "\u4e00" * 6, "12345", "\u0660" * 7]
)
def test_what_is_no_six_digits_is_no_code(with_totp, new_device, typed):
    """Exponents, numbers in circles and words for numbers are no digits."""
    ticket = log_in(new_device()).json["ticket"]
    answer = new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": typed})
    assert answer.json["code"] == 60008


PERSIAN = "\u06af\u0648\u0634\u06cc\u200c\u0645\u0646"  # "my phone", with a non-joiner
SINHALA = "\u0dc1\u0dca\u200d\u0dbb\u0dd3"
TECHNOLOGIST = "Ada \U0001f469\u200d\U0001f4bb"
ON_FIRE = "\u2764\ufe0f\u200d\U0001f525 Ada"
SCOTLAND = "Isla \U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
NAMES = [PERSIAN, SINHALA, TECHNOLOGIST, ON_FIRE, SCOTLAND]
NO_NAMES = [
    "Ada\u200d",
    "\u200cAda",
    "Ada\u200c\u200cL",
    "Ada \u200dL",
    "Ada\u200d L",
    "A\u202eda",
    "A\u2066da",
    "A\u200bda",
    "Ada\U000e0067",
    "\U0001f3f4\U000e0067\U000e0062",
    "A\u200e\u200da",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_joiner_within_a_word_is_part_of_a_name(new_device, name):
    """Of a user and of a device: words of Persian and Sinhala, and many emoji, cannot be written without."""
    body = {"email": "alice@example.com", "username": name, "global_name": name, "password": PASSWORD}
    answer = new_device().post("/auth/register", body)
    assert answer.status_code == 201, answer.json
    me = new_device().get("/users/@me", Authorization=answer.json["token"]).json
    assert (me["username"], me["global_name"]) == (name, name)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_nobody_sees_is_no_part_of_a_name(new_device, name):
    body = {"email": "alice@example.com", "username": name, "password": PASSWORD}
    assert errors(new_device().post("/auth/register", body), "username") == ["BASE_TYPE_BAD_CHARACTERS"]


def test_what_real_clients_send_beside_is_passed_over(new_device):
    body = {
        **{"email": "alice@example.com", "username": "alice", "password": PASSWORD, "global_name": "Alice A."},
        **{"consent": True, "date_of_birth": "2000-01-01", "fingerprint": None, "gift_code_sku_id": None, "x": [1]},
    }
    assert new_device().post("/auth/register", body, Origin="https://discord.com").status_code == 201


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"email": "alice@example.com"}, 200),
        ({"email": "alice@example.com", "login": None}, 200),
        ({"email": "nobody@example.com", "login": "alice@example.com"}, 200),
        ({"email": "alice@example.com", "login": "nobody@example.com"}, 400),
        ({"email": "alice@example.com", "login": ""}, 400),
    ],
)
def test_a_client_may_call_the_login_email(alice, new_device, named, status):
    """Where both are there, login counts."""
    assert new_device().post("/auth/login", named | {"password": PASSWORD}).status_code == status


@pytest.mark.parametrize("named", [{}, {"email": None}, {"email": 5}, {"email": ["alice@example.com"]}])
def test_a_login_without_a_name_is_refused_at_its_field(new_device, named):
    """Whatever the client calls it."""
    code = "BASE_TYPE_REQUIRED" if named.get("email") is None else "STRING_TYPE_CONVERT"
    assert errors(new_device().post("/auth/login", named | {"password": PASSWORD}), "login") == [code]


def test_a_login_by_email_counts_against_the_accounts_limit(make_app, alice):
    """The limit of an account is one, whatever the field that names it."""
    app = make_app(RATE_LIMIT_LOGIN="2 per minute")
    device = Device(app.test_client(use_cookies=False))
    wrong = {"password": "a wrong password"}
    tried = [device.post("/auth/login", wrong | {name: alice.email}) for name in ("email", "login", "email")]
    assert [answer.status_code for answer in tried] == [400, 400, 429]


def test_log_in_answers_as_clients_expect(alice, new_device):
    answer = log_in(new_device(), "Alice@EXAMPLE.com")
    assert answer.json["user_id"] == alice.user_id
    assert answer.json["user_settings"] == {"locale": "en-US", "theme": "dark"}
    assert tokens.read(answer.json["token"]).user_id == alice.user_id
    assert answer.json["token"] != alice.token
    assert answer.headers["Cache-Control"] == "no-store"


def test_wrong_unknown_and_disabled_say_the_same(alice, bob, new_device, app):
    """Nobody learns which e-mail addresses have an account, nor which are shut out."""
    app.extensions["keyrack"].leaving.disable(bob.user_id)
    answers = [
        log_in(new_device(), password="wrong password"),
        log_in(new_device(), email="nobody@example.com"),
        log_in(new_device(), email="no address at all"),
        log_in(new_device(), email="bob@example.com"),
        log_in(new_device(), password="x" * 100),
        log_in(new_device(), password=PASSWORD + "\x00"),
    ]
    problem = {"_errors": [{"code": "INVALID_LOGIN", "message": "Login or password is invalid."}]}
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json == {
            **{"code": 50035, "message": "Invalid Form Body"},
            "errors": {"login": problem, "password": problem},
        }


def test_a_disabled_user_is_out_at_once(alice, bob, app, new_device, clock):
    """Sessions, step-up and a login's ticket end with the account; enabling it brings none of them back."""
    bob.enable_totp(clock())
    ticket = log_in(new_device(), "bob@example.com").json["ticket"]
    leaving = app.extensions["keyrack"].leaving
    assert leaving.disable(bob.user_id)
    assert bob.get("/users/@me").status_code == 401
    leaving.enable(bob.user_id)
    assert bob.get("/users/@me").status_code == 401
    answer = new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": bob.backup_codes[0]})
    assert (answer.status_code, answer.json["code"]) == (400, 60006)
    assert new_device().log_in(bob).is_signed_in
    assert alice.is_signed_in


def test_a_deleted_user_leaves_nothing(bob, app, redis):
    leaving = app.extensions["keyrack"].leaving
    assert leaving.delete(bob.user_id)
    assert not leaving.delete(bob.user_id)
    assert bob.get("/users/@me").status_code == 401
    assert redis.xlen(keys.mail.waiting) == 0
    assert not [key for key in redis.scan_iter() if not key.startswith("LIMITS") and key != keys.mail.waiting]


def test_log_in_with_totp(with_totp, new_device, clock):
    asked = log_in(new_device()).json
    instance, ticket = asked.pop("login_instance_id"), asked.pop("ticket")
    assert asked == {
        **{"user_id": with_totp.user_id, "mfa": True, "totp": True, "backup": True, "sms": False, "webauthn": None}
    }
    clock.advance(30)
    answer = new_device().post(
        "/auth/mfa/totp", {"ticket": ticket, "code": with_totp.code(clock()), "login_instance_id": instance}
    )
    assert answer.json["user_settings"] == {"locale": "en-US", "theme": "dark"}
    assert new_device().get("/users/@me", Authorization=answer.json["token"]).json["mfa_enabled"]


@pytest.mark.parametrize("route", ["/auth/mfa/totp", "/auth/mfa/backup"])
@pytest.mark.parametrize("spelling", ["{0}", " {1}-{2} "])
def test_log_in_with_a_backup_code(with_totp, new_device, route, spelling):
    """A backup code passes on both routes, in either spelling, once; ten become nine."""
    code = with_totp.backup_codes[0].upper()
    typed = spelling.format(code, code[:4], code[4:])
    answer = new_device().post(route, {"ticket": log_in(new_device()).json["ticket"], "code": typed})
    assert answer.status_code == 200
    again = new_device().post(route, {"ticket": log_in(new_device()).json["ticket"], "code": typed})
    assert (again.status_code, again.json["code"]) == (400, 60008)


def test_the_last_backup_code_is_not_offered(with_totp, new_device, clock):
    while with_totp.backup_codes:
        new_device().log_in(with_totp)
    assert log_in(new_device()).json["backup"] is False
    assert with_totp.challenge()["methods"] == [{"type": "totp", "backup_codes_allowed": False}]


def test_a_totp_code_is_none_for_the_backup_route(with_totp, new_device, clock):
    body = {"ticket": log_in(new_device()).json["ticket"], "code": with_totp.code(clock() + 30)}
    assert new_device().post("/auth/mfa/backup", body).json["code"] == 60008


def test_a_totp_code_counts_once_at_login_and_step_up_together(with_totp, new_device, clock):
    """RFC 6238, 5.2: also where another ticket asks, and not the code that turned the factor on either."""
    enabling = {"ticket": log_in(new_device()).json["ticket"], "code": with_totp.code(clock())}
    assert new_device().post("/auth/mfa/totp", enabling).json["code"] == 60008
    clock.advance(30)
    code = with_totp.code(clock())
    ticket = log_in(new_device()).json["ticket"]
    assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).status_code == 200
    step_up = {"ticket": with_totp.challenge()["ticket"], "mfa_type": "totp", "data": code}
    assert with_totp.post("/mfa/finish", step_up).json["code"] == 60008


def test_a_code_of_the_steps_beside_now_passes_and_no_further(with_totp, new_device, clock):
    def answer(offset):
        ticket = log_in(new_device()).json["ticket"]
        return new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": with_totp.code(clock() + offset)})

    clock.advance(300)
    assert [answer(offset).status_code for offset in (-60, 60, -30, 0, 30)] == [400, 400, 200, 200, 200]


def test_a_login_ticket_dies_after_five_wrong_codes(with_totp, new_device):
    ticket = log_in(new_device()).json["ticket"]
    wrong = [new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"}).json["code"] for _ in range(5)]
    assert wrong == [60008] * 5
    right = {"ticket": ticket, "code": with_totp.backup_codes[0]}
    assert new_device().post("/auth/mfa/backup", right).json["code"] == 60006


def test_a_login_ticket_is_for_one_login(with_totp, new_device):
    """Used, made up, of another login's instance, a token, a step-up ticket: the same refusal."""
    asked = log_in(new_device()).json
    codes = iter(with_totp.backup_codes)

    def refused(**body):
        answer = new_device().post("/auth/mfa/backup", {"ticket": asked["ticket"], "code": next(codes), **body})
        return (answer.status_code, answer.json.get("code")) == (400, 60006)

    assert refused(login_instance_id="another")
    assert refused(ticket="nonsense")
    assert refused(ticket=tokens.issue(with_totp.user_id, 0))
    assert refused(ticket=with_totp.token)
    assert refused(ticket=with_totp.challenge()["ticket"])
    assert not refused()
    assert refused()


def test_a_password_change_stops_a_login_that_waits_for_its_code(with_totp, new_device):
    ticket = log_in(new_device()).json["ticket"]
    proof = with_totp.prove()
    changed = with_totp.patch(
        "/users/@me", {"password": PASSWORD, "new_password": "a new one now"}, X_Discord_MFA_Authorization=proof
    )
    assert changed.status_code == 200
    answer = new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": with_totp.backup_codes[0]})
    assert (answer.status_code, answer.json["code"]) == (400, 60006)


def test_turning_totp_on_stops_a_login_by_password_alone(alice, app, clock):
    """A login that read the user before the factor was on opens nothing after it."""
    wired = app.extensions["keyrack"]
    user = wired.accounts.get(alice.user_id)
    alice.enable_totp(clock())
    assert wired.devices.open(user.id, user.credentials_version, Client(), ("pwd",)) is None


def test_log_out_ends_the_callers_session_alone(alice, new_device):
    """With any body, and the token is dead for every route."""
    other = new_device().log_in(alice)
    answer = other.post("/auth/logout", {"provider": None, "voip_provider": None})
    assert (answer.status_code, answer.data) == (204, b"")
    assert other.get("/auth/sessions").status_code == 401
    assert other.post("/auth/logout").status_code == 401
    assert alice.is_signed_in


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
def test_a_token_comes_plain_or_as_bearer(alice, new_device, scheme):
    assert new_device().get("/users/@me", Authorization=scheme + alice.token).status_code == 200


def test_a_hash_of_a_lower_cost_is_renewed_at_login(alice, make_app, redis):
    """Once, by the login that has the password; the sessions and logins under way are left alone."""
    stronger = make_app(BCRYPT_ROUNDS="5")
    before = redis.hgetall(f"user:{{{alice.user_id}}}")
    device = Device(stronger.test_client(use_cookies=False))
    assert log_in(device).status_code == 200
    renewed = redis.hgetall(f"user:{{{alice.user_id}}}")
    assert before["password_hash"].startswith("$2b$04$")
    assert renewed["password_hash"].startswith("$2b$05$")
    assert renewed["epoch"] == before["epoch"]
    assert log_in(device).status_code == 200
    assert redis.hget(f"user:{{{alice.user_id}}}", "password_hash") == renewed["password_hash"]


def test_a_missing_key_is_the_operators_to_mend(with_totp, make_app):
    """A TOTP secret that no key opens is no wrong code and no 500."""
    stranger = Device(make_app(SECRET_KEYS="a-key-that-nothing-was-written-under").test_client(use_cookies=False))
    ticket = log_in(stranger).json["ticket"]
    assert stranger.post("/auth/mfa/totp", {"ticket": ticket, "code": "000000"}).status_code == 503


def test_totp_secrets_need_their_key(with_totp, make_app, clock):
    """A new key in front of the old one reads what the old one wrote; backup codes too."""
    old, new = "a-secret-for-tests-long-enough-to-be-one", "another-secret-just-as-long-as-the-first"
    rotated = Device(make_app(SECRET_KEYS=f"{new},{old}").test_client(use_cookies=False))
    asked = log_in(rotated).json
    code = pyotp.TOTP(with_totp.totp_secret).at(int(clock()) + 30)
    assert rotated.post("/auth/mfa/totp", {"ticket": asked["ticket"], "code": code}).status_code == 200
    assert rotated.log_in(with_totp).is_signed_in


@pytest.mark.parametrize("value", [0, 1, 2, "true", "off", "", [], {}])
def test_a_flag_is_true_or_false(app, value):
    """Whatever else a client means by it, nobody's session may last longer than they thought."""
    answer = app.test_client().post("/login", json={"login": "a@b.c", "password": PASSWORD, "public_computer": value})
    assert answer.status_code == 400
    assert "public_computer: Could not interpret value as boolean" in answer.json["error"]
