"""`flask users import`: what is good goes in, what is bad is told, and a second run changes nothing."""

import base64
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from app.rules.import_lines import Email, ImportedUser, Line, Result
from app.rules.imports import Imports
from app.rules.keyring import Keyring
from app.stores.keys import unprefixed as keys
from tests.cli.conftest import counts
from tests.device import PASSWORD, Device
from tests.web.test_secrets import dump

HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
GOOD = {"email": "alice@example.com", "username": "alice", "password_hash": HASH}


@pytest.fixture
def run_import(run, tmp_path):
    """Imports lines, objects or texts, from a file; the counts and how it ended."""

    def run_one(*lines, options=()):
        path = tmp_path / "users.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return run("users", "import", "--json", *options, str(path))

    return run_one


def log_in(device, email="alice@example.com"):
    return device.post("/auth/login", {"login": email, "password": PASSWORD})


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_hashes_of_every_kind_sign_in(run_import, new_device, redis, kind):
    """And one of a lower cost than is set is renewed with the first login, as any is."""
    hashed = f"${kind}${HASH.split('$', 2)[2]}"
    assert counts(run_import(GOOD | {"password_hash": hashed})) == {"imported": 1, "there": 0, "bad": 0}
    assert log_in(new_device()).status_code == 200
    wrong = new_device().post("/auth/login", {"login": GOOD["email"], "password": "wrong password"})
    assert wrong.status_code == 400


@pytest.mark.parametrize("cost", [4, 6])
def test_a_hash_of_another_cost_is_renewed(run_import, make_app, users, cost):
    """A higher one too: the time of a wrong password tells it from that of no account."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode()
    run_import(GOOD | {"password_hash": f"$2y${hashed.split('$', 2)[2]}", "id": "7"})
    device = Device(make_app(BCRYPT_ROUNDS="5").test_client(use_cookies=False))
    assert log_in(device).status_code == 200
    assert users.get("7").password_hash.startswith("$2b$05$")


def test_a_hash_of_a_far_higher_cost_is_refused_unless_asked_for(run_import, users):
    """A guess at such an account takes four times as long as usual and more."""
    slow = [
        GOOD | {"email": f"u{cost}@example.com", "id": str(cost), "password_hash": HASH.replace("$04$", f"${cost:02}$")}
        for cost in (6, 7, 16)
    ]
    ran = run_import(*slow)
    assert counts(ran) == {"imported": 1, "there": 0, "bad": 2}
    assert "line 2: password_hash: Takes 2.0 times as long as the slowest that is taken, of bcrypt's cost 6." in ran.err
    assert "line 3: password_hash: Takes 1024.0 times as long" in ran.err
    assert [users.get(user_id) is None for user_id in ("6", "7", "16")] == [False, True, True]
    assert counts(run_import(*slow, options=["--slow-hashes"])) == {"imported": 2, "there": 1, "bad": 0}


def test_a_hash_of_a_password_that_another_system_sent_decomposed(run_import, new_device, users):
    """It signs in as it was typed, and after that in either form; also where the account has a second factor."""
    decomposed, composed = "geda\u0308chtnis", "ged\u00e4chtnis"
    hashed = bcrypt.hashpw(decomposed.encode(), bcrypt.gensalt(4)).decode()
    run_import(GOOD | {"password_hash": hashed, "id": "7"})

    def answers(password):
        return new_device().post("/auth/login", {"login": GOOD["email"], "password": password}).status_code

    assert answers(composed) == 400
    assert answers(decomposed) == 200
    assert users.get("7").password_hash != hashed
    assert (answers(composed), answers(decomposed)) == (200, 200)


def code_of(secret, at):
    """By RFC 6238 itself: pyotp takes no secret of less than 112 bits."""
    raw = base64.b32decode(secret.replace(" ", "").upper())
    mac = hmac.digest(raw, (int(at) // 30).to_bytes(8, "big"), "sha1")
    number = int.from_bytes(mac[mac[-1] & 15 :][:4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06}"


@pytest.mark.parametrize("secret", [SECRET, "jbsw y3dp ehpk 3pxp"])
def test_a_second_factor_comes_along(run_import, new_device, clock, redis, secret):
    """Also one of 80 bits, as other services' apps made them; it is kept encrypted."""
    run_import(GOOD | {"totp_secret": secret})
    assert secret not in dump(redis)
    ticket = log_in(new_device()).json["ticket"]
    code = code_of(secret, clock())
    assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).status_code == 200
    ticket = log_in(new_device()).json["ticket"]
    assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).json["code"] == 60008


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (1600000000, 1600000000),
        (1600000000.5, 1600000000),
        ("2020-09-13T12:26:40", 1600000000),
        ("2020-09-13 12:26:40.123", 1600000000),
        ("2020-09-13T14:26:40+02:00", 1600000000),
        ("2020-09-13T12:26:40.000Z", 1600000000),
        ("2020-09-13", 1599955200),
    ],
)
def test_everything_told_is_kept(run_import, users, told, at):
    line = GOOD | {"id": 123456789012345678, "global_name": "Alice A.", "created_at": told}
    assert run_import(line).exit_code == 0
    user = users.get("123456789012345678")
    assert (user.email, user.username, user.global_name, user.created_at) == (GOOD["email"], "alice", "Alice A.", at)
    assert not user.disabled


