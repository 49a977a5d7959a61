"""What must hold of every body, whatever it says: it fits its schema, or the refusal has the contract's form."""

import base64
import json
import re
import time
import unicodedata
from urllib.parse import parse_qs, urlencode

import pytest
from fakeredis import FakeRedis
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError
from webauthn.helpers import encode_cbor

from app import create_app
from app.cli.import_users import _read_line as read_line
from app.config import load_settings
from app.form_errors import InvalidForm, InvalidLink
from app.rules.cose import plain_key
from app.rules.email_addresses import normalise_email
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.rules.password_hashes import read_hash
from app.stores.connection.connect import from_redis_py
from app.stores.links import LinkStore
from app.stores.mail import new_notice_id
from app.stores.scripts import SessionScripts
from app.stores.users import UserStore
from app.text import clean
from app.tokens import id_hash
from app.wire.account import ChangeUserSchema
from app.wire.fields import WireSchema
from app.wire.imports import ImportedUserSchema
from app.wire.passkeys import AddPasskeySchema
from app.wire.sign_in import RegisterSchema, ValidatePasswordSchema
from tests.conftest import ENVIRONMENT, LIFETIMES
from tests.device import PASSWORD, Device
from tests.fuzz.test_parsers import JSON, LATIN, SECRETS, nearly
from tests.rules.test_webauthn import GOOD_KEY

SCHEMAS = sorted(WireSchema.__subclasses__(), key=lambda kind: kind.__name__)
ID_HASHES = st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode())
WHOLE = {
    "email": st.emails(),
    "username": st.text(min_size=1, max_size=40),
    "global_name": st.none() | st.text(max_size=40),
    "name": st.none() | st.text(max_size=70),
    "password": st.text(min_size=6, max_size=80),
    "new_password": st.text(min_size=6, max_size=80),
    "session_id_hashes": st.lists(ID_HASHES, max_size=66),
    "regenerate": st.booleans(),
    "method": st.sampled_from(["totp", "backup", "password"]),
    "id_hash": ID_HASHES | nearly(ID_HASHES),
    "user_id": st.integers(0, 10**21).map(str) | st.text(max_size=4),
    "sessions": st.lists(
        st.fixed_dictionaries({"user_id": st.integers(0, 2**64).map(str), "id_hash": ID_HASHES}), max_size=3
    ),
    "ids": st.lists(st.text(max_size=50), max_size=66),
}


def bodies(schema):
    """Objects with the schema's fields, each as it should be, of another shape or missing; and any JSON at all."""
    named = {name: WHOLE.get(name, st.text()) for name in schema().fields}
    right = st.fixed_dictionaries(named)
    odd = st.fixed_dictionaries({}, optional={name: whole | JSON for name, whole in named.items()})
    return right | odd | JSON


def problem_with_text(name, text):
    """What is wrong with an accepted text, by the field's name."""
    forms = {
        "password": len(text) >= 8 and len(text.encode()) <= 72 and "\0" not in text,
        "email": len(text) <= 254 and text.count("@") >= 1 and clean(text[:64]) == text[:64].strip(),
        "username": 2 <= len(text) <= 32 and clean(text) == text,
        "global_name": 1 <= len(text) <= 32 and clean(text) == text,
        "name": 1 <= len(text) <= 64 and clean(text) == text,
        "method": text in ("totp", "backup"),
        "user_id": re.fullmatch(r"[0-9]{1,20}", text),
        "id_hash": re.fullmatch(r"[A-Za-z0-9+/]{43}=", text),
    }
    return None if forms.get(name, True) else f"{name}: {text!r}"


NEW_PASSWORDS = {
    **{"RegisterSchema": "password", "ResetSchema": "password"},
    **{"ChangePasswordSchema": "new_password", "ChangeUserSchema": "new_password"},
}


def may_be_any(schema, name, value):
    """Whether a text may be any: one that is compared or judged alone, or a name that is removed."""
    is_new_password = NEW_PASSWORDS.get(schema.__name__) == name
    if schema is ChangeUserSchema and (name == "email" or (name, value) == ("global_name", "")):
        return True
    if schema is AddPasskeySchema and value == "":  # the first of two requests has neither name nor passkey
        return True
    if schema is ValidatePasswordSchema:
        return True
    return name == "password" and not is_new_password


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
@given(data=st.data())
def test_a_body_fits_or_is_refused_in_the_contracts_form(schema, data):
    body = data.draw(bodies(schema))
    try:
        read = schema().load(body)
    except ValidationError as problem:
        refusal = InvalidForm(problem.messages_dict)
        assert_has_the_form(refusal.body()["errors"])
        assert refusal.plainly()[-1] == "."
        return
    for name, value in vars(read).items():
        if isinstance(value, str) and not may_be_any(schema, name, value):
            is_new_password = NEW_PASSWORDS.get(schema.__name__) == name
            assert problem_with_text("password" if is_new_password else name, value) is None
        if name == "session_id_hashes":
            assert 1 <= len(value) <= 64
            assert [problem_with_text("id_hash", one) for one in value] == [None] * len(value)
        if name == "ids":
            assert 1 <= len(value) <= 64
        if name == "regenerate":
            assert value is True


