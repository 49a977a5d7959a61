"""Holds what is logged against every secret that tests sent or were given, and against all that looks like one.

Each process that runs tests notes and checks its own. Whatever a client of the tests sends or is answered is noted, as
JSON, as a form or as a cookie; e-mail addresses and tokens are known by their form.
"""

import io
import logging
import re
from typing import Any

from app.config import load_settings
from app.watch import logs

_NAMES = ("token", "ticket", "password", "new_password", "code", "data", "secret", "answer", "proof")
_SHORTEST = 6
_FORMS = {
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "a token, ticket, proof or link": re.compile(r"[A-Za-z0-9_-]{2,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{43}"),
    "a hash of a password": re.compile(r"\$2[aby]\$\d\d\$"),
}

_noted: set[str] = set()
_noted_lately: set[str] = set()


def note(value: Any) -> None:
    """Keep the secrets in what was sent or answered: a mapping, a list of them, or nothing.

    Of a token the random part counts alone: whoever has that can make up the rest.
    """
    for name, held in value.items() if isinstance(value, dict) else ():
        if name in _NAMES and isinstance(held, str) and len(held.strip()) >= _SHORTEST:
            parts = {held, held.rpartition(".")[2]} if held.count(".") == 2 else {held}
            _noted.update(parts)
            _noted_lately.update(parts)
        for deeper in held if isinstance(held, list) else [held]:
            note(deeper)


def assert_none(text: str, secrets: set[str] | None = None) -> None:
    """secrets: those to look for; by default all that this process ever noted"""
    for line in text.splitlines():
        for kind, form in _FORMS.items():
            assert not form.search(line), f"{kind} is logged: {line}"
    for secret in _noted if secrets is None else secrets:
        if secret in text:
            found = re.search(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", text)
            assert not found, f"a secret is logged: {secret!r} in {text[found.start() - 300 : found.end() + 100]}"


class Watch:
    """What this process logs, in the form that operators have it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._handler = logs.make_handler(load_settings(environment), io.StringIO())
        logging.getLogger().addHandler(self._handler)
        for ours in ("app", "keyrack"):  # not the libraries that tests use: those may tell all that they hear
            logging.getLogger(ours).setLevel(logging.DEBUG)

    def check(self) -> None:
        """Hold what was logged since the last time against what was noted since then."""
        assert self._handler in logging.getLogger().handlers, "the watch was taken away, its silence says nothing"
        text, secrets = self._handler.stream.getvalue(), set(_noted_lately)
        self._handler.setStream(io.StringIO())
        _noted_lately.clear()
        assert_none(text, secrets)

    def end(self) -> None:
        logging.getLogger().removeHandler(self._handler)