@pytest.mark.parametrize(("told", "may_log_in"), [(True, False), (1, False), (False, True), (0, True)])
def test_who_is_shut_out_stays_so(run_import, new_device, told, may_log_in):
    """MySQL and MariaDB write 0 and 1."""
    assert run_import(GOOD | {"disabled": told}).exit_code == 0
    assert (log_in(new_device()).status_code == 200) == may_log_in


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2020-09-13T12:26:40.700Z", "1600000000"),
        (1600000000.9, "1600000000"),
        (1600000000, "1600000000"),
        (None, None),
    ],
)
def test_since_when_tokens_count(run_import, redis, told, kept):
    """By whole seconds, cut down. Tokens have no others."""
    assert run_import(GOOD | {"id": "123", "tokens_valid_since": told}).exit_code == 0
    assert redis.hget(keys.user("123"), "tokens_valid_since") == kept


def test_no_token_of_before_counts_where_the_operator_says_so(run_import, redis):
    """For users who were deleted here and come again."""
    assert run_import(GOOD | {"id": "123", "tokens_valid_since": 1}, options=["--refuse-tokens"]).exit_code == 0
    assert int(redis.hget(keys.user("123"), "tokens_valid_since")) > time.time() + 50


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "JSON object"),
        ("[1]", "JSON object"),
        ('"' + "x" * 70_000 + '"', "JSON object"),
        ('{"email": "\\ud800"}', "JSON object"),
        ({}, "email: This field is required"),
        (GOOD | {"email": "no address"}, "email: Not a well formed"),
        (GOOD | {"email": "alice"}, "email: Not a well formed"),
        (GOOD | {"email": "@example.com"}, "email: Not a well formed"),
        (GOOD | {"email": "alice@"}, "email: Not a well formed"),
        (GOOD | {"email": "a@b@example.com"}, "email: Not a well formed"),
        (GOOD | {"email": "al ice@example.com"}, "email: Not a well formed"),
        (GOOD | {"email": "x" * 250 + "@e.uk"}, "email: Not a well formed"),
        (GOOD | {"email": None}, "email: This field is required"),
        (GOOD | {"username": "a"}, "username: Must be between"),
        (GOOD | {"username": "\u202e\u200b "}, "username: Must be between"),
        (GOOD | {"password_hash": "hunter22"}, "password_hash: Must be a hash of"),
        (GOOD | {"password_hash": HASH + "\n"}, "password_hash: Must be a hash of"),
        (GOOD | {"password_hash": HASH.replace("$04$", "$31$")}, "password_hash: Must be of a cost"),
        (GOOD | {"password_hash": HASH.replace("$2b$", "$2x$")}, "password_hash: Must be a hash of"),
        (GOOD | {"password_hash": HASH[:28] + "v" + HASH[29:]}, "password_hash: Must be a hash of"),
        (GOOD | {"password_hash": HASH[:-1] + "v"}, "password_hash: Must be a hash of"),
        (GOOD | {"totp_secret": "hunter22"}, "totp_secret: Must be base32"),
        (GOOD | {"totp_secret": 7}, "totp_secret: Must be a text"),
        (GOOD | {"created_at": 1600000000000}, "created_at: Must be a time"),
        (GOOD | {"created_at": "yesterday"}, "created_at: Must be a time"),
        (GOOD | {"created_at": True}, "created_at: Must be a time"),
        (GOOD | {"id": "0"}, "id: Must be a snowflake"),
        (GOOD | {"id": "1}:sessions"}, "id: Must be a snowflake"),
        (GOOD | {"id": 2**64}, "id: Must be a snowflake"),
        (GOOD | {"disabled": "perhaps"}, "disabled: Could not"),
        (GOOD | {"disabled": 2}, "disabled: Could not"),
        (GOOD | {"disabled": "1"}, "disabled: Could not"),
        (GOOD | {"tokens_valid_since": "lately"}, "tokens_valid_since: Must be a time"),
        (GOOD | {"tokens_valid_since": -1}, "tokens_valid_since: Must be a time"),
    ],
)
def test_a_bad_line_is_told_and_passed_over(run_import, user_ids, line, said):
    """By its number and a reason, without what stands in it; the lines around it go in."""
    others = [GOOD | {"email": f"{name}@example.com", "id": name} for name in ("1", "3")]
    ran = run_import(others[0], line, others[1])
    assert (ran.exit_code, counts(ran)) == (5, {"imported": 2, "there": 0, "bad": 1})
    assert ran.err.startswith("line 2: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert [secret for secret in ("hunter22", HASH, SECRET) if secret in ran.err] == []
    assert user_ids() == {"1", "3"}


def test_an_interrupted_run_is_on_record(run_import, monkeypatch):
    """What was written by then is told, and who did it."""

    def interrupted(*_, **__):
        yield Result(1, "imported")
        raise KeyboardInterrupt

    monkeypatch.setattr(Imports, "run", interrupted)
    ran = run_import(GOOD)
    assert (ran.exit_code, counts(ran)) == (4, {"imported": 1, "there": 0, "bad": 0})
    assert [(line["event"], line["act"], line["imported"]) for line in ran.audit] == [("operator_acted", "import", 1)]


FOREIGN = [
    ("a..b@docomo.ne.jp", "A..B@DOCOMO.ne.jp"),
    ("a.@docomo.ne.jp", "a.@docomo.ne.jp"),
    (".a@example.com", ".a@example.com"),
    ("admin@localhost", "Admin@localhost"),
    ("ada@my_host.example", "ada@MY_HOST.example"),
    ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
    ('"ada"@example.com', '"ADA"@example.com'),
    ('"a,b"@example.com', '"a,b"@example.com'),
    ("a..b@stra\u00dfe.example", "a..b@XN--STRAE-OQA.example"),
    ("o'hara+x=y/z@example.com", "O'Hara+x=y/z@example.com"),
    ("x" * 80 + "@example.com", "x" * 80 + "@example.com"),
]


@pytest.mark.parametrize(("kept", "typed"), FOREIGN)
def test_an_address_that_another_service_took_signs_in(run_import, new_device, redis, kept, typed):
    """Though it could not register here; it is found in any case, and a link for a reset goes to it."""
    assert counts(run_import(GOOD | {"email": kept})) == {"imported": 1, "there": 0, "bad": 0}
    assert log_in(new_device(), typed).status_code == 200
    assert new_device().post("/auth/forgot", {"login": typed}).status_code == 200
    assert redis.xlen(keys.mail.waiting) == 1
    assert counts(run_import(GOOD | {"email": typed})) == {"imported": 0, "there": 1, "bad": 0}


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("email", " alice@example.com\u200b", "alice@example.com"),
        ("email", "\u202aalice@example.com\u202c", "alice@example.com"),
        ("username", " alice ", "alice"),
        ("username", "ali\x1b[31mce", "ali[31mce"),
        ("username", "\u202ealice\u200b", "alice"),
        (
            "username",
            "\u06af\u0648\u0634\u06cc\u200c\u200c\u0645\u0646\u200c",
            "\u06af\u0648\u0634\u06cc\u200c\u0645\u0646",
        ),
        ("global_name", "Alice\tA.", "AliceA."),
        ("global_name", "\u200b", None),
    ],
)
def test_what_nobody_sees_costs_nobody_their_account(run_import, users, new_device, field, given, kept):
    """Outer spaces and hidden characters are taken out, and the operator hears of it."""
    ran = run_import(GOOD | {"id": "7", field: given})
    assert (ran.exit_code, counts(ran)) == (0, {"imported": 1, "there": 0, "bad": 0})
    assert ran.err == f"line 1: {field}: imported without its outer spaces and hidden characters\n"
    assert getattr(users.get("7"), field) == kept
    assert log_in(new_device(), given if field == "email" else GOOD["email"]).status_code == 200


