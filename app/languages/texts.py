"""The functions that mark a text of a page or mail, and return it in the language of this request or mail.

The first argument is the English text itself: what is put into it is named, as in gettext("Hello %(name)s", name=name).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import flask_babel  # type: ignore[import-untyped]

LazyText: TypeAlias = Any  # str() of it is the text, in the language of then

gettext: Callable[..., str] = flask_babel.gettext
ngettext: Callable[..., str] = flask_babel.ngettext  # one, many, the number: %(num)s stands for it
pgettext: Callable[..., str] = flask_babel.pgettext  # the context first, which tells apart what English says in one way
lazy_gettext: Callable[..., LazyText] = flask_babel.lazy_gettext  # where it is written before there is a request


def marked(text: str) -> str:
    """Return an English text as it is. It is translated where it is shown: gettext of what this returned."""
    return text
