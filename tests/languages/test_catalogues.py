"""The catalogue of each language says all that is marked, and nothing else. If one does not: scripts/translations."""

import re
from collections import Counter

import pytest

from app.languages.refusals import in_words, sentences_in_words
from app.translations import FOLDER, LANGUAGES, SOURCE
from scripts import catalogues
from scripts.catalogues import SCRIPTS, compiled, extract, read, untranslated, written

PATHS = sorted(FOLDER.glob("*/LC_MESSAGES/messages.po"))
each_language = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.parents[1].name)


@pytest.fixture(scope="module")
def marked():
    return {(message.context, message.id): message for message in extract() if message.id}


def messages(path):
    return [message for message in read(path) if message.id]


def forms(message):
    """The English forms of a text, with each of its translations. Those of a plural fit one of two."""
    if isinstance(message.id, str):
        return [([message.id], message.string)]
    return [(message.id, text) for text in message.string]


def test_there_are_two_languages():
    assert set(LANGUAGES) == {SOURCE, *(path.parents[1].name for path in PATHS)} == {"en", "de"}


@each_language
def test_it_has_all_that_is_marked_and_no_more(path, marked):
    assert {(message.context, message.id) for message in messages(path)} == set(marked)


@each_language
def test_it_is_translated_as_a_whole(path):
    catalogue = read(path)
    assert untranslated(catalogue) == []
    assert [message.id for message in catalogue if message.fuzzy and message.id] == []
    assert dict(catalogue.obsolete) == {}


@each_language
def test_what_is_put_in_is_the_same(path):
    """A name that the translation does not know would be an error, or a gap, only where the text is shown."""
    for message in messages(path):
        for english, translated in forms(message):
            for pattern in (r"%\(\w+\)s", r"\{\w+\}", r"</?\w+[^>]*>", r"%(?!\()", r"\n"):
                possible = [Counter(re.findall(pattern, form)) for form in english]
                assert Counter(re.findall(pattern, translated)) in possible, translated


@each_language
def test_nothing_in_it_ends_a_tag_or_an_attribute(path):
    """Templates take translations as they are, as they take their own text."""
    for message in messages(path):
        for english, translated in forms(message):
            shown = re.sub(r"</?\w+[^>]*>|%\(\w+\)s", "", translated)
            assert not re.search(r"[\"<>&]", shown), translated
            assert english[0].endswith((".", "?", ":")) == translated.endswith((".", "?", ":")), translated


@each_language
def test_it_is_compiled_and_in_its_form(path):
    assert path.read_bytes() == written(catalogues.update(read(path), extract()))
    assert path.with_suffix(".mo").read_bytes() == compiled(read(path))


def test_texts_of_scripts_are_told_apart(marked):
    found = [message for (context, _), message in marked.items() if context == SCRIPTS]
    assert len(found) > 50
    assert {name for message in found for name, _ in message.locations} >= {
        "app/static/ask.js",
        "app/static/sessions.js",
    }


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_what_the_api_says_is_told_with_its_numbers(app):
    with app.test_request_context("/login", headers={"Accept-Language": "de"}):
        assert in_words("Must be between 8 and 72 in length.") == "Bitte 8 bis 72 Zeichen."
        assert in_words("404: Not Found") == "404: Nicht gefunden"
        assert (
            in_words("Somebody else's own sentence, with 3 numbers.") == "Somebody else's own sentence, with 3 numbers."
        )
        assert in_words("") == ""
        assert sentences_in_words()["Password does not match."] == "Das Passwort ist falsch."
    with app.test_request_context("/login"):
        assert in_words("Must be between 8 and 72 in length.") == "Must be between 8 and 72 in length."