PERSIAN = "\u06af\u0648\u0634\u06cc\u200c\u0645\u0646"
TECHNOLOGIST = "Ada \U0001f469\u200d\U0001f4bb"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Isla"


@pytest.mark.parametrize("name", [PERSIAN, TECHNOLOGIST, SCOTLAND])
def test_names_with_joiners_come_as_they_are(run_import, users, name):
    ran = run_import(GOOD | {"id": "7", "username": name, "global_name": name})
    assert (ran.exit_code, ran.err) == (0, "")
    assert (users.get("7").username, users.get("7").global_name) == (name, name)


def test_blank_lines_are_nothing(run_import):
    assert counts(run_import("", GOOD, "  ", "")) == {"imported": 1, "there": 0, "bad": 0}


def test_a_second_run_changes_nothing(run_import, redis, alice):
    """Also for who registered themselves in the meantime, and for twins within the file."""
    lines = [GOOD | {"email": f"{number}@Example.com"} for number in range(520)]
    lines += [GOOD | {"email": "Alice@EXAMPLE.com"}, lines[0], lines[510]]
    assert counts(run_import(*lines)) == {"imported": 520, "there": 1, "bad": 0}
    before = dump(redis)
    ran = run_import(*lines)
    assert (ran.exit_code, counts(ran)) == (5, {"imported": 0, "there": 521, "bad": 0})
    assert dump(redis) == before
    assert {redis.ttl(key) for key in redis.scan_iter(match="email:*")} == {-1}
    assert alice.is_signed_in


