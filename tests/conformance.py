"""Every answer that a test gets is held against the document that the service gives of itself."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient

from app.document.openapi_generator import make_document
from app.web import front, verify

Json = dict[str, Any]

# What the server in front of Flask says by itself, and the house's rules for browsers
_UNDESCRIBED = {"content-type", "content-length", "date", "server", "connection", "transfer-encoding"}
_UNDESCRIBED |= {"x-keyrack-refusal"}  # of HEAD at the gateway's check, whose methods the document has as one
_UNDESCRIBED |= {"vary", *(f"access-control-{name}" for name in ("allow-origin", "expose-headers"))}
_UNDESCRIBED |= {f"access-control-{name}" for name in ("allow-methods", "allow-headers", "max-age")}
_UNDESCRIBED |= {name.lower() for name, _ in front.STANDARD}


class Undocumented(AssertionError):
    """An answer is not as the document has it."""


class Document:
    def __init__(self, document: Json) -> None:
        self._root = deepcopy(document)
        _close(self._root["components"]["schemas"])
        paths = sorted(document["paths"], key=lambda path: "{" in path)  # one without parameters comes first
        patterns = (re.compile(re.sub(r"{[^}]+}", ".+", path), re.DOTALL) for path in paths)
        self._paths = [(pattern, self._root["paths"][path]) for pattern, path in zip(patterns, paths, strict=True)]
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Raises: Undocumented; pages, which the document does not have, pass"""
        given = {name.lower(): text for name, text in headers.items()}
        try:
            self._check(method, path, status, given, body)
        except Undocumented as problem:
            raise Undocumented(f"{method} {path} answered {status} {body[:500]!r}: {problem}") from None

    def _check(self, method: str, path: str, status: int, given: Mapping[str, str], body: bytes) -> None:
        media_type = given.get("content-type", "").partition(";")[0]
        response = self._response(method, path, status, media_type, body)
        if response is None:
            return
        described = {name.lower(): self._resolved(header) for name, header in response["headers"].items()}
        if missing := {name for name, header in described.items() if header["required"]} - set(given):
            raise Undocumented(f"headers {missing} are missing")
        if more := set(given) - set(described) - _UNDESCRIBED:
            raise Undocumented(f"headers {more} are not described")
        for name in set(described) & set(given):
            self._fit(described[name]["schema"], given[name], name)
        content = response.get("content", {})
        if method == "HEAD" or not (content or body):
            return
        if media_type not in content:
            raise Undocumented(f"a body of {media_type!r} is not described")
        value = _read(body, "the body") if media_type == "application/json" else body.decode()
        self._fit(content[media_type]["schema"], value, "the body")

    def _response(self, method: str, path: str, status: int, media_type: str, body: bytes) -> Json | None:
        """What the document says of this answer. None where the request was for a page."""
        method = "get" if method == "HEAD" or path == verify.PATH else method.lower()  # verify takes all alike
        path = front.canonical_path(path)
        known = [item for pattern, item in self._paths if pattern.fullmatch(path)]
        for item in known:
            if method in item:
                if str(status) not in item[method]["responses"]:
                    raise Undocumented("the status is not described")
                return self._resolved(item[method]["responses"][str(status)])
        if media_type != "application/json":
            return None
        name = {404: "NotFound", 405: "MethodNotAllowed"}.get(status)
        if name is None:
            raise Undocumented("the route is not described")
        return self._root["components"]["responses"][name + ("InCookieApi" if b'"error"' in body else "")]

    def _resolved(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        resolved = self._root
        for name in node["$ref"].removeprefix("#/").split("/"):
            resolved = resolved[name]
        return resolved

    def _fit(self, schema: Json, value: Any, what: str) -> None:
        if schema.get("type") in ("integer", "number") and isinstance(value, str):  # a header
            value = _read(value, what)
        key = json.dumps(schema)
        if key not in self._validators:
            whole = schema | {"components": self._root["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        try:
            self._validators[key].validate(value)
        except jsonschema_rs.ValidationError as problem:
            raise Undocumented(f"{what}: {problem.message} at {problem.instance_path}") from None


def _read(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Undocumented(f"{what} is no JSON") from None


def _close(node: Any) -> None:
    """Let objects have no fields but those that are described: clients pass others over, tests do not."""
    if isinstance(node, list):
        for item in node:
            _close(item)
    elif isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        for item in node.values():
            _close(item)


_documents: dict[frozenset[str], Document] = {}


def document_of(app: Flask) -> Document:
    """The same for all services that have the same routes."""
    routes = frozenset(app.blueprints)
    if routes not in _documents:
        with app.app_context():
            _documents[routes] = Document(make_document(app))
    return _documents[routes]


class CheckedClient(FlaskClient):
    def open(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().open(*args, **kwargs)
        document_of(self.application).check(
            answer.request.method, answer.request.path, answer.status_code, answer.headers, answer.data
        )
        return answer
