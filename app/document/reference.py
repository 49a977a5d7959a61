"""The document laid out for people: what /docs shows of each operation."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.web.surfaces import is_of_cookie_api

Json = Mapping[str, Any]

_SPECIFIC = ("400", "401", "403", "404")  # what these say depends on the operation, the others are the same for all
_COMMON = {
    "404": "NotFound",
    "405": "MethodNotAllowed",
    "413": "RequestEntityTooLarge",
    "429": "RateLimitExceeded",
    "500": "InternalServerError",
    "503": "Unavailable",
}


@dataclass(frozen=True)
class Row:
    """A field of a body, a parameter or a header. name: deeper ones with their way, as in user_sessions[].id_hash"""

    name: str
    kind: str
    note: str
    optional: bool = False


@dataclass(frozen=True)
class Problem:
    """A refusal. code: of the body, where it has one"""

    status: str
    code: str
    sentence: str
    example: str


@dataclass(frozen=True)
class Answer:
    status: str
    phrase: str
    shapes: Sequence[Sequence[Row]]
    headers: Sequence[Row]
    examples: Sequence[str]


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    paragraphs: Sequence[str]
    needs: Sequence[str]
    parameters: Sequence[Row]
    body: Sequence[Row]
    answers: Sequence[Answer]
    problems: Sequence[Problem]
    common: Sequence[str]
    curl: str


@dataclass(frozen=True)
class Group:
    name: str
    description: str
    operations: Sequence[Operation]


class Reference:
    def __init__(self, document: Json) -> None:
        self._document = document
        self.paragraphs: Sequence[str] = document["info"]["description"].split("\n\n")
        self.credentials = [
            Row(scheme.get("name", "Authorization: Bearer"), scheme.get("in", "header"), scheme["description"])
            for scheme in document["components"]["securitySchemes"].values()
        ]
        responses = document["components"]["responses"]
        self.common = self._problems({status: responses[name] for status, name in _COMMON.items()})
        self.groups = [self._group(tag) for tag in document["tags"]]

    def _group(self, tag: Json) -> Group:
        operations = [
            self._operation(method.upper(), path, operation)
            for path, item in self._document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation["tags"]
        ]
        return Group(tag["name"], tag["description"], operations)

    def _operation(self, method: str, path: str, operation: Json) -> Operation:
        content: Json = operation.get("requestBody", {}).get("content", {})
        responses = {status: self._resolved(response) for status, response in operation["responses"].items()}
        return Operation(
            id=operation["operationId"],
            method=method,
            path=path,
            summary=operation["summary"],
            paragraphs=operation.get("description", "").split("\n\n") if "description" in operation else [],
            needs=_needs(operation),
            parameters=[
                Row(parameter["name"], parameter["in"], parameter["description"], not parameter["required"])
                for parameter in operation.get("parameters", [])
            ],
            body=[row for described in content.values() for row in self._rows(described["schema"])],
            answers=[self._answer(status, response) for status, response in responses.items() if status < "400"],
            problems=self._problems({status: responses[status] for status in _SPECIFIC if status in responses}),
            common=[status for status in responses if status >= "400" and status not in _SPECIFIC],
            curl=self._curl(method, path, operation, content),
        )

    def _answer(self, status: str, response: Json) -> Answer:
        [schema] = [described["schema"] for described in response.get("content", {}).values()] or [None]
        shapes = schema.get("anyOf", [schema]) if schema else []
        headers = [
            Row(name, "header", header["description"], not header["required"])
            for name, header in response["headers"].items()
            if "$ref" not in header  # those of all answers
        ]
        told = [(self._rows(shape), _pretty(self._example(shape))) for shape in shapes if self._rows(shape)]
        phrase = HTTPStatus(int(status)).phrase
        return Answer(status, phrase, [rows for rows, _ in told], headers, [example for _, example in told])

    def _problems(self, responses: Mapping[str, Json]) -> Sequence[Problem]:
        return [
            Problem(
                status,
                str(value["code"]) if value.get("code") else "",
                (value.get("message") or value["error"]).removeprefix(f"{status}: "),
                _pretty(value),
            )
            for status, response in responses.items()
            for value in _examples(response)
        ]

    # Schemas

    def _resolved(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        found: Any = self._document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return self._resolved(found)

    def _rows(self, schema: Json, way: str = "") -> list[Row]:
        schema = self._resolved(schema)
        if schema.get("type") == "array":
            return self._rows(schema["items"], way + "[]")
        required = schema.get("required", [])
        return [
            row
            for name, field in schema.get("properties", {}).items()
            for row in self._field(f"{way}.{name}" if way else name, field, optional=name not in required)
        ]

    def _field(self, way: str, field: Json, *, optional: bool) -> Iterator[Row]:
        described = self._resolved(field)
        note = described.get("description") or self._resolved(described.get("items", {})).get("description", "")
        yield Row(way, self._kind(described), note, optional)
        yield from self._rows(described, way)

    def _kind(self, schema: Json) -> str:
        """As in "string or null, 1 to 32 characters"."""
        if "enum" in schema:
            return " or ".join(json.dumps(value) for value in schema["enum"])
        types = _types(schema)
        kind = " or ".join(types)
        if "array" in types:
            kind = f"list of {self._kind(self._resolved(schema['items']))}s"
        limits = [
            f"{schema[least]} to {schema[most]} {unit}"
            for least, most, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries"))
            if least in schema
        ]
        return ", ".join([kind, *limits, *([schema["format"]] if "format" in schema else [])])

    def _example(self, schema: Json) -> Any:
        schema = self._resolved(schema)
        if "examples" in schema:
            return schema["examples"][0]
        if "enum" in schema:
            return schema["enum"][0]
        kind = _types(schema)[0]
        if kind == "object":
            fields, required = schema.get("properties", {}), schema.get("required", [])
            return {
                name: self._example(field) for name, field in fields.items() if name in required or "examples" in field
            }
        if kind == "array":
            return [self._example(schema["items"])]
        return {"boolean": True, "integer": 1_752_708_864, "null": None}.get(kind, "…")

    # A request

    def _curl(self, method: str, path: str, operation: Json, content: Json) -> str:
        parameters = operation.get("parameters", [])
        for parameter in parameters:
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        query = "&".join(f"{one['name']}={one['example']}" for one in parameters if one["in"] == "query")
        lines = [f'curl "$KEYRACK{path}{"?" + query if query else ""}"']
        if method != ("POST" if content else "GET"):
            lines[0] = lines[0].replace("curl", f"curl -X {method}", 1)
        lines += _credentials(path, operation)
        for media_type, described in content.items():
            example = self._example(described["schema"])
            if media_type == "application/json":
                lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(example))}"]
            else:
                lines += [f'--data-urlencode "{name}=$TOKEN"' for name in example]
        return " \\\n  ".join(lines)


def _types(schema: Json) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def _needs(operation: Json) -> list[str]:
    used = {name for alternative in operation.get("security", []) for name in alternative}
    words = {
        "cookie": "a session",
        "proof": "a recent proof",
        "gatewaySecret": "the gateway's secret",
        "metricsSecret": "the secret of metrics",
    }
    return [text for name, text in words.items() if name in used]


def _credentials(path: str, operation: Json) -> list[str]:
    needs = _needs(operation)
    if is_of_cookie_api(path):
        return ["-b cookies -c cookies"]
    headers = {
        "a session": '-H "Authorization: $TOKEN"',
        "a recent proof": '-H "X-Discord-MFA-Authorization: $PROOF"',
        "the gateway's secret": '-H "Authorization: Bearer $GATEWAY_SECRET"',
        "the secret of metrics": '-H "Authorization: Bearer $METRICS_SECRET"',
    }
    return [headers[need] for need in needs]


def _examples(response: Json) -> list[Json]:
    return [example["value"] for example in response["content"]["application/json"]["examples"].values()]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
