"""Which language a page or a mail is in.

The API speaks English. A page is in the language of the user who is signed in, else in the one that was chosen in this
browser, else in the best of `Accept-Language`, else in DEFAULT_LANGUAGE. A mail is in the language that its user had
when it was queued.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import flask_babel  # type: ignore[import-untyped]
from babel import Locale, negotiate_locale
from flask import Flask, g, has_request_context, request

from app.translations import LANGUAGES, SOURCE

COOKIE = "__Host-language"


def init_languages(app: Flask, default: str, is_for_page: Callable[[], bool]) -> None:
    """Let pages and mails speak all languages that there are.

    Args:
        default: DEFAULT_LANGUAGE.
        is_for_page: Tells whether the current request is answered by a page.
    """

    def choose() -> str | None:
        if not has_request_context():
            return None
        if not is_for_page():
            return SOURCE
        own = g.get("language")
        return own if own in LANGUAGES else language_asked_for()

    flask_babel.Babel(app, default_locale=default, locale_selector=choose)


def note_language_of_user(language: str | None) -> None:
    """Let the rest of this request be in the language of the user who is signed in, if they have one."""
    g.language = language


def language_asked_for() -> str | None:
    """Return the language that this browser or client asks for; None if it asks for none that is there."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    told = request.headers.get("X-Discord-Locale")  # of clients that have a setting of their own
    wanted = [told] if told else [tag for tag, quality in request.accept_languages if quality > 0]
    return negotiate_locale([tag.replace("-", "_") for tag in wanted], LANGUAGES)


def in_language(language: str) -> AbstractContextManager[None]:
    """Return a context in which all texts are in this language, whatever the request asks for."""
    context: AbstractContextManager[None] = flask_babel.force_locale(language)
    return context


def current_locale() -> Locale:
    """Return the locale of this request or mail; English where there is neither."""
    locale: Locale | None = flask_babel.get_locale()
    return locale or Locale(SOURCE)


def language_of_page() -> str:
    """Return the language of this request as HTML names it: "de"."""
    return str(current_locale()).replace("_", "-")


def direction_of_page() -> str:
    """Return the direction in which the language of this request is written: "ltr" or "rtl"."""
    return current_locale().text_direction