def test_a_run_whose_last_answer_was_lost_is_completed_by_the_next(run_import, redis, users):
    """It died after the records: whoever is said to be there still is when the claims would have run out."""
    line = GOOD | {"id": "7"}
    run_import(line)
    redis.expire(keys.email(GOOD["email"]), 60)
    assert counts(run_import(line)) == {"imported": 0, "there": 1, "bad": 0}
    assert redis.ttl(keys.email(GOOD["email"])) == -1
    redis.delete(keys.email(GOOD["email"]))
    assert counts(run_import(line)) == {"imported": 0, "there": 1, "bad": 0}
    assert users.id_of(GOOD["email"]) == "7"


def test_an_id_that_is_taken_is_not_given_twice(run_import, users, redis):
    """Whoever has it keeps it; the other has an id of their own, and the operator hears of it."""
    lines = [GOOD | {"id": "7"}, GOOD | {"id": "7", "email": "bob@example.com", "username": "bob"}]
    ran = run_import(*lines)
    assert counts(ran) == {"imported": 2, "there": 0, "bad": 0}
    assert "line 2: id: is that of line 1, too; imported as " in ran.err
    assert users.get("7").email == "alice@example.com"
    assert users.get(users.id_of("bob@example.com")).username == "bob"
    assert counts(run_import(*lines)) == {"imported": 0, "there": 2, "bad": 0}


