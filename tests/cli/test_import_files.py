"""`flask users import`: files as people have them, what is left out and why, and what becomes of ids and hashes."""

import base64
import codecs
import json

import pyotp
import pytest

from app.rules.password_hashes import read_hash
from app.stores.factors import TotpParameters
from app.stores.keys import unprefixed as keys
from app.stores.mail import new_notice_id
from app.wire import keycloak
from tests.cli.conftest import counts
from tests.cli.test_import import GOOD, HASH, SECRET, log_in, run_import  # noqa: F401 - a fixture
from tests.device import PASSWORD
from tests.routes.test_totp_parameters import DIGESTS
from tests.web.test_secrets import dump


@pytest.fixture
def run_file(run, tmp_path):
    """Imports a file of bytes."""

    def run_one(raw, *options):
        path = tmp_path / "users.jsonl"
        path.write_bytes(raw)
        return run("users", "import", "--json", *options, str(path))

    return run_one


def person(name, **more):
    return {"email": f"{name}@example.com", "username": name, "password_hash": HASH} | more


def lines(*people):
    return "".join(json.dumps(one) + "\n" for one in people).encode()


# The file


def test_a_byte_order_mark_is_no_part_of_a_line(run_file):
    """Nor where files that have one each were put together."""
    raw = codecs.BOM_UTF8 + b"\n" + lines(person("ada")) + codecs.BOM_UTF8 + lines(person("bea"))
    assert counts(run_file(raw)) == {"imported": 2, "there": 0, "bad": 0}


def test_ends_of_lines_and_blank_lines_are_as_people_have_them(run_file):
    raw = lines(person("ada")).replace(b"\n", b"\r\n\r\n \n") + json.dumps(person("bea")).encode()
    assert counts(run_file(raw)) == {"imported": 2, "there": 0, "bad": 0}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (lines(person("ada"), person("bea")).decode().encode("utf-16"), "in UTF-16 (iconv"),
        (json.dumps([person("ada"), person("bea")]).encode(), "is an array"),
        (json.dumps([person("ada")] * 900, indent=1).encode()[:100], "is an array"),
        (lines(person("ada")).replace(b"ada", "ä".encode("latin-1")), "in UTF-8"),
        (lines(person("ada"), person("bea")).replace(b"\n", b"\r"), "end with CR alone"),
        (b"email,username\nada@example.com,ada\n", "is no JSON object"),
        (b'{"email": "' + b"x" * 70_000 + b'"}\n', "64 KB at most"),
    ],
    ids=["UTF-16", "array", "array over lines", "Latin-1", "CR", "CSV", "long"],
)
def test_a_file_of_another_form_is_told_what_it_is(run_file, user_ids, raw, said):
    ran = run_file(raw)
    assert ran.exit_code == 5
    assert said in ran.err.splitlines()[0]
    assert "; " not in ran.err.splitlines()[0], "it would be counted as two reasons"
    assert user_ids() == set()


@pytest.mark.parametrize(("raw", "said"), [(b"[" + b"{}," * 400_000, "is an array"), (b'{"a":"' * 200_000, "64 KB")])
def test_a_line_as_long_as_a_file_is_passed_over_without_being_held(run_file, user_ids, tmp_path, raw, said):
    """An array of all users in one line is a usual form of a dump. The line after it has its own number."""
    rejects = tmp_path / "rejects"
    ran = run_file(raw + b"\r\nbad\n" + lines(person("ada")), "--rejects", str(rejects))
    assert counts(ran) == {"imported": 1, "there": 0, "bad": 2}
    told = ran.err.splitlines()
    assert (told[0].startswith("line 1: "), said in told[0], told[1].startswith("line 2: ")) == (True, True, True)
    assert rejects.read_bytes() == b"bad\n"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("totpSecret", "totpSecret: Unknown field, totp_secret is known"),
        ("Disabled", "Disabled: Unknown field, disabled is known"),
        ("passwordHash", "passwordHash: Unknown field, password_hash is known"),
        ("createdAt", "createdAt: Unknown field, created_at is known"),
        ("avatar", "avatar: Unknown field"),
        ("old_id", "old_id: Unknown field"),
        ("notes", "notes: Unknown field"),
        ("my p4ss word is hunter22", "a field: Unknown field"),
    ],
)
def test_an_unknown_field_is_refused_by_name(run_import, user_ids, field, said):  # noqa: F811
    """Whatever it holds: a misspelt one would leave somebody without a second factor, or let somebody in."""
    for value in (SECRET, True, None, ""):
        ran = run_import(person("ada") | {field: value})
        assert (ran.exit_code, ran.err) == (5, f"line 1: {said}.\n")
    assert user_ids() == set()


