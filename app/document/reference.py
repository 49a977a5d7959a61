"""The content of /docs: the OpenAPI document in rows and sections, for templates/docs.html."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.document.refusals import JsonObject
from app.web.surfaces import is_of_cookie_api

_SPECIFIC = ("400", "401", "403", "404")  # described with each operation, other statuses only once
_COMMON = {
    "404": "NotFound",
    "405": "MethodNotAllowed",
    "413": "RequestEntityTooLarge",
    "429": "RateLimitExceeded",
    "500": "InternalServerError",
    "503": "Unavailable",
}


@dataclass(frozen=True)
class FieldRow:
    """A field of a body, a parameter or a header.

    Attributes:
        name: The name, with the path to the field, as in user_sessions[].id_hash.
        kind: The field's type in words. For a parameter, its place.
    """

    name: str
    kind: str
    note: str
    optional: bool = False


@dataclass(frozen=True)
class Problem:
    """One refusal in the reference.

    Attributes:
        code: The code in the body; "" if the body has no code.
    """

    status: str
    code: str
    sentence: str
    example: str


@dataclass(frozen=True)
class ResponseRow:
    """One successful response in the reference.

    Attributes:
        shapes: One list of fields for each shape the body may have. `examples` has an example for each shape.
    """

    status: str
    phrase: str
    shapes: Sequence[Sequence[FieldRow]]
    headers: Sequence[FieldRow]
    examples: Sequence[str]


@dataclass(frozen=True)
class OperationSection:
    """One method of a path.

    Attributes:
        common: Statuses whose refusals are described once for all operations.
        curl: An example request, as a shell command with curl.
    """

    id: str
    method: str
    path: str
    summary: str
    paragraphs: Sequence[str]
    needs: Sequence[str]
    parameters: Sequence[FieldRow]
    body: Sequence[FieldRow]
    answers: Sequence[ResponseRow]
    problems: Sequence[Problem]
    common: Sequence[str]
    curl: str


@dataclass(frozen=True)
class Group:
    name: str
    description: str
    operations: Sequence[OperationSection]


class Reference:
    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self.paragraphs: Sequence[str] = document["info"]["description"].split("\n\n")
        self.credentials = [
            FieldRow(scheme.get("name", "Authorization: Bearer"), scheme.get("in", "header"), scheme["description"])
            for scheme in document["components"]["securitySchemes"].values()
        ]
        responses = document["components"]["responses"]
        self.common = self._problems({status: responses[name] for status, name in _COMMON.items()})
        self.groups = [self._group(tag) for tag in document["tags"]]

    def _group(self, tag: JsonObject) -> Group:
        operations = [
            self._operation(method.upper(), path, operation)
            for path, item in self._document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation["tags"]
        ]
        return Group(tag["name"], tag["description"], operations)

    def _operation(self, method: str, path: str, operation: JsonObject) -> OperationSection:
        content: JsonObject = operation.get("requestBody", {}).get("content", {})
        responses = {status: self._resolved(response) for status, response in operation["responses"].items()}
        return OperationSection(
            id=operation["operationId"],
            method=method,
            path=path,
            summary=operation["summary"],
            paragraphs=operation.get("description", "").split("\n\n") if "description" in operation else [],
            needs=_needs(operation),
            parameters=[
                FieldRow(parameter["name"], parameter["in"], parameter["description"], not parameter["required"])
                for parameter in operation.get("parameters", [])
            ],
            body=[row for described in content.values() for row in self._rows(described["schema"])],
            answers=[self._answer(status, response) for status, response in responses.items() if status < "400"],
            problems=self._problems({status: responses[status] for status in _SPECIFIC if status in responses}),
            common=[status for status in responses if status >= "400" and status not in _SPECIFIC],
            curl=self._curl(method, path, operation, content),
        )

    def _answer(self, status: str, response: JsonObject) -> ResponseRow:
        [schema] = [described["schema"] for described in response.get("content", {}).values()] or [None]
        shapes = schema.get("anyOf", [schema]) if schema else []
        headers = [
            FieldRow(name, "header", header["description"], not header["required"])
            for name, header in response["headers"].items()
            if "$ref" not in header  # headers of all answers are written as references
        ]
        described = [(self._rows(shape), _pretty(self._example(shape))) for shape in shapes if self._rows(shape)]
        phrase = HTTPStatus(int(status)).phrase
        rows, examples = [rows for rows, _ in described], [example for _, example in described]
        return ResponseRow(status, phrase, rows, headers, examples)

    def _problems(self, responses: Mapping[str, JsonObject]) -> Sequence[Problem]:
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

    def _resolved(self, node: JsonObject) -> JsonObject:
        if "$ref" not in node:
            return node
        found: Any = self._document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return self._resolved(found)

    def _rows(self, schema: JsonObject, path: str = "") -> list[FieldRow]:
        schema = self._resolved(schema)
        if schema.get("type") == "array":
            return self._rows(schema["items"], path + "[]")
        required = schema.get("required", [])
        return [
            row
            for name, field in schema.get("properties", {}).items()
            for row in self._field(f"{path}.{name}" if path else name, field, optional=name not in required)
        ]

    def _field(self, path: str, field: JsonObject, *, optional: bool) -> Iterator[FieldRow]:
        described = self._resolved(field)
        note = described.get("description") or self._resolved(described.get("items", {})).get("description", "")
        yield FieldRow(path, self._kind(described), note, optional)
        yield from self._rows(described, path)

    def _kind(self, schema: JsonObject) -> str:
        """Return the type of a field, as in "string or null, 1 to 32 characters"."""
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

    def _example(self, schema: JsonObject) -> Any:
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

    def _curl(self, method: str, path: str, operation: JsonObject, content: JsonObject) -> str:
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


def _types(schema: JsonObject) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def _needs(operation: JsonObject) -> list[str]:
    used = {name for alternative in operation.get("security", []) for name in alternative}
    words = {
        "cookie": "a session",
        "proof": "a recent proof",
        "gatewaySecret": "the gateway's secret",
        "metricsSecret": "the secret of metrics",
    }
    return [text for name, text in words.items() if name in used]


def _credentials(path: str, operation: JsonObject) -> list[str]:
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


def _examples(response: JsonObject) -> list[JsonObject]:
    return [example["value"] for example in response["content"]["application/json"]["examples"].values()]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