def test_standard_input_is_a_file_too(run):
    assert counts(run("users", "import", "-", "--json", given=json.dumps(GOOD))) == {
        "imported": 1,
        "there": 0,
        "bad": 0,
    }
    assert run("users", "import", "/nowhere/at/all").exit_code == 2


def lines_for(emails):
    return [
        Line(number, ImportedUser(Email(email, email), "someone", HASH, id=str(number)))
        for number, email in enumerate(emails, 1)
    ]


@pytest.fixture
def imports(users, clock):
    return lambda wait=None: Imports(users, Keyring(["k" * 32]), clock, wait)


def test_an_interrupted_run_is_completed_by_the_next(imports, user_ids, redis):
    """Even if it died with addresses claimed: the next waits until it is clear that nobody comes for them."""
    emails = [f"{number}@example.com" for number in range(1300)]

    def interrupted():
        yield from lines_for(emails)[:700]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for _ in imports().run(interrupted()):
            pass
    assert len(user_ids()) == 500
    dead = [keys.email(email) for email in emails[500:510]]
    for key in dead:
        redis.set(key, "999999", nx=True, ex=60)
    waited = []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            redis.delete(*dead)

    verdicts = [result.verdict for result in imports(wait).run(lines_for(emails))]
    assert (verdicts.count("there"), verdicts.count("imported"), len(waited)) == (500, 800, 3)
    assert len(user_ids()) == 1300


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_registrations_at_the_same_time(imports, users, user_ids, redis, clock):
    """Each address is one user's, whoever was faster, and nobody without an address is left over."""
    emails = [f"{number}@example.com" for number in range(1500)]
    named = {"username": "themselves", "global_name": None, "password_hash": HASH, "created_at": 1}

    def register(number):
        return users.create(str(10**6 + number), emails[number], email=emails[number], **named)

    def import_all():
        return [result.verdict for result in imports(time.sleep).run(lines_for(emails))]

    with ThreadPoolExecutor(5) as threads:
        importing = threads.submit(import_all)
        registered = list(threads.map(register, range(len(emails) - 1, -1, -1)))
        verdicts = importing.result()
    assert len(verdicts) == 1500
    assert verdicts.count("imported") + registered.count(True) == 1500
    assert registered.count(True) >= 1
    assert verdicts.count("imported") >= 1
    owners = {users.id_of(email): email for email in emails}
    assert owners.keys() == user_ids()
    assert {user.id: user.email for user in users.get_all(list(owners))} == owners
    assert {redis.ttl(key) for key in redis.scan_iter(match="email:*")} == {-1}


@pytest.mark.parametrize(
    "other",
    ['"alice"@example.com', "alice@example.com.", "ALICE@EXAMPLE.COM", '"Alice"@example.com.', " alice@example.com"],
)
def test_another_spelling_of_one_mailbox_is_one_account(run_import, other):
    """Quotes that are not needed and the dot of the root change nothing for a mail server (RFC 5321, 4.1.2)."""
    assert counts(run_import(GOOD)) == {"imported": 1, "there": 0, "bad": 0}
    assert counts(run_import(GOOD | {"email": other})) == {"imported": 0, "there": 1, "bad": 0}


def test_an_address_that_is_kept_in_the_form_of_an_earlier_release_is_taken(run_import, users, new_device):
    """An earlier release did not compose small letters again, so its key has another form of the same address."""
    email = "j\u030cx@example.com"
    users.create("7", email, email=email, username="jx", global_name=None, password_hash=HASH, created_at=1)
    for spelling in ("\u01f0x@example.com", "J\u030cx@example.com", email):
        assert counts(run_import(GOOD | {"email": spelling})) == {"imported": 0, "there": 1, "bad": 0}
