"""What the form of a registration asks before it is sent."""

import logging

import pytest
from redis import RedisError

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD, Device, errors

NAMES = {"email": "Carol.Smith@example.com", "username": "Wonderland"}


def validate(device, password, **names):
    answer = device.post("/auth/password/validate", {"password": password} | names)
    assert answer.status_code == 200, answer.json
    return answer.json


@pytest.mark.parametrize(
    "password",
    [
        *(
            "",
            "short",
            "x" * 72,
            "x" * 73,
            "é" * 36,
            "é" * 37,
            "e\u0301" * 36,
            "password1",
            "PassWord1",
            "nul\0in it all",
        ),
        *("correct horse battery", "carol.smith", "my carol.smith", "CAROL.SMITH@EXAMPLE.COM", "smith-of-example"),
        *("wonderland", "in Wonder land", "aliceinWONDERLANDs", "example.com is a host", " " * 8),
    ],
)
def test_valid_is_what_a_registration_says(new_device, password):
    """Also of what is no password at all."""
    valid = validate(new_device(), password, **NAMES)["valid"]
    answer = new_device().post("/auth/register", NAMES | {"password": password})
    assert valid == (answer.status_code == 201)
    assert valid or errors(answer, "password")


@pytest.mark.parametrize("names", [{}, {"email": None, "username": None}, {"email": "", "username": " "}])
def test_names_may_be_left_out(new_device, names):
    assert validate(new_device(), "wonderland of carol.smith", **names)["valid"]


def test_the_strength_is_told_beside_it(new_device):
    weak, strong = validate(new_device(), "password1"), validate(new_device(), PASSWORD)
    assert weak == {
        "valid": False,
        "password_strength": {"guesses_log10": weak["password_strength"]["guesses_log10"], "score": 0},
    }
    assert strong["valid"]
    assert strong["password_strength"]["score"] == 4
    assert strong["password_strength"]["guesses_log10"] > weak["password_strength"]["guesses_log10"]


@pytest.mark.parametrize("field", ["password", "email", "username"])
@pytest.mark.parametrize("value", [5, True, [], {}])
def test_a_field_that_is_no_text_is_refused(new_device, field, value):
    body = {"password": PASSWORD} | NAMES | {field: value}
    assert errors(new_device().post("/auth/password/validate", body), field)


def test_without_a_password_nothing_is_told(new_device):
    assert errors(new_device().post("/auth/password/validate", {}), "password") == ["BASE_TYPE_REQUIRED"]
    assert new_device().post("/auth/password/validate", {"password": "x" * 70_000}).status_code == 413


def test_both_need_neither_redis_nor_a_session(caplog):
    """A password that is tried is in no log."""
    app = create_app(load_settings(ENVIRONMENT), connect("redis://127.0.0.1:1"))
    device = Device(app.test_client(use_cookies=False))
    device.token = "no.session.of-ours"
    with caplog.at_level(logging.DEBUG):
        assert validate(device, "wonderland-of-nobody")["valid"]
    assert device.get("/auth/location-metadata").status_code == 200
    assert "wonderland-of-nobody" not in caplog.text
    with pytest.raises(RedisError):
        app.extensions["keyrack"].accounts.id_of("carol@example.com")


@pytest.mark.parametrize(
    ("address", "country"),
    [("203.0.113.7", "CH"), ("198.51.100.7", "FR"), ("192.0.2.1", None), ("127.0.0.1", None), ("nonsense", None)],
)
def test_the_country_is_that_of_the_callers_address(make_app, city_database, address, country):
    app = make_app(GEOIP_DATABASE=str(city_database), TRUSTED_PROXIES="127.0.0.1")
    answer = app.test_client().get("/api/auth/location-metadata/", headers={"X-Forwarded-For": address})
    assert (answer.status_code, answer.json) == (
        200,
        {
            "consent_required": False,
            "country_code": country,
            "promotional_email_opt_in": {"required": True, "pre_checked": False},
        },
    )
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_a_database_no_country_is_known(new_device):
    assert new_device().get("/auth/location-metadata", X_Forwarded_For="203.0.113.7").json["country_code"] is None
