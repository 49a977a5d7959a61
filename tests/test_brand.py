"""The service's own name, logo and colour, in pages and mails."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.brand import READABLE, contrast, file_stem, read_colour, read_name, read_picture
from app.config import ConfigError, load_settings
from app.languages.choice import in_language
from app.stores.mail import Notice
from app.stores.session_records import Client
from app.web.services import EXTENSION
from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD

on_fake = pytest.mark.parametrize("redis", ["fake"], indirect=True)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n rest"
OWN = {"SERVICE_NAME": "Caf\u00e9 & <Co>", "SERVICE_COLOUR": "#006b3c"}


@pytest.fixture
def logo(tmp_path):
    def write(content, name="logo"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("name", ["", "a:b", "x" * 65, "a\nb", "a\u202eb", "\u200b"])
def test_names_that_apps_or_people_would_misread_are_refused(name):
    with pytest.raises(ValueError, match="must be a name of 1 to 64 characters"):
        read_name(name)


@pytest.mark.parametrize("name", ["K", "x" * 64, "Caf\u00e9 & <Co>", "\u304b\u304e"])
def test_any_other_name_will_do(name):
    assert read_name(name) == name


@pytest.mark.parametrize("raw", ["#fff", "blue", "#12345g", "#3450cf;}*{", "#3450cf\n", "3450cf"])
def test_a_colour_has_six_digits(raw):
    with pytest.raises(ValueError, match="six digits"):
        read_colour(raw)


def test_a_colour_that_nobody_could_read_is_refused_with_its_contrast():
    with pytest.raises(ValueError, match=re.escape("1.4 to 1, and 4.5 is needed")):
        read_colour("#ffcc00")


def rgb(written):
    return int(written[1:3], 16), int(written[3:5], 16), int(written[5:], 16)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_what_is_taken_can_be_read_on_every_ground(colour):
    try:
        shades = read_colour("#{:02x}{:02x}{:02x}".format(*colour))
    except ValueError:
        assert contrast(colour, (0xF5, 0xF6, 0xF9)) < READABLE
        return
    pairs = [
        *((shades.light, ground) for ground in ("#f5f6f9", "#ffffff")),  # links, and white on a button
        *((shades.dark, ground) for ground in ("#0f1116", "#181b22", "#1b202b", shades.dark_soft, "#000000")),
        ("#171a21", shades.light_soft),  # text of a notice
        ("#eceef3", shades.dark_soft),
    ]
    assert [pair for pair in pairs if contrast(rgb(pair[0]), rgb(pair[1])) < READABLE] == []
    assert contrast(rgb(shades.light), rgb(shades.light_soft)) >= READABLE  # a link in a notice


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", b"<html/>", b"<svg/>", SVG[:-1], b'<?xml version="1.0" encoding="none"?>' + SVG, b" " * 262_145],
)
def test_what_is_no_picture_is_refused_at_start(logo, content):
    with pytest.raises(ConfigError, match="SERVICE_LOGO must be"):
        load_settings(ENVIRONMENT | {"SERVICE_LOGO": logo(content)})
    with pytest.raises(ConfigError, match="SERVICE_LOGO must be the path of a file that can be read"):
        load_settings(ENVIRONMENT | {"SERVICE_LOGO": logo(content) + ".gone"})


def test_pictures_are_told_apart_by_their_content(logo):
    assert (read_picture(logo(SVG)).media_type, read_picture(logo(PNG)).media_type) == ("image/svg+xml", "image/png")


@on_fake
def test_pages_have_them(make_app, logo):
    app = make_app(**OWN, SERVICE_LOGO=logo(SVG))
    for path in ("/login", "/register", "/forgot", "/docs", "/login/nowhere"):
        page = app.test_client().get(path).text
        assert "Caf\u00e9 &amp; &lt;Co&gt;</title>" in page
        assert 'src="/keyrack/logo.svg"' in page
        assert 'href="/keyrack/colours.css"' in page
        assert "Keyrack</" not in page
    sheet = app.test_client().get("/keyrack/colours.css")
    assert (sheet.status_code, sheet.mimetype) == (200, "text/css")
    assert "--accent: #006b3c;" in sheet.text


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Keyrack", "keyrack"),
        ("Caf\u00e9 & <Co>", "cafe-co"),
        ('a"b;c', "a-b-c"),
        ("\u304b\u304e", "account"),
        ("-", "account"),
    ],
)
def test_files_are_named_after_the_service(name, stem):
    """With characters that no header and no file system misreads."""
    assert file_stem(name) == stem


@on_fake
def test_what_is_downloaded_has_the_name(make_app):
    app = make_app(**OWN)
    browser = app.test_client()
    browser.post("/register", json={"email": "a@example.com", "username": "ada", "password": PASSWORD})
    assert browser.get("/me/data").headers["Content-Disposition"] == 'attachment; filename="cafe-co-data.json"'


@on_fake
def test_a_logo_runs_nothing_and_is_not_loaded_twice(make_app, logo):
    client = make_app(SERVICE_LOGO=logo(SVG)).test_client()
    answer = client.get("/keyrack/logo.svg")
    assert (answer.data, answer.mimetype) == (SVG, "image/svg+xml")
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/keyrack/logo.svg", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


@on_fake
def test_without_them_it_is_keyrack(app):
    page = app.test_client().get("/login").text
    assert "<span>Keyrack</span>" in page
    assert "colours.css" not in page
    assert [app.test_client().get(f"/keyrack/{name}").status_code for name in ("logo.svg", "colours.css")] == [404, 404]


@on_fake
@pytest.mark.parametrize("language", ["en", "de"])
def test_mails_have_name_and_colour(make_app, users, language):
    app = make_app(**OWN)
    app.test_client().post("/register", json={"email": "a@example.com", "username": "ada", "password": PASSWORD})
    services = app.extensions[EXTENSION]
    notice = Notice("suspicious", services.accounts.id_of("a@example.com"), 0, Client(), language=language)
    with app.app_context(), in_language("en"):
        message = services.delivery._compose(notice)
    assert "Caf\u00e9 & <Co>, https://keys.example.com" in message.get_body(["plain"]).get_content()
    html = message.get_body(["html"]).get_content()
    assert "Caf\u00e9 &amp; &lt;Co&gt;, https://keys.example.com" in html
    assert "background: #006b3c;" in html
    assert f'<html lang="{language}" dir="ltr">' in html


@on_fake
def test_apps_and_browsers_are_told_the_name(make_app, monkeypatch):
    app = make_app(**OWN)
    assert app.extensions[EXTENSION].passkeys.party.name == OWN["SERVICE_NAME"]
    drawn = []
    monkeypatch.setattr("app.rules.totp.segno.make", lambda uri, **_: drawn.append(uri) or Drawing())
    browser = app.test_client()
    browser.post("/register", json={"email": "a@example.com", "username": "ada", "password": PASSWORD})
    assert browser.get("/settings/security/totp").status_code == 200
    [uri] = drawn
    assert "issuer=Caf%C3%A9%20%26%20%3CCo%3E" in uri


class Drawing:
    def svg_inline(self, **_):
        return ""
