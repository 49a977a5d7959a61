"""The files of a service that has a logo or a colour of its own. Those of every service: static/."""

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from app.config import Settings
from app.web.services import services
from app.web.surfaces import PageBlueprint

# Who opens the picture by itself must run no script that may be in it.
_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


def make_blueprint(chosen: Settings) -> Blueprint:
    """Make the blueprint of the files that these settings ask for."""
    bp = PageBlueprint("brand", __name__)
    if chosen.service_logo:
        bp.add_url_rule(chosen.service_logo.path, "logo", _show_logo)
    if chosen.service_colour:
        bp.add_url_rule("/keyrack/colours.css", "colours", _show_colours)
    return bp


def _show_logo() -> ResponseReturnValue:
    logo = services().settings.service_logo
    assert logo  # noqa: S101 - else there is no such route
    answer = _answer(logo.content, logo.media_type)
    answer.headers["Content-Security-Policy"] = _CSP
    return answer


def _show_colours() -> ResponseReturnValue:
    return _answer(render_template("colours.css", colour=services().settings.service_colour).encode(), "text/css")


def _answer(content: bytes, media_type: str) -> Response:
    answer = Response(content, content_type=media_type, headers={"Cache-Control": "no-cache"})
    answer.add_etag()
    answer.make_conditional(request)
    return answer
