"""What every page has around its own content."""

import json
import re

import pytest

from app.languages.choice import in_language
from app.web.frame import texts_of_scripts
from scripts.catalogues import FOLDER, SCRIPTS, read

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)


def test_a_page_carries_what_its_scripts_say(app):
    """All of it, in the language of the page: of a plural each form, and what the API says."""
    page = app.test_client().get("/login", headers={"Accept-Language": "de"}).text
    [block] = re.findall('<script type="application/json" id="texts">(.*?)</script>', page)
    texts = json.loads(block)
    assert texts["Copied."] == "Kopiert."
    assert texts["{count} session is logged out."] == [
        "{count} Sitzung ist beendet.",
        "{count} Sitzungen sind beendet.",
    ]
    assert texts["Password does not match."] == "Das Passwort ist falsch."
    of_scripts = [message for message in read(FOLDER / "de/LC_MESSAGES/messages.po") if message.context == SCRIPTS]
    assert {message.id if isinstance(message.id, str) else message.id[0] for message in of_scripts} <= set(texts)


def test_a_page_in_english_carries_none(app):
    assert 'id="texts"' not in app.test_client().get("/login").text
    with app.app_context(), in_language("en"):
        assert texts_of_scripts() == {}


def test_the_languages_name_themselves(app):
    """With a form that leads back to the page where it was, whose query is kept."""
    page = app.test_client().get("/login?next=%2Fchat%2F%3Fa%3D1").text
    assert 'name="next" value="/login?next=%2Fchat%2F%3Fa%3D1"' in page
    assert re.findall(r'value="(\w+)" lang="\1"( aria-current="true")?>(\w+)<', page) == [
        ("en", ' aria-current="true"', "English"),
        ("de", "", "Deutsch"),
    ]


def test_where_leaving_would_lose_something_there_is_no_choice(app):
    """And not on the page of the API, which is in English."""
    for template in ("codes.html", "docs.html"):
        assert "{% block languages %}{% endblock %}" in (app.jinja_loader.get_source(app.jinja_env, template)[0])
    page = app.test_client().get("/docs", headers={"Accept-Language": "de"})
    assert '<html lang="en">' in page.text
    assert 'id="texts"' not in page.text
    assert (page.headers["Content-Language"], page.headers.get("Vary")) == ("en", None)
