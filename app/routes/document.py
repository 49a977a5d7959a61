"""The API's description of itself."""

from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, render_template
from flask.typing import ResponseReturnValue

from app.document.openapi_generator import make_document
from app.document.reference import Reference
from app.languages.choice import in_language
from app.translations import SOURCE
from app.web.surfaces import PageBlueprint
from app.wire.contract import Header, answers

bp = Blueprint("service", __name__)
pages_bp = PageBlueprint("docs", __name__)

_EXTENSION = "keyrack-document"
_KEPT_S = 300
_CACHE_CONTROL = Header("Cache-Control", f"Good for {_KEPT_S} seconds")


@bp.get("/openapi.json")
@answers({"type": "object"}, headers=[_CACHE_CONTROL])
def show_document() -> ResponseReturnValue:
    """Show this document."""
    return _answer_cached("application/json", lambda: orjson.dumps(_document()))


@pages_bp.get("/docs")
def show_docs() -> ResponseReturnValue:
    """Show the document as a page for people, in English."""
    answer = _answer_cached("text/html; charset=utf-8", _make_page)
    answer.headers["Content-Language"] = SOURCE
    return answer


def _make_page() -> bytes:
    with in_language(SOURCE):  # whoever asks first: it is made once
        return render_template("docs.html", reference=Reference(_document())).encode()


def _document() -> dict[str, Any]:
    return make_document(current_app)


def _answer_cached(content_type: str, make: Callable[[], bytes]) -> Response:
    # It is made at the first request, when all routes are known, and does not change after that.
    made: dict[str, bytes] = current_app.extensions.setdefault(_EXTENSION, {})
    if content_type not in made:
        made[content_type] = make()
    return Response(
        made[content_type], content_type=content_type, headers={"Cache-Control": f"public, max-age={_KEPT_S}"}
    )
