"""What every page has around its own content: names of the service, languages to choose from, texts for scripts.

The template: templates/base.html. Which language a page is in: languages/choice.py.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from babel import Locale
from babel.messages.mofile import read_mo
from flask import Flask, Response

from app.brand import file_stem
from app.config import Settings
from app.languages.choice import current_locale, direction_of_page, language_of_page
from app.languages.refusals import sentences_in_words
from app.translations import FOLDER, LANGUAGES
from app.web.surfaces import is_answered_by_page

_OF_SCRIPTS = b"script"  # the context that scripts/catalogues.py gives their texts


def init_frame(app: Flask, settings: Settings) -> None:
    app.jinja_env.globals.update(
        service_name=settings.service_name,
        file_stem=file_stem(settings.service_name),
        service_logo=settings.service_logo,
        service_colour=settings.service_colour,
        language_of_page=language_of_page,
        direction_of_page=direction_of_page,
        languages=_languages(),
        texts_of_scripts=texts_of_scripts,
    )
    app.after_request(_say_language)


def texts_of_scripts() -> Mapping[str, str | Sequence[str]]:
    """Return what scripts say in the language of this page, by the English text; nothing for English."""
    return _texts_of_scripts(str(current_locale()))


@cache
def _texts_of_scripts(language: str) -> Mapping[str, str | Sequence[str]]:
    path = FOLDER / language / "LC_MESSAGES" / "messages.mo"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        catalogue = read_mo(file)
    texts: dict[str, str | Sequence[str]] = {**sentences_in_words()}
    for message in catalogue:
        # A Catalog that read_mo returns has contexts as bytes (Babel 2.18.0).
        context = message.context.encode() if isinstance(message.context, str) else message.context
        if context == _OF_SCRIPTS and message.string:
            texts[message.id if isinstance(message.id, str) else message.id[0]] = message.string
    return texts


def _languages() -> Sequence[tuple[str, str]]:
    """Return each language as HTML names it, and as its speakers do."""
    found = ((language, Locale.parse(language).get_display_name() or language) for language in LANGUAGES)
    return [(language.replace("_", "-"), name) for language, name in found]


def _say_language(answer: Response) -> Response:
    """Name the language of a page, and what it depends on, for whoever keeps pages although they say no-store."""
    if answer.mimetype == "text/html" and is_answered_by_page() and "Content-Language" not in answer.headers:
        answer.headers["Content-Language"] = language_of_page()
        answer.vary.update(("Accept-Language", "Cookie"))
    return answer