def assert_has_the_form(errors):
    assert errors
    for name, problem in errors.items():
        if name == "_errors":
            assert problem
            assert all(re.fullmatch(r"[A-Z_0-9]+", one["code"]) and one["message"] for one in problem)
        else:
            assert_has_the_form(problem)


@given(email=st.emails())
def test_whoever_may_register_is_found_again(email):
    RegisterSchema().load({"email": email, "username": "somebody", "password": PASSWORD})
    assert normalise_email(normalise_email(email)) == normalise_email(email)


@pytest.mark.parametrize("around", ["{}", "{}@example.com", "a@{}.com", '"{}"@example.com'])
def test_what_is_too_long_for_an_address_is_not_put_in_order(around):
    """Marks in the wrong order take quadratic time to put right: 64 KiB of them took seconds and Python's lock."""
    email = around.format("a" + "\u0315\u0300" * 127)
    assert unicodedata.normalize("NFC", email) != email
    assert normalise_email(email) == email
    with pytest.raises(ValidationError, match="BASE_TYPE_BAD_LENGTH"):
        RegisterSchema().load({"email": email, "username": "somebody", "password": PASSWORD})


# Lines of an import

BCRYPT = st.from_regex(r"\A\$2[abxy]\$(0[3-9]|1[0-7])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26v]\Z")
BASE32 = st.binary(min_size=8, max_size=40).map(lambda raw: base64.b32encode(raw).decode())
COSE = st.just(encode_cbor(GOOD_KEY)) | st.binary(max_size=90)
BASE64 = st.sampled_from([base64.b64encode, base64.urlsafe_b64encode])
PASSKEYS = st.fixed_dictionaries(
    {
        "id": st.builds(lambda encode, raw: encode(raw).decode(), BASE64, st.binary(max_size=40)) | JSON,
        "public_key": st.builds(lambda encode, raw: encode(raw).decode(), BASE64, COSE) | JSON,
    },
    optional={
        "sign_count": st.integers(-1, 2**33) | JSON,
        "transports": st.lists(st.text(max_size=9)) | JSON,
        "name": st.text(max_size=40) | JSON,
        "backup_eligible": st.booleans() | JSON,
        "created_at": st.integers(-5, 2**33) | JSON,
    },
)
IMPORTED = st.fixed_dictionaries(
    {"email": st.emails(), "username": st.text(min_size=2, max_size=40), "password_hash": BCRYPT},
    optional={
        "global_name": st.none() | st.text(max_size=40),
        "totp_secret": st.none() | BASE32 | nearly(BASE32),
        "created_at": st.integers(-5, 2**33) | st.floats() | st.datetimes().map(str) | JSON,
        "id": st.integers(-1, 2**65) | st.integers(0, 2**65).map(str) | JSON,
        "disabled": st.booleans() | JSON,
        "passkeys": st.lists(PASSKEYS, max_size=11) | JSON,
    },
)
LINES = IMPORTED.map(json.dumps) | nearly(IMPORTED.map(json.dumps)) | JSON.map(json.dumps)


@given(raw=LINES.map(str.encode) | st.binary())
@example(raw=json.dumps({"email": "a@b.example", "username": "ab", "password_hash": "$2b$04$" + "v" * 53}).encode())
def test_a_line_of_an_import_is_a_user_who_can_log_in_or_refused(raw):
    """What is wrong is said in one line, without what stands in it."""
    line = read_line(7, raw, ImportedUserSchema())
    assert line.number == 7
    if isinstance(line.user, str):
        assert line.user.isprintable()
        assert not re.search(r"\$[0-9]{2}\$", line.user)
        return
    user = line.user
    assert normalise_email(user.email.given) == user.email.normalised
    assert problem_with_text("username", user.username) is None
    assert user.global_name is None or problem_with_text("global_name", user.global_name) is None
    assert user.id is None or 0 < int(user.id) < 2**64
    assert user.created_at is None or 0 <= user.created_at < 2**32
    assert len(user.passkeys or ()) <= 10
    for passkey in user.passkeys or ():
        assert re.fullmatch("[A-Za-z0-9_-]{1,1364}", passkey.cred_id)
        assert plain_key(passkey.public_key) == passkey.public_key
        assert 0 <= passkey.sign_count < 2**32
        assert problem_with_text("global_name", passkey.name) is None
    assert user.totp is None or re.fullmatch("[A-Z2-7]{32,128}", user.totp.secret)
    if user.password_hash:
        read_hash(re.sub(r"\$\d\d\$", "$04$", user.password_hash)).matches(PASSWORD.encode())