def test_all_that_is_wrong_with_a_line_is_told_at_once(run_import):  # noqa: F811
    ran = run_import(person("a", id=True, totpSecret=SECRET, password_hash="hunter22"))
    for said in ("username: Must be", "id: Must be", "totpSecret: Unknown field", "password_hash: Must be a hash of"):
        assert said in ran.err


OPTIONAL = ["password_hash", "global_name", "totp_secret", "created_at", "id", "disabled", "tokens_valid_since"]
OPTIONAL += ["passkeys", "totp_algorithm", "totp_digits", "totp_period"]


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("field", OPTIONAL)
def test_null_and_empty_are_absent(run_import, users, field, nothing):  # noqa: F811
    assert counts(run_import(person("ada") | {field: nothing}))["imported"] == 1
    user = users.get(users.id_of("ada@example.com"))
    assert (user.global_name, user.totp_secret, user.disabled, user.passkeys) == (None, None, False, ())


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("field", ["email", "username"])
def test_what_everybody_has_is_asked_for(run_import, field, nothing):  # noqa: F811
    assert f"line 1: {field}: This field is required" in run_import(person("ada") | {field: nothing}).err


# Doubles and ids


def test_doubles_are_told_with_both_lines(run_import, users, user_ids):  # noqa: F811
    """The first counts. Also where both are far apart, or the first was there already."""
    many = [person(f"u{number}") for number in range(600)]
    ran = run_import(person("ada"), person("ADA"), *many, person("ada"), person("bea"))
    assert (ran.exit_code, ran.json[0]["double"], ran.json[0]["imported"]) == (5, 2, 602)
    assert "line 2: email: is that of line 1, too\n" in ran.err
    assert "line 603: email: is that of line 1, too\n" in ran.err
    assert ran.json[0]["reasons"] == {"email: is that of an earlier line": 2}
    assert users.get(users.id_of("ada@example.com")).username == "ada"
    assert len(user_ids()) == 602
    assert run_import(person("ada"), person("Ada")).json[0] | {"reasons": 0} == {
        "imported": 0,
        "there": 1,
        "double": 1,
        "bad": 0,
        "without_password": 0,
        "reasons": 0,
    }


