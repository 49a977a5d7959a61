"""The surfaces of the service: pages, the cookie API and Discord's API. Each refuses requests in a form of its own.
The form of a refusal on each: error_handlers.py. The blueprints themselves: routes/.
"""

from enum import Enum
from typing import cast

from flask import Blueprint, Flask, current_app, request

_EXTENSION = "keyrack-surfaces"
_STATIC = "static"  # the endpoint of Flask's own route for the files of pages


class Surface(Enum):
    API = "API"
    COOKIE_API = "cookie API"
    PAGES = "pages"


class PageBlueprint(Blueprint):
    """A blueprint of pages. Its refusals are pages too."""


class CookieBlueprint(Blueprint):
    """A blueprint of the cookie API. Its refusals are one sentence."""


class Surfaces:
    """The surface of each blueprint and path of an application. Make it when all blueprints are registered."""

    def __init__(self, app: Flask) -> None:
        self._by_blueprint = {name: _surface_of(blueprint) for name, blueprint in app.blueprints.items()}
        paths: dict[Surface, set[str]] = {surface: set() for surface in Surface}
        for rule in app.url_map.iter_rules():
            name = rule.endpoint.partition(".")[0]
            paths[Surface.PAGES if name == _STATIC else self._by_blueprint[name]].add(rule.rule)
        self._cookie_paths = paths[Surface.COOKIE_API]
        self._page_paths = paths[Surface.PAGES]
        self._cookie_sections = set(map(_section, self._cookie_paths)) - {""}
        self._page_sections = set(map(_section, self._page_paths)) - {""}

    def of_blueprint(self, name: str) -> Surface:
        return self._by_blueprint[name]

    def of_path(self, path: str) -> Surface:
        """Return the surface of a path that has no view, or no view for the method.

        A path of both the cookie API and pages (/login) belongs to the cookie API. An unknown path belongs to the
        surface with a path of the same first part: pages first (/login/x), then the cookie API (/me/x), else the API.
        """
        if path in self._cookie_paths:
            return Surface.COOKIE_API
        if path in self._page_paths or _section(path) in self._page_sections:
            return Surface.PAGES
        return Surface.COOKIE_API if _section(path) in self._cookie_sections else Surface.API


def init_surfaces(app: Flask) -> None:
    app.extensions[_EXTENSION] = Surfaces(app)


def is_of_cookie_api(path: str) -> bool:
    """Tell whether a documented path belongs to the cookie API of the current application."""
    return _surfaces().of_path(path) is Surface.COOKIE_API


def surface_of_request() -> Surface:
    if request.blueprint is None:
        return _surfaces().of_path(request.path)
    return _surfaces().of_blueprint(request.blueprint)


def is_answered_by_page() -> bool:
    return surface_of_request() is Surface.PAGES


def _surfaces() -> Surfaces:
    return cast(Surfaces, current_app.extensions[_EXTENSION])


def _surface_of(blueprint: object) -> Surface:
    if isinstance(blueprint, PageBlueprint):
        return Surface.PAGES
    return Surface.COOKIE_API if isinstance(blueprint, CookieBlueprint) else Surface.API


def _section(path: str) -> str:
    """Return the first part of a path: "settings" of "/settings/sessions"."""
    return path.removeprefix("/").partition("/")[0]
