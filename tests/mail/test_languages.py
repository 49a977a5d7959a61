"""The language of mails: the user's, of the moment in which a notice was queued."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP
from typing import get_args

import pytest

from app.languages.choice import in_language
from app.mail.wordings import WORDINGS
from app.stores.mail import NoticeKind
from app.stores.session_records import Client
from app.web.services import EXTENSION
from tests.device import PASSWORD
from tests.mail import test_letters
from tests.mail.test_letters import html_of, links_of, text_of

AT = 1752708864.7  # 16 July 2025, 23:34:24 UTC
CLIENT = Client(os="Linux", platform="Firefox", location="Zürich, Zurich, Switzerland", ip="203.0.113.7")
FORM = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}

letters, link_rules = test_letters.letters, test_letters.link_rules  # fixtures
notice_of, user = test_letters.notice_of, test_letters.user

on_fake = pytest.mark.parametrize("redis", ["fake"], indirect=True)


@pytest.fixture
def ada(app):
    """A user with a language: her browser, and what the service knows of her."""
    browser = app.test_client()
    assert browser.post("/register/form", data=FORM, headers={"Accept-Language": "de"}).status_code == 303
    return browser


@pytest.fixture
def compose(app, letters, user, notice_of):
    """A mail about one and the same notice, in each language, as it is after it was sent."""
    made = {}

    def sent(kind, language):
        if kind not in made:
            made[kind] = notice_of(kind, user())
        with app.app_context():
            message = letters.compose(replace(made[kind], language=language))
        return message_from_bytes(message.as_bytes(), policy=SMTP)

    return sent


@on_fake
@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_each_mail_is_german_as_a_whole(app, compose, kind):
    """With the links and facts of the English one, and headers that every server takes."""
    german, english = compose(kind, "de"), compose(kind, "en")
    shown = text_of(german).replace("\n", " ") + html_of(german) + german["Subject"]
    with app.app_context(), in_language("en"):
        wording = WORDINGS[kind]
        for part in (wording.subject, wording.message, wording.button, wording.advice):
            assert str(part) not in shown
    assert not re.search(r"\b(Sent by|Device|Place|Address|Time|the|your)\b", re.sub(r"https?://\S+", "", shown))
    assert "Firefox unter Linux" in shown
    assert "16. Juli 2025, 23:34 UTC" in shown
    assert links_of(german) == links_of(english)
    assert german["Message-ID"] == english["Message-ID"]
    assert german["Subject"] != english["Subject"]
    assert all(line.isascii() and len(line) <= 998 for line in german.as_bytes().split(b"\r\n\r\n")[0].splitlines())


@on_fake
@pytest.mark.parametrize("language", ["", "xx", "../de"])
def test_who_has_no_language_is_told_in_the_operators(compose, language):
    """As by a notice that a release before has queued."""
    assert compose("suspicious", language)["Subject"] == compose("suspicious", "en")["Subject"]


def test_a_notice_takes_the_language_along(app, ada, redis):
    """It is another one's as little as the one that is chosen while the mail waits: a mail sent twice is the same."""
    services = app.extensions[EXTENSION]
    user_id = services.accounts.id_of(FORM["email"])
    ada.post("/keyrack/language", data={"language": "en"})
    services.notices.tell("suspicious", user_id, CLIENT)
    ada.post("/keyrack/language", data={"language": "de"})
    services.notices.tell("suspicious", user_id, CLIENT)
    services.notices.tell("suspicious", "1", CLIENT)  # nobody
    mails = services.delivery._mails
    queued = [(job.content.kind, job.content.language) for job in mails.turn("worker", [], 99, 60)]
    assert [language for kind, language in queued if kind == "suspicious"] == ["en", "de", ""]
