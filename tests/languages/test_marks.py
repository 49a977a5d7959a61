"""Every text that people read is marked, so that it can be said in their language."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask_babel.speaklater import LazyString
from jinja2 import Environment, nodes

from app.languages.refusals import SENTENCES
from app.mail.wordings import WORDINGS

APP = Path(__file__).parents[2] / "app"
FOR_DEVELOPERS = {"docs.html", "docs.js"}  # the page of the API, which is in English
TEMPLATES = sorted(
    path
    for path in (APP / "templates").rglob("*.*")
    if path.suffix in (".html", ".txt") and path.name not in FOR_DEVELOPERS
)
SCRIPTS = sorted(path for path in (APP / "static").glob("*.js") if path.name not in FOR_DEVELOPERS)
CODE = [
    *(APP / "routes" / name for name in ("forms.py", "pages.py", "recovery_pages.py")),
    *sorted((APP / "routes").glob("settings_*.py")),
    *sorted((APP / "languages").glob("*.py")),
    APP / "mail" / "letters.py",
    APP / "mail" / "wordings.py",
]
MARKS = {"_", "gettext", "lazy_gettext", "lazy_pgettext", "marked", "ngettext", "npgettext", "pgettext"}
A_TEXT = re.compile(r"[A-Za-zäöüß’]{2,}")
A_SENTENCE = re.compile(r"[A-Z“][\w’]*,? .*\w|.*\w \w.*[.?!]")
SHOWN = {"alt", "aria-label", "placeholder", "title"}


class Shown(HTMLParser):
    """What a template shows besides its expressions: texts, and attributes that are read out."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._is_style = False
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self._is_style = tag in ("style", "script")
        self.texts += [text for name, text in attributes if name in SHOWN and text]

    def handle_endtag(self, tag):
        self._is_style = False

    def handle_data(self, data):
        if not self._is_style:
            self.texts.append(data)


@pytest.fixture(scope="module")
def jinja():
    return Environment(extensions=["jinja2.ext.i18n"], autoescape=True)


def is_mark(node):
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in MARKS


def constants(node):
    """The texts within expressions that no mark is around."""
    if is_mark(node):
        return
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    for child in node.iter_child_nodes():
        yield from constants(child)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_all_of_a_template_is_marked(jinja, path):
    source = path.read_text(encoding="utf-8")
    source = re.sub(r"{% trans.*?{% endtrans %}", "", source, flags=re.DOTALL)
    source = re.sub(r"{% block kind %}\w+{% endblock %}", "", source)
    plain = "".join(value for _, kind, value in jinja.lex(source) if kind == "data")
    assert [text for text in Shown(plain).texts if A_TEXT.search(text)] == []
    assert [text for text in constants(jinja.parse(source)) if A_SENTENCE.fullmatch(text)] == []
    asked = re.findall('data-prove="{{ (.*?)\\(', source)
    assert set(asked) <= {"pgettext", "npgettext", "what "}, "in a question for a proof, it follows an infinitive"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_all_that_a_script_says_is_marked(path):
    code = re.sub(r"^\s*(//|/?\*).*$|\s//\s.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    literal = r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`'
    unmarked = re.sub(rf"\b(?:text|counted)\(\s*(?:{literal})(?:,\s*(?:{literal}))?", "", code)
    known = {"Invalid two-factor code", "Invalid two-factor auth ticket", "signalUnknownCredential"}  # of the API
    found = {text[1:-1] for text in re.findall(literal, unmarked)} - known
    assert [text for text in found if A_SENTENCE.fullmatch(text)] == []


def texts(node, is_marked=False):
    """The texts of code that no mark is around, without docstrings."""
    for child in ast.iter_child_nodes(node):
        is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if is_docstring:
            continue
        marks = isinstance(child, ast.Call) and getattr(child.func, "id", "") in MARKS
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and not is_marked:
            yield child.value
        yield from texts(child, is_marked or marks)


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_all_that_code_says_is_marked(path):
    found = texts(ast.parse(path.read_text(encoding="utf-8")))
    known = {"A test of ", "Mails from there reach you"}
    assert [text for text in found if A_SENTENCE.fullmatch(text) and not text.startswith(tuple(known))] == []


def test_every_mail_is_marked():
    for kind, wording in WORDINGS.items():
        for part in (wording.subject, wording.message, wording.button, wording.advice):
            assert isinstance(part, LazyString), kind


# What the API says, and no page shows
NOT_ON_PAGES = {
    "The request body contains invalid JSON.",
    "Could not interpret value as boolean.",
    "Could not interpret value as string.",
    "Invalid Form Body",
    "Must be a snowflake.",
    "Must be the base{1} of {2} bytes.",
    "No picture.",
    "Only dictionaries may be used in a DictType",
    "Only hashes are kept: codes are renewed, not shown.",
    "Only iterables may be used in a ListType",
    "This token needs no swap.",
    "Two factor is required for this operation",
    "Unknown Session",
    "Unknown User",
    "Use POST /logout to end your current session.",
    "Value must be one of {choices}.",
    "Value must be one of *.",
}
REFUSALS = [APP / "errors.py", APP / "form_errors.py"]
FOR_THE_API = [*REFUSALS, *sorted((APP / "wire").glob("*.py")), *sorted((APP / "rules").glob("*.py"))]
FOR_OPERATORS = {"import_fields.py", "imports.py", "responses.py"}


def sentences(path):
    """What a module says in refusals: "CODE: message", in REFUSALS messages of classes too. * is what is put in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    within = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in set(ast.walk(tree)) - within:
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        found = re.fullmatch(r"[A-Z][A-Z_]{3,}: (.*)", text)
        if found and found[1] not in ("message", "*", "%s"):
            yield found[1]
    if path in REFUSALS:
        for node in ast.walk(tree):
            if isinstance(node, ast.Return | ast.Assign) and isinstance(node.value, ast.Constant):
                text = node.value.value
                if isinstance(text, str) and A_SENTENCE.fullmatch(text) and not re.match("[A-Z_]+: ", text):
                    yield text


def known_as(sentence):
    """The sentence as the list has it: a number in it may be any, or stand for what code puts in."""
    for known in SENTENCES | NOT_ON_PAGES:
        pattern = re.escape(known).replace(r"\{1\}", r"(?:[\d,]+|\*|\{\w+\})")
        pattern = re.sub(r"\\\{[2-9]\\\}", r"(?:[\\d,]+|\\*|\\{\\w+\\})", pattern)
        if re.fullmatch(pattern, sentence):
            return known
    return None


@pytest.mark.parametrize(
    "path", [path for path in FOR_THE_API if path.name not in FOR_OPERATORS], ids=lambda path: path.name
)
def test_what_the_api_says_can_be_said_on_pages(path):
    """A new sentence belongs into languages/refusals.py, or among those that no page shows."""
    assert [sentence for sentence in sentences(path) if known_as(sentence) is None] == []
