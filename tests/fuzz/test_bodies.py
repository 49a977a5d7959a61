"""What must hold of every body, whatever it says: it fits its schema, or the refusal has the contract's form."""

import base64
import re
import time
import unicodedata
from urllib.parse import parse_qs, urlencode

import pytest
from fakeredis import FakeRedis
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from app import create_app, schemas
from app.accounts import normalise_email
from app.client_info import clean
from app.config import load_settings
from app.errors import InvalidForm, InvalidLink
from app.links import Links
from app.stores.connect import over
from app.stores.links import LinkStore
from app.stores.sessions import SessionScripts
from app.stores.users import UserStore
from app.tokens import id_hash
from tests.conftest import ENVIRONMENT, LIFETIMES
from tests.device import PASSWORD, Device
from tests.fuzz.test_parsers import JSON, LATIN, SECRETS, nearly

SCHEMAS = [
    kind
    for kind in vars(schemas).values()
    if isinstance(kind, type) and issubclass(kind, schemas.WireSchema) and kind is not schemas.WireSchema
]
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


NEW_PASSWORDS = {"RegisterSchema": "password", "ResetSchema": "password", "ChangePasswordSchema": "new_password"}


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
        is_new = NEW_PASSWORDS.get(schema.__name__) == name
        if isinstance(value, str) and (is_new or name != "password"):
            assert problem_with_text("password" if is_new else name, value) is None
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
    schemas.RegisterSchema().load({"email": email, "username": "somebody", "password": PASSWORD})
    assert normalise_email(normalise_email(email)) == normalise_email(email)


@pytest.mark.parametrize("around", ["{}", "{}@example.com", "a@{}.com", '"{}"@example.com'])
def test_what_is_too_long_for_an_address_is_not_put_in_order(around):
    """Marks in the wrong order take quadratic time to put right: 64 KiB of them took seconds and Python's lock."""
    email = around.format("a" + "\u0315\u0300" * 127)
    assert unicodedata.normalize("NFC", email) != email
    assert normalise_email(email) == email
    with pytest.raises(ValidationError, match="BASE_TYPE_BAD_LENGTH"):
        schemas.RegisterSchema().load({"email": email, "username": "somebody", "password": PASSWORD})


# The gateway's check, and links


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


@given(secret=st.text() | SECRETS | nearly(SECRETS), purpose=st.sampled_from(["reset", "not_me"]))
def test_no_secret_but_the_links_own_opens_it(store, ada, secret, purpose):
    scripts = SessionScripts(over(store), LIFETIMES)
    links = Links(LinkStore(over(store), scripts))
    epoch = UserStore(over(store), scripts).get(ada.user_id).epoch
    good = links.reset(ada.user_id, epoch, time.time()) if purpose == "reset" else links.not_me(ada.user_id, "nobody's")
    for odd in (secret, good + "A", good[:-1], good.swapcase()):
        with pytest.raises(InvalidLink):
            links.read_reset(odd)
        with pytest.raises(InvalidLink):
            links.end_session(odd)
    if purpose == "reset":
        assert links.read_reset(good).user_id == ada.user_id
    else:
        links.end_session(good)