def test_a_line_of_somebody_whose_earlier_line_is_bad_is_no_double(run_import):  # noqa: F811
    told = run_import(person("ada", created_at="then"), person("ada")).json[0]
    assert (told["imported"], told["bad"], told["double"]) == (1, 1, 0)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_ids_are_mapped(run_import, users, tmp_path):  # noqa: F811
    """Of whatever form they were; a second run maps them again, since the first may have died."""
    path = tmp_path / "ids.jsonl"
    uuid = "123e4567-e89b-12d3-a456-426655440000"
    people = [person("ada", id=uuid), person("bea", id="auth0|7"), person("cleo", id=7), person("dora")]
    people += [person("eva", id="7"), person("fay", id=uuid), person("ada", id="5")]
    told = []
    for run_number in range(2):
        ran = run_import(*people, options=["--ids", str(path)])
        told.append([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
        assert path.stat().st_mode & 0o777 == 0o600
        path.unlink()
        assert ran.json[0]["there" if run_number else "imported"] == 6
    rows = {row["line"]: row for row in told[0]}
    assert [rows[number]["old_id"] for number in range(1, 7)] == [uuid, "auth0|7", "7", None, "7", uuid]
    for number, row in rows.items():
        assert users.id_of(f"{people[number - 1]['username']}@example.com") == row["id"]
    assert rows[3]["id"] == "7"
    assert sorted(told[1], key=lambda row: row["line"]) == sorted(told[0], key=lambda row: row["line"])


def test_an_id_of_another_form_needs_a_map(run_import):  # noqa: F811
    assert "id: Must be a snowflake. --ids FILE takes any id" in run_import(person("ada", id="auth0|7")).err


def test_a_file_that_is_there_is_not_written_over(run_import, tmp_path, user_ids):  # noqa: F811
    path = tmp_path / "kept"
    path.write_text("kept", encoding="utf-8")
    for option in ("--ids", "--rejects"):
        ran = run_import(person("ada"), options=[option, str(path)])
        assert (ran.exit_code, path.read_text(encoding="utf-8")) == (2, "kept")
        assert "is there already" in ran.err
        assert run_import(person("ada"), options=[option, "/nowhere/at/all"]).exit_code == 2
    assert user_ids() == set()


def test_a_file_for_nothing_is_not_kept(run_import, tmp_path):  # noqa: F811
    """So that the same command can be run again, as after one that found Redis away."""
    paths = [tmp_path / "ids", tmp_path / "rejects"]
    for _ in range(2):
        run_import(options=["--ids", str(paths[0]), "--rejects", str(paths[1])])
        assert [path.exists() for path in paths] == [False, False]


# What is left out


def test_rejects_can_be_mended_and_imported(run_file, tmp_path):
    """Each line as it stands in the file, but for a byte order mark; the file is its owner's alone."""
    path = tmp_path / "rejects.jsonl"
    bad = [
        codecs.BOM_UTF8 + b' {"email": "ada"}  \r\n',
        "{\u00e4".encode() + b"\n",
        lines(person("bea") | {"Disabled": True}),
        lines(person("CLEO")),
    ]
    raw = bad[0] + bad[1] + lines(person("cleo")) + bad[2] + bad[3].rstrip(b"\n")
    ran = run_file(raw, "--rejects", str(path))
    assert counts(ran) == {"imported": 1, "there": 0, "bad": 3}
    assert path.read_bytes() == b' {"email": "ada"}  \n' + bad[1] + bad[2] + bad[3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_why_lines_were_left_out_is_summed_up(run, tmp_path):
    path = tmp_path / "users.jsonl"
    people = [person(f"u{number}", totpSecret="x", created_at="then" if number % 2 else 5) for number in range(10)]
    path.write_bytes(lines(*people, person("u1")))
    ran = run("users", "import", str(path))
    assert ran.out == "1 imported, 0 already there, 10 bad lines.\n"
    assert ran.err.splitlines()[10:] == [
        "Left out, by reason:",
        "       10  totpSecret: Unknown field, totp_secret is known",
        "        5  created_at: Must be a time, ISO 8601 or Unix seconds",
    ]


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_a_dry_run_tells_what_would_be_and_writes_nothing(run_import, run, redis, alice, tmp_path):  # noqa: F811
    path = tmp_path / "rejects.jsonl"
    people = [
        person("alice"),
        person("ada"),
        person("ADA"),
        person("bea", id=alice.user_id),
        person("cleo", nick="x"),
        person("dora", password_hash="!"),
    ]
    before = dump(redis)
    ran = run_import(*people, options=["--dry-run", "--rejects", str(path)])
    assert dump(redis) == before
    assert (ran.exit_code, ran.audit) == (5, [])
    assert ran.json == [
        {
            "imported": 3,
            "there": 1,
            "double": 1,
            "bad": 1,
            "without_password": 1,
            "reasons": {"email: is that of an earlier line": 1, "nick: Unknown field": 1},
        }
    ]
    assert "line 4: id: is somebody else's; would get a new one\n" in ran.err
    assert path.read_bytes() == lines(people[2], people[4])
    path.write_bytes(lines(person("ada")))
    assert run("users", "import", "--dry-run", str(path)).out == "1 would be imported, 0 already there, 0 bad lines.\n"
    assert run_import(person("ada"), options=["--dry-run", "--ids", str(tmp_path / "ids")]).exit_code == 2


def test_on_a_terminal_messages_stand_after_the_bar(app, tmp_path, monkeypatch):
    """A few of them, and how many more there are."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    path = tmp_path / "users.jsonl"
    path.write_bytes(lines(*[person(f"u{number}", created_at="then") for number in range(50)]))
    shown = app.test_cli_runner().invoke(args=["users", "import", str(path)]).stderr
    bar, _, rest = shown.rpartition("100%")
    assert "created_at" not in bar
    assert rest.count("created_at: Must be a time") == 20 + 1
    assert "… and 30 more notes: --rejects FILE" in rest
    assert "       50  created_at: Must be a time" in rest


# Passwords


def test_who_has_no_password_comes_along_and_no_password_signs_in(run_import, new_device, users):  # noqa: F811
    people = [person("ada"), person("bea", password_hash=None), person("cleo", password_hash="!2evfoviRB0vpqo4hqwNWH")]
    del people[0]["password_hash"]
    ran = run_import(*people, person("dora", password_hash="*"))
    assert (ran.exit_code, ran.json[0]["imported"], ran.json[0]["without_password"]) == (0, 4, 4)
    for name in ("ada", "bea", "cleo", "dora"):
        email = f"{name}@example.com"
        assert users.get(users.id_of(email)).password_hash == ""
        for typed in (PASSWORD, "", "!", "*"):
            answer = new_device().post("/auth/login", {"login": email, "password": typed})
            assert answer.status_code == 400


@pytest.mark.parametrize("secret", [None, SECRET])
def test_they_are_let_in_by_the_mail_for_a_new_password(run_import, app, new_device, redis, users, clock, secret):  # noqa: F811
    """After their second factor, if they have one."""
    run_import(person("ada", password_hash="", totp_secret=secret))
    user = users.get(users.id_of("ada@example.com"))
    assert new_device().post("/auth/forgot", {"login": "ada@example.com"}).status_code == 200
    [(_, queued)] = redis.xrange(keys.mail.waiting)
    assert user.id in json.dumps(queued)
    links = app.extensions["keyrack"].links
    link = links.issue_reset(user.id, user.secrets_version, clock(), new_notice_id())
    body = {"token": link, "password": PASSWORD}
    if secret:
        body["ticket"] = new_device().post("/auth/reset", body).json["ticket"]
        body |= {"code": pyotp.TOTP(SECRET).at(int(clock())), "method": "totp"}
    assert "token" in new_device().post("/auth/reset", body).json
    assert users.get(user.id).password_hash.startswith("$2b$")


def test_how_they_get_in_is_said(run, make_app, tmp_path):
    path = tmp_path / "users.jsonl"
    path.write_bytes(lines(person("ada", password_hash="")))
    assert "1 of them without a password: they set one by “Forgot password”." in run("users", "import", str(path)).out
    path.write_bytes(lines(person("bea", password_hash="")))
    ran = make_app(SMTP_URL="", MAIL_FROM="").test_cli_runner().invoke(args=["users", "import", str(path)])
    assert "1 of them without a password: they cannot sign in: SMTP_URL is not set." in ran.stdout


def test_hashes_that_cannot_be_used_are_dropped_if_the_operator_says_so(run_import, users):  # noqa: F811
    given = ["$6$salt$hash", "md5$x$y", HASH.replace("$04$", "$20$"), 7, {"secretData": 1}]
    people = [person(f"u{number}", password_hash=hashed) for number, hashed in enumerate(given)]
    assert run_import(*people).json[0]["bad"] == len(given)
    ran = run_import(*people, options=["--drop-hashes"])
    assert (ran.exit_code, ran.json[0]["without_password"]) == (0, len(given))
    assert "line 1: password_hash: cannot be used here; imported without a password\n" in ran.err
    assert users.get(users.id_of("u0@example.com")).password_hash == ""


ARGON2 = {
    "hashIterations": 5,
    "algorithm": "argon2",
    "additionalParameters": {
        "hashLength": ["32"],
        "memory": ["7168"],
        "type": ["id"],
        "version": ["1.3"],
        "parallelism": ["1"],
    },
}
KEYCLOAK = [  # of a realm of Keycloak 24
    (
        "testpassword",
        {
            "value": "x4QqNb57CHVDsuIM+UMaOeryY7WsOGhxPFzjhEQgoisZ2hrviOSvuokCIXFXHkvBF47BLXDj2MA/g4vUBMuJcw==",
            "salt": "IQU7tTvDbMtynBAFmSOrpA==",
            "additionalParameters": {},
        },
        {"hashIterations": 210000, "algorithm": "pbkdf2-sha512", "additionalParameters": {}},
    ),
]


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize(("password", "secret", "about"), KEYCLOAK)
def test_keycloaks_credentials_sign_in_as_they_are_exported(run_import, new_device, password, secret, about):  # noqa: F811
    """JSON within JSON, in the spelling of an export or of its table; or objects, as a database has them."""
    forms = [
        {"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(about), "priority": 10},
        {"secret_data": secret, "credential_data": about},
    ]
    people = [person(f"u{number}", password_hash=form) for number, form in enumerate(forms)]
    assert run_import(*people, options=["--slow-hashes"]).json[0]["imported"] == 2
    for one in people:
        for typed, status in ((password, 200), (password + "!", 400)):
            answer = new_device().post("/auth/login", {"login": one["email"], "password": typed})
            assert answer.status_code == status


def test_keycloaks_argon2_is_that_of_phc():
    """Of a realm whose users have a password of one word, which no log could be searched for."""
    secret = {"value": "BruFLfFkjH/8erZ26NnrbkOrWiZuQyDRCHD9o0R6Scg=", "salt": "Cf9AYCE5pAbb4CKEF0GUTA=="}
    text = keycloak.read_hash({"secretData": json.dumps(secret), "credentialData": json.dumps(ARGON2)})
    assert text.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    assert (read_hash(text).matches(b"password"), read_hash(text).matches(b"passwore")) == (True, False)


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"secretData": "{", "credentialData": "{}"},
        {"secretData": {"value": "AAAA", "salt": "AAAA"}, "credentialData": {"algorithm": "pbkdf2"}},
        {"secretData": {"value": "AAAA", "salt": "AAAA"}, "credentialData": ARGON2 | {"additionalParameters": {}}},
        {"secretData": {"value": 7, "salt": None}, "credentialData": ARGON2},
        {"secretData": {"value": "AAAA", "salt": "AAAA"}, "credentialData": {"algorithm": "x", "hashIterations": 1}},
        {"secretData": [], "credentialData": [[]]},
    ],
)
def test_another_object_is_no_hash_and_no_secret(run_import, credential):  # noqa: F811
    for field in ("password_hash", "totp_secret"):
        ran = run_import(person("ada") | {field: credential})
        assert (ran.exit_code, ran.err[:17]) == (5, f"line 1: {field}"[:17])


# Authenticator apps


def codes(secret, parameters):
    return pyotp.TOTP(
        secret, digits=parameters.digits, digest=DIGESTS[parameters.algorithm], interval=parameters.period_s
    )


RAW = "Quohp7t2mrLMUwft3g90"  # as Keycloak keeps one: letters and digits, whose bytes are the key
LUCKY = "QUOHP7T2MRLMUWFT3G67"  # one that reads as base32, too


def keycloak_otp(value, **about):
    told = {"subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1"} | about
    return {"secretData": json.dumps({"value": value}), "credentialData": json.dumps(told)}


def b32(text):
    return base64.b32encode(text.encode()).decode()


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.parametrize(
    ("told", "secret", "parameters"),
    [
        ({"totp_secret": SECRET, "totp_algorithm": "SHA256"}, SECRET, TotpParameters("SHA256")),
        ({"totp_secret": SECRET, "totp_algorithm": "sha-512"}, SECRET, TotpParameters("SHA512")),
        ({"totp_secret": SECRET, "totp_algorithm": "HmacSHA1", "totp_digits": "8"}, SECRET, TotpParameters(digits=8)),
        ({"totp_secret": SECRET, "totp_digits": 8, "totp_period": 60}, SECRET, TotpParameters("SHA1", 8, 60)),
        ({"totp_secret": SECRET, "totp_period": "", "totp_digits": None}, SECRET, TotpParameters()),
        (
            {"totp_secret": f"otpauth://totp/x:y?secret={SECRET}&algorithm=SHA256&digits=8&period=45&issuer=x"},
            SECRET,
            TotpParameters("SHA256", 8, 45),
        ),
        (
            {"totp_secret": f"otpauth://totp/x?secret={SECRET}&digits=8", "totp_digits": 8},
            SECRET,
            TotpParameters("SHA1", 8, 30),
        ),
        ({"totp_secret": keycloak_otp(RAW)}, b32(RAW), TotpParameters()),
        ({"totp_secret": keycloak_otp(LUCKY)}, b32(LUCKY), TotpParameters()),
        (
            {"totp_secret": keycloak_otp(RAW, algorithm="HmacSHA512", digits=8, period=60)},
            b32(RAW),
            TotpParameters("SHA512", 8, 60),
        ),
        ({"totp_secret": keycloak_otp(SECRET, secretEncoding="BASE32")}, SECRET, TotpParameters()),
        ({"totp_secret": b32("x" * 80)}, b32("x" * 80), TotpParameters()),
    ],
)
def test_apps_of_each_kind_sign_in(run_import, new_device, users, clock, told, secret, parameters):  # noqa: F811
    ran = run_import(GOOD | told)
    assert (ran.exit_code, ran.err) == (0, "")
    assert users.get(users.id_of(GOOD["email"])).totp_parameters == parameters
    shown = codes(secret, parameters)
    for code, status in (("0" * parameters.digits, 400), (shown.at(int(clock())), 200), (shown.at(int(clock())), 400)):
        ticket = log_in(new_device()).json["ticket"]
        assert new_device().post("/auth/mfa/totp", {"ticket": ticket, "code": code}).status_code == status


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"totp_secret": SECRET, "totp_algorithm": "MD5"}, "Must have the algorithm SHA1, SHA256, SHA512"),
        ({"totp_secret": SECRET, "totp_algorithm": 256}, "Must have the algorithm"),
        ({"totp_secret": SECRET, "totp_digits": 7}, "Must have 6 or 8 digits"),
        ({"totp_secret": SECRET, "totp_digits": 12}, "Must have 6 or 8 digits"),
        ({"totp_secret": SECRET, "totp_digits": 6.0}, "as texts or whole numbers"),
        ({"totp_secret": SECRET, "totp_digits": True}, "as texts or whole numbers"),
        ({"totp_secret": SECRET, "totp_period": 0}, "Must have a period from 1"),
        ({"totp_secret": SECRET, "totp_period": [30]}, "as texts or whole numbers"),
        ({"totp_secret": f"otpauth://totp/x?secret={SECRET}", "totp_digits": 8}, "Tells other parameters than"),
        ({"totp_secret": f"otpauth://hotp/x?secret={SECRET}&counter=0"}, "otpauth URI of type totp"),
        ({"totp_secret": "otpauth-migration://offline?data=CjEKCkhlbGxv"}, "otpauth URI of type totp"),
        ({"totp_secret": f"otpauth://totp/x?secret={SECRET}&encoder=steam"}, "otpauth URI of type totp"),
        ({"totp_secret": keycloak_otp(RAW, subType="hotp")}, "credential of Keycloak's for TOTP"),
        ({"totp_secret": keycloak_otp(RAW, digits=7)}, "Must have 6 or 8 digits"),
        ({"totp_secret": b32("x" * 81)}, "base32 of 80 bits or more, 128 letters at most"),
        ({"totp_secret": "3132333435363738393031323334353637383930"}, "base32 of 80 bits"),
    ],
)
@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_an_app_whose_codes_would_be_wrong_is_refused(run_import, user_ids, told, said):  # noqa: F811
    """Its owner would be locked out."""
    ran = run_import(GOOD | told)
    assert ran.exit_code == 5
    assert "line 1: totp_secret: " in ran.err
    assert said in ran.err
    assert SECRET not in ran.err
    assert user_ids() == set()