# The gateway's check, links, and the id that a request may bring


@pytest.fixture(scope="module")
def store():
    return FakeRedis(decode_responses=True, protocol=2)


@pytest.fixture(scope="module")
def fast_app(store):
    return create_app(load_settings(ENVIRONMENT), store)


@pytest.fixture(scope="module")
def ada(fast_app):
    return Device(fast_app.test_client(use_cookies=False)).register("ada@example.com")


PARTS = st.sampled_from(["require", "Require", "mfa", "", "a", "require=mfa", "é", "&", ";", "%", "=", "\0"])
QUERIES = st.lists(st.tuples(PARTS, PARTS), max_size=4).map(urlencode) | LATIN.map(lambda text: text.replace("#", ""))
HEADERS = st.dictionaries(
    st.sampled_from(
        ["X-Forwarded-Method", "X-Forwarded-For", "X-Super-Properties", "User-Agent", "Origin", "Cookie", "Accept"]
    ),
    LATIN.map(lambda text: re.sub(r"[\r\n]", "", text)),
)


def verify(app, query, headers, method="GET"):
    client = app.test_client(use_cookies=False)
    environ = {"QUERY_STRING": query}
    return client.open("/gateway/verify", method=method, headers=headers, environ_overrides=environ)


@given(query=QUERIES, headers=HEADERS, method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS"]))
def test_verify_knows_whom_it_means_whatever_else_is_said(fast_app, ada, query, headers, method):
    """A proof is asked for where the query requires anything, and only there."""
    answer = verify(fast_app, query, headers | {"Authorization": ada.token}, method)
    requires = "require" in parse_qs(query, keep_blank_values=True)
    assert answer.status_code == (401 if requires else 200)
    assert answer.headers.get("X-Auth-User-Id") == (None if requires else ada.user_id)
    assert answer.headers.get("X-Auth-Session-Id-Hash") == (None if requires else id_hash(ada.token))


@given(query=QUERIES, headers=HEADERS, token=LATIN.map(lambda text: re.sub(r"[\r\n]", "", text)) | SECRETS)
def test_verify_says_no_to_what_is_no_token(fast_app, query, headers, token):
    answer = verify(fast_app, query, headers | {"Authorization": token})
    assert answer.status_code == 401
    assert answer.json == {"code": 0, "message": "401: Unauthorized"}


REQUEST_IDS = (LATIN | nearly(st.just("given-by_the.gateway1"))).map(lambda text: re.sub(r"[\r\n]", "", text))


@given(given_id=REQUEST_IDS, path=st.sampled_from(["/healthz", "/gateway/verify"]))
def test_a_request_has_the_id_it_came_with_or_one_of_ours(fast_app, given_id, path):
    answer = fast_app.test_client(use_cookies=False).get(path, headers={"X-Request-Id": given_id})
    request_id = answer.headers["X-Request-Id"]
    assert re.fullmatch("[A-Za-z0-9._-]{1,64}", request_id)
    assert request_id == given_id or re.fullmatch("[0-9a-f]{16}", request_id)
    assert request_id == given_id or not re.fullmatch("[A-Za-z0-9._-]{1,64}", given_id)


@given(secret=st.text() | SECRETS | nearly(SECRETS), purpose=st.sampled_from(["reset", "not_me"]))
def test_no_secret_but_the_links_own_opens_it(store, ada, secret, purpose):
    scripts = SessionScripts(from_redis_py(store), LIFETIMES)
    links = Links(LinkStore(from_redis_py(store), scripts), Keyring(["k" * 32]))
    credentials_version = UserStore(from_redis_py(store), scripts).get(ada.user_id).credentials_version
    good = (
        links.issue_reset(ada.user_id, credentials_version, time.time(), new_notice_id())
        if purpose == "reset"
        else links.issue_not_me(ada.user_id, "nobody's", new_notice_id())
    )
    for odd in (secret, good + "A", good[:-1], good.swapcase()):
        with pytest.raises(InvalidLink):
            links.read_reset(odd)
        with pytest.raises(InvalidLink):
            links.end_session(odd)
    if purpose == "reset":
        assert links.read_reset(good).user_id == ada.user_id
    else:
        links.end_session(good)
