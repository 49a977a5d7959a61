"""The look that is taken at every answer of the tests sees what it is there for."""

import json

import pytest

from tests.conformance import Document, Undocumented

_TEXT = {"type": "string"}
DOCUMENT = {
    "paths": {
        "/things": {
            "get": {
                "responses": {
                    "200": {
                        "headers": {
                            "X-Count": {"required": True, "schema": {"type": "integer"}},
                            "Set-Cookie": {"required": False, "schema": _TEXT},
                        },
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "204": {"headers": {}},
                    "404": {"$ref": "#/components/responses/NotFound"},
                }
            }
        }
    },
    "components": {
        "schemas": {"Thing": {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "at": _TEXT}}},
        "responses": {
            name: {"headers": {}, "content": {"application/json": {"schema": {"const": name}}}}
            for name in ("NotFound", "MethodNotAllowed")
        },
    },
}
JSON = {"Content-Type": "application/json"}
COUNTED = JSON | {"X-Count": "1"}


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"),
    [
        ("GET", "/things", 200, COUNTED, {"name": "x"}),
        ("GET", "/things", 200, COUNTED | {"Set-Cookie": "a=b"}, {"name": "x", "at": "noon"}),
        ("HEAD", "/things", 200, COUNTED, None),
        ("GET", "/things", 204, {}, None),
        ("GET", "/things", 404, JSON, "NotFound"),
        ("GET", "/others", 404, JSON, "NotFound"),
        ("POST", "/things", 405, JSON, "MethodNotAllowed"),
        ("GET", "/page", 200, {"Content-Type": "text/html; charset=utf-8"}, None),
    ],
)
def test_what_is_described_passes(method, path, status, headers, body):
    Document(DOCUMENT).check(method, path, status, headers, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"),
    [
        ("GET", "/things", 201, COUNTED, {"name": "x"}),
        ("GET", "/things", 200, JSON, {"name": "x"}),
        ("GET", "/things", 200, COUNTED | {"X-Count": "many"}, {"name": "x"}),
        ("GET", "/things", 200, COUNTED | {"X-More": "1"}, {"name": "x"}),
        ("GET", "/things", 200, COUNTED, {"name": 1}),
        ("GET", "/things", 200, COUNTED, {}),
        ("GET", "/things", 200, COUNTED, {"name": "x", "more": 1}),
        ("GET", "/things", 200, {"Content-Type": "text/html", "X-Count": "1"}, {"name": "x"}),
        ("GET", "/things", 200, COUNTED, None),
        ("GET", "/things", 204, JSON, {"name": "x"}),
        ("GET", "/things", 404, JSON, "MethodNotAllowed"),
        ("GET", "/others", 200, JSON, {"name": "x"}),
        ("POST", "/things", 200, COUNTED, {"name": "x"}),
    ],
)
def test_what_is_not_described_does_not_pass(method, path, status, headers, body):
    with pytest.raises(Undocumented, match=f"{method} {path} answered {status}"):
        Document(DOCUMENT).check(method, path, status, headers, b"" if body is None else json.dumps(body).encode())
