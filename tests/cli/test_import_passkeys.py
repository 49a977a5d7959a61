"""Passkeys of another service come along with their users, and go on working where their name is the same."""

import base64
import itertools
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webauthn.helpers import encode_cbor

from app.stores.keys import unprefixed as keys
from tests.authenticator import EDDSA, ES256, ML_DSA_87, RS256, Authenticator, b64url
from tests.cli.conftest import counts
from tests.cli.test_import import GOOD, SECRET, run_import  # noqa: F401 - a fixture
from tests.device import PASSWORD
from tests.rules.test_webauthn import GOOD_KEY

ALICE = "1234567890123456789"
RP_ID = "keys.example.com"


@pytest.fixture
def key():
    """A security key on which Alice has made a passkey at the service before."""
    device = Authenticator(f"https://{RP_ID}")
    device.add(RP_ID, ALICE.encode()).counter = 7
    return device


def pem(credential):
    return credential.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def told(credential, **more):
    """Return a passkey as a line has it."""
    public_key = b64url(credential.public_key)
    return {"id": credential.cred_id, "public_key": public_key, "sign_count": credential.counter, "name": "Key"} | more


def line(*passkeys):
    return GOOD | {"id": ALICE, "passkeys": list(passkeys)}


def challenge_of_login(device):
    answer = device.post("/auth/login", {"login": GOOD["email"], "password": PASSWORD})
    assert answer.json["mfa"] is True
    return answer.json


def log_in_with(device, authenticator):
    asked = challenge_of_login(device)
    body = {"ticket": asked["ticket"], "code": authenticator.get(asked["webauthn"])}
    answer = device.post("/auth/mfa/webauthn", body)
    assert answer.status_code == 200, answer.json
    device.token = answer.json["token"]
    return device


def test_no_passkey_was_made_in_the_future(run_import, key, users, clock):  # noqa: F811 - a fixture
    """By a clock that was ahead. The link of a mail about a later factor would take such a passkey off, too."""
    run_import(line(told(key.credentials[0], created_at="2099-01-01T00:00:00Z")))
    [kept] = users.get(ALICE).passkeys
    assert kept.created_at == int(clock())


def test_a_passkey_signs_in_as_before(run_import, new_device, key, users):  # noqa: F811 - a fixture
    """It is asked for after the password, its counter goes on, and its name and times are kept."""
    passkey = told(key.credentials[0], transports=["usb", "nfc"], created_at="2024-05-06T07:08:09Z")
    assert counts(run_import(line(passkey))) == {"imported": 1, "there": 0, "bad": 0}
    device = log_in_with(new_device(), key)
    assert device.get("/users/@me").json["authenticator_types"] == [1]
    [kept] = users.get(ALICE).passkeys
    assert (kept.cred_id, kept.name, kept.transports) == (key.credentials[0].cred_id, "Key", ("usb", "nfc"))
    assert (kept.sign_count, kept.backup_eligible, kept.created_at) == (8, None, 1714979289)
    key.credentials[0].counter = 6  # a copy
    asked = challenge_of_login(device)
    copied = device.post("/auth/mfa/webauthn", {"ticket": asked["ticket"], "code": key.get(asked["webauthn"])})
    assert copied.json["code"] == 60008


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
def test_a_key_may_be_in_pem_and_its_id_in_standard_base64(run_import, new_device, users, alg):  # noqa: F811
    """As Spacebar keeps both. The handle on the device is then what browsers made of the id's digits."""
    device = Authenticator(f"https://{RP_ID}")
    made = device.add(RP_ID, base64.urlsafe_b64decode(ALICE + "="), alg)
    passkey = {"id": base64.b64encode(made.id).decode(), "public_key": pem(made), "sign_count": 0, "name": "Key"}
    assert counts(run_import(line(passkey))) == {"imported": 1, "there": 0, "bad": 0}
    assert users.get(ALICE).passkeys[0].public_key == made.public_key
    assert log_in_with(new_device(), device).is_signed_in


def test_a_key_of_another_algorithm_comes_along(run_import, new_device, key):  # noqa: F811
    """None like it can be made here."""
    made = key.add(RP_ID, ALICE.encode(), ML_DSA_87)
    run_import(line(told(made)))
    assert log_in_with(new_device(), key).is_signed_in


def test_passkeys_and_totp_come_together(run_import, new_device, key):  # noqa: F811
    run_import(line(told(key.credentials[0])) | {"totp_secret": SECRET})
    asked = challenge_of_login(new_device())
    assert asked["totp"] is True
    assert asked["webauthn"]


