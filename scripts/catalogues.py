"""The catalogues of languages: what is marked in the code, taken over into each of them, and compiled."""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir, extract_javascript
from jinja2.ext import babel_extract

APP = Path(__file__).parents[1] / "app"
FOLDER = APP / "translations"
SCRIPTS = "script"  # the context of texts that scripts of pages show: a page carries those in its language along

_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)  # else each run would change the file

_KEYWORDS: Mapping[str, Any] = DEFAULT_KEYWORDS | {
    "lazy_gettext": None,
    "lazy_ngettext": (1, 2),
    "lazy_pgettext": ((1, "c"), 2),
    "marked": None,
}


def _extract_script(file: Any, _keywords: Any, comment_tags: Any, options: Any) -> Iterator[tuple[int, str, Any, Any]]:
    """Yield the texts of a script of a page: the arguments of text() and counted() (static/texts.js)."""
    for line, function, texts, comments in extract_javascript(file, ["text", "counted"], comment_tags, options):
        parts = list(texts) if isinstance(texts, (list, tuple)) else [texts]
        if function == "counted":
            yield line, "npgettext", (SCRIPTS, *parts[:2]), comments
        elif parts[0] is not None:
            yield line, "pgettext", (SCRIPTS, parts[0]), comments


_METHODS: Iterable[tuple[str, Any]] = [
    ("**.py", "python"),
    ("templates/**.html", babel_extract),
    ("templates/**.txt", babel_extract),
    ("static/**.js", _extract_script),
]
_OPTIONS = {"templates/**": {"newstyle_gettext": "true", "silent": "false"}}


def extract() -> Catalog:
    """Return all texts that are marked, in the order of their places."""
    catalogue = Catalog(fuzzy=False)
    for name, line, message, comments, context in extract_from_dir(APP, _METHODS, _OPTIONS, _KEYWORDS):
        catalogue.add(message, locations=[(f"app/{name}", line)], auto_comments=comments, context=context)
    return catalogue


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return pofile.read_po(file, locale=path.parents[1].name)


def update(catalogue: Catalog, marked: Catalog) -> Catalog:
    """Take over what is marked. A text that is new has no translation, and none is guessed from a similar one."""
    catalogue.update(marked, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    return catalogue


def written(catalogue: Catalog) -> bytes:
    """Return a catalogue as the file for people, without lines: they change with every edit elsewhere."""
    for message in catalogue:
        message.locations = list(dict.fromkeys((name, None) for name, _ in message.locations))
    file = io.BytesIO()
    pofile.write_po(file, catalogue, width=120, omit_header=True, sort_output=False, include_lineno=False)
    return b'msgid ""\nmsgstr ""\n' + _header(catalogue).encode() + b"\n" + file.getvalue()


def _header(catalogue: Catalog) -> str:
    fields = {
        "Language": str(catalogue.locale),
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": catalogue.plural_forms,
    }
    return "".join(f'"{name}: {value}\\n"\n' for name, value in fields.items())


def compiled(catalogue: Catalog) -> bytes:
    catalogue.creation_date = catalogue.revision_date = _NO_DATE
    file = io.BytesIO()
    mofile.write_mo(file, catalogue)
    return file.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """Return the texts without a translation, or with a form of a plural that is missing."""
    missing = []
    for message in catalogue:
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.id and not all(forms):
            missing.append(message.id if isinstance(message.id, str) else message.id[0])
    return missing


def main(new: list[str]) -> int:
    for language in new:
        (FOLDER / language / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
        path = FOLDER / language / "LC_MESSAGES" / "messages.po"
        if not path.exists():
            path.write_bytes(written(Catalog(locale=language, fuzzy=False)))
    marked = extract()
    is_whole = True
    for path in sorted(FOLDER.glob("*/LC_MESSAGES/messages.po")):
        catalogue = update(read(path), marked)
        path.write_bytes(written(catalogue))
        path.with_suffix(".mo").write_bytes(compiled(read(path)))
        missing = untranslated(catalogue)
        is_whole = is_whole and not missing
        print(f"{path.parents[1].name}: {len(catalogue)} texts, {len(missing)} to be translated")
        for text in missing:
            print(f"  {text}")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