def test_ten_come_and_what_is_left_out_is_made_up(run_import, users):  # noqa: F811
    """A name is cut to what one may have here, and none is needed."""
    device = Authenticator()
    names = ["x" * 40, " \u202eKey\u200b ", "\u200b", "", None, *"abcde"]
    rows = [told(device.add(RP_ID, None), name=name) for name in names]
    rows[9] = {"id": rows[9]["id"], "public_key": rows[9]["public_key"], "transports": None, "backup_eligible": 1}
    assert counts(run_import(line(*rows))) == {"imported": 1, "there": 0, "bad": 0}
    kept = {passkey.cred_id: passkey for passkey in users.get(ALICE).passkeys}
    shown = [kept[row["id"]].name for row in rows]
    assert shown == ["x" * 32, "Key", *["Passkey"] * 3, *"abcd", "Passkey"]
    last = kept[rows[9]["id"]]
    assert (last.sign_count, last.transports, last.backup_eligible) == (0, (), True)
    assert len({passkey.id for passkey in kept.values()}) == 10


@pytest.mark.parametrize("passkeys", [None, []])
def test_no_passkeys_are_no_factor(run_import, users, redis, passkeys):  # noqa: F811
    assert counts(run_import(line() | {"passkeys": passkeys})) == {"imported": 1, "there": 0, "bad": 0}
    assert not users.get(ALICE).has_mfa
    assert not redis.exists(keys.passkeys(ALICE))


ROW = {"id": "AAAA", "public_key": b64url(encode_cbor(GOOD_KEY))}


@pytest.mark.parametrize(
    "passkeys",
    [
        *("x", 5, {}, [5], [None], [[]], [{}], [ROW, ROW], [ROW | {"id": f"AAA{n}"} for n in range(11)]),
        *([ROW | {"id": value}] for value in (None, "", "a", "ä", 5, "AA AA", "AAAA" * 342)),
        *([ROW | {"public_key": value}] for value in (None, "", "AAAA", 5, "-----BEGIN PUBLIC KEY-----", [], "ä" * 99)),
        *([ROW | {"sign_count": value}] for value in (-1, 2**32, "1", 1.5, True, [])),
        *([ROW | {"name": value}] for value in (5, [], {})),
        *([ROW | {"created_at": value}] for value in (-1, "yesterday")),
        [ROW | {"backup_eligible": "yes"}],
    ],
    ids=itertools.count(),
)
def test_a_bad_passkey_makes_a_bad_line(run_import, user_ids, passkeys):  # noqa: F811
    """Nobody is imported without a factor that they had."""
    ran = run_import(line() | {"passkeys": passkeys})
    assert (ran.exit_code, counts(ran)) == (5, {"imported": 0, "there": 0, "bad": 1})
    assert ran.err.startswith("line 1: passkeys: ")
    assert user_ids() == set()


@pytest.mark.parametrize(
    ("public_url", "why"),
    [
        ("", "PUBLIC_URL is not set."),
        ("http://127.0.0.1:8000", "The host of PUBLIC_URL is an address, and passkeys belong to a name."),
    ],
)
def test_passkeys_are_refused_where_they_are_of_no_use(make_app, users, tmp_path, public_url, why):
    """They are a second factor, so their user could not sign in any more."""
    runner = make_app(PUBLIC_URL=public_url, SMTP_URL="").test_cli_runner()
    file = tmp_path / "users.jsonl"
    file.write_text(json.dumps(line(ROW)))
    ran = runner.invoke(args=["users", "import", str(file)])
    assert ran.exit_code == 5
    assert f"passkeys: None can be used here. {why}" in ran.stderr
    assert users.get(ALICE) is None
    file.write_text(json.dumps(line()))
    assert runner.invoke(args=["users", "import", str(file)]).exit_code == 0


def test_a_second_run_adds_no_passkey_and_undoes_no_counter(run_import, new_device, key, users):  # noqa: F811
    run_import(line(told(key.credentials[0])))
    log_in_with(new_device(), key)
    assert counts(run_import(line(told(key.credentials[0]), ROW))) == {"imported": 0, "there": 1, "bad": 0}
    assert [passkey.sign_count for passkey in users.get(ALICE).passkeys] == [8]


def test_what_show_tells_can_be_imported(run, run_import, key, users, redis):  # noqa: F811
    """So an account can move to another Keyrack of the same name with its passkeys. Nothing secret is told."""
    run_import(line(told(key.credentials[0], transports=["usb"], backup_eligible=False)))
    [before] = users.get(ALICE).passkeys
    [shown] = run("users", "show", ALICE, "--json").json
    assert shown["mfa_enabled"] is True
    assert "Key" in run("users", "show", ALICE).out
    for place in list(redis.scan_iter()):
        redis.delete(place)
    run_import(line(*shown["passkeys"]))
    [after] = users.get(ALICE).passkeys
    assert [getattr(after, name) for name in ("cred_id", "public_key", "sign_count", "transports", "name")] == [
        getattr(before, name) for name in ("cred_id", "public_key", "sign_count", "transports", "name")
    ]
    assert (after.backup_eligible, after.created_at) == (before.backup_eligible, before.created_at)
