"""The generator of /openapi.json (OpenAPI 3.1) for the JSON surfaces.

It reads the routes, and the docstrings and contracts (wire/contract.py) of their views. A route is in the
document if its view has the decorator `answers`. Bodies are described by the schemas of wire/, refusals by their
classes (document/refusals.py), groups of routes by the docstrings of their modules.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from inspect import getdoc
from itertools import product
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow.fields import Field
from werkzeug.exceptions import InternalServerError, MethodNotAllowed, NotFound
from werkzeug.routing import Rule

from app.callers.identity import PROOF_COOKIE, SAFE_METHODS, SESSION_COOKIE
from app.document.refusals import HEADERS, JsonObject, Refusal, Refusals, header_refs, status_of
from app.errors import Forbidden, MfaRequired, Unauthorized, Unavailable
from app.setting_reader import variable
from app.web import verify
from app.web.services import services
from app.web.surfaces import is_of_cookie_api
from app.wire.contract import Contract, Header, Limit, Parameter, Response, Shape, View, contract_of, join

_ABOUT = """Keyrack owns sign-in and the devices that are signed in.

Paths are those of version 9. `/api/v6` to `/api/v10` and `/api` are the same, with or without a slash at the end.

Bodies are JSON; unknown fields are ignored. Ids of users are snowflakes, sent as strings. Times are ISO 8601 in UTC
with six decimals.

A caller sends a token as `Authorization: <token>`, with or without `Bearer`. A browser sends it in the cookie
`__Host-session`. If both are sent, the header counts. With the cookie alone, a request that changes something must come
from a page of the same origin: `Sec-Fetch-Site`, or `Origin`, must say so, else the answer is 403.

Sensitive requests need a recent proof. Without one the answer is 401 with code 60003 and a ticket.
`POST /api/v9/mfa/finish` takes the ticket with a code or the password, and returns the proof. Then the client sends the
first request again, with the proof in `X-Discord-MFA-Authorization` or in the cookie `__Secure-recent_mfa`. A client
that knows no challenges sends `password`, or with MFA on `code`, in the body of the first request.

A browser whose user wished so at a login (`remember` at `/login/mfa`) is asked for no code at the next ones, by the
cookie `__Host-remembered`. It counts at `/login` alone, and proves nothing.

Every answer has an `X-Request-Id`. It is that of the request, if that has 1 to 64 letters, digits, dots, dashes and
underscores. An unknown path is answered with 404, a wrong method with 405 and `Allow`.

A refusal has a `code` that stays the same and a `message` for people; the cookie API, whose paths have no `/api/v9`,
says `{"error": "<message>"}` instead."""

_SECURITY = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The token of a session, as it is.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token of a session, after `Bearer`."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The token of a session, in a browser.",
    },
    "proof": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Discord-MFA-Authorization",
        "description": "The proof from `POST /api/v9/mfa/finish`, good for five minutes.",
    },
    "proofCookie": {"type": "apiKey", "in": "cookie", "name": PROOF_COOKIE, "description": "The same in a browser."},
    "gatewaySecret": {"type": "http", "scheme": "bearer", "description": "`GATEWAY_SECRET`, which a gateway has."},
    "metricsSecret": {"type": "http", "scheme": "bearer", "description": "`METRICS_SECRET`, which Prometheus has."},
}
_SESSION: Sequence[JsonObject] = [{"token": []}, {"bearer": []}, {"cookie": []}]
_SECRETS: Mapping[str, list[JsonObject]] = {
    "nobody": [],
    "gateway": [{"gatewaySecret": []}],
    "prometheus": [{"metricsSecret": []}],
}
_PROVED: Sequence[JsonObject] = [
    {"token": [], "proof": []},
    {"bearer": [], "proof": []},
    {"cookie": [], "proofCookie": []},
]

_EVERYWHERE = (
    Header("X-Request-Id", "Names the request in the logs"),
    Header("Cache-Control", "`no-store`: nothing is kept"),
)
_ALWAYS = [header.name for header in _EVERYWHERE]


@dataclass(frozen=True)
class _Route:
    """One method of a path.

    Attributes:
        name: The endpoint, as in "sessions.list_sessions".
        module: The module of its view. The module's docstring describes the group.
    """

    path: str
    method: str
    name: str
    module: str
    view: View
    contract: Contract

    @property
    def group(self) -> str:
        return self.module.rpartition(".")[2]


def make_document(app: Flask) -> JsonObject:
    """Return the document of an application. It must be called within the application's context.

    The settings of the application give the rate limits.
    """
    spec = APISpec(
        title="Keyrack",
        version="9",
        openapi_version="3.1.0",
        info={"description": _ABOUT},
        servers=[{"url": "/"}],
        plugins=[marshmallow := MarshmallowPlugin()],
    )
    converter: Any = marshmallow.converter
    converter.add_attribute_function(_describe_own_checks)
    for name, scheme in _SECURITY.items():
        spec.components.security_scheme(name, scheme)
    for header in (*_EVERYWHERE, *HEADERS):
        spec.components.header(header.name, _header(header))
    proof_ttl_s = services().reauthentication.proof_ttl_s
    surfaces = [Refusals(spec, _ALWAYS, proof_ttl_s, in_cookie_api=in_cookie_api) for in_cookie_api in (False, True)]
    for refusals, refusal in product(surfaces, (NotFound, MethodNotAllowed)):
        refusals.shared(refusal)
    routes = list(_routes(app))
    for name, description in _groups(routes).items():
        spec.tag({"name": name, "description": description})
    for route in routes:
        operation = _operation(route, surfaces[is_of_cookie_api(route.path)])
        spec.path(route.path, operations={route.method.lower(): operation})
    return spec.to_dict()


def _describe_own_checks(_: OpenAPIConverter, field: Field[Any], **__: Any) -> JsonObject:
    """Return the JSON Schema of checks from wire/fields.py. marshmallow's own validators are described by apispec."""
    described: JsonObject = {}
    for check in field.validators:
        described |= getattr(check, "json_schema", {})
    return described


# Routes

_GATEWAY = "app.routes.gateway"  # /gateway/verify is described beside the gateway's other requests


def _routes(app: Flask) -> Iterator[_Route]:
    for rule in app.url_map.iter_rules():
        view, contract = app.view_functions[rule.endpoint], _contract(app, rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}) if contract.answers else ():
            yield _Route(_path(rule), method, rule.endpoint, view.__module__, view, contract)
    check = verify.Verify.__call__  # it is served without Flask, so Flask has no rule for it
    yield _Route(verify.PATH, "GET", "gateway.verify", _GATEWAY, check, contract_of(check))


def _contract(app: Flask, rule: Rule) -> Contract:
    """Return the contract of a view, joined with the contracts of its blueprint's hooks."""
    contract = contract_of(app.view_functions[rule.endpoint])
    for hook in app.before_request_funcs.get(rule.endpoint.partition(".")[0], ()):
        contract = join(contract_of(hook), contract)
    return contract


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[^<>]+:)?([^<>:]+)>", r"{\1}", rule.rule)


def _groups(routes: Sequence[_Route]) -> Mapping[str, str]:
    """Return the description of each group of routes: the first paragraph of their module's docstring."""
    return {route.group: _paragraphs(sys.modules[route.module])[0] for route in routes}


def _paragraphs(described: Any) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (getdoc(described) or "").split("\n\n")]


def _operation(route: _Route, refusals: Refusals) -> JsonObject:
    contract = route.contract
    summary, *more = _paragraphs(route.view)
    description = [*more, *map(_limit, contract.limits)]
    operation: JsonObject = {
        "operationId": route.name.replace(".", "_"),
        "tags": [route.group],
        "summary": summary.removesuffix("."),
        "security": _security(contract),
        "responses": _responses(route, refusals),
    }
    if description:
        operation["description"] = "\n\n".join(description)
    if contract.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in contract.parameters]
    for media_type, shape in (
        ("application/json", contract.body),
        ("application/x-www-form-urlencoded", contract.form),
    ):
        if shape is not None:
            content = {media_type: {"schema": shape}}
            operation["requestBody"] = {"required": not contract.may_lack_body, "content": content}
    return operation


def _limit(limit: Limit) -> str:
    rate = getattr(services().settings, limit.setting)
    return f"At most {rate} by {limit.counted_by} (`{variable(limit.setting)}`)."


def _security(contract: Contract) -> list[JsonObject]:
    if contract.known_by == "session":
        return [*_SESSION, *(_PROVED if MfaRequired in contract.refusals else ())]
    return _SECRETS[contract.known_by]


def _parameter(parameter: Parameter) -> JsonObject:
    return {
        "in": parameter.place,
        "name": parameter.name,
        "description": parameter.meaning,
        "required": parameter.place == "path",
        "schema": {"type": "string"},
        "example": parameter.example,
    }


# Answers


def _responses(route: _Route, refusals: Refusals) -> JsonObject:
    responses: JsonObject = {str(answer.status): _response(answer) for answer in route.contract.answers}
    field = _first_field(route.contract)
    by_status: dict[int, list[Refusal]] = {}
    for refusal in dict.fromkeys(_refusals(route)):
        by_status.setdefault(status_of(refusal), []).append(refusal)
    return responses | {str(status): refusals.response(by_status[status], field) for status in sorted(by_status)}


def _first_field(contract: Contract) -> str:
    """Return the first required field of the body; "" if no field is required."""
    shape = contract.body or contract.form
    known = shape._declared_fields if isinstance(shape, type) else {}
    return next((name for name, field in known.items() if field.required), "")


def _refusals(route: _Route) -> Iterator[Refusal]:
    contract = route.contract
    if contract.known_by != "nobody":
        yield Unauthorized
    if contract.known_by == "session":
        yield Unavailable
        if route.method not in SAFE_METHODS:
            yield Forbidden
    yield from contract.refusals
    yield InternalServerError


def _response(answer: Response) -> JsonObject:
    response: JsonObject = {
        "description": HTTPStatus(answer.status).phrase,
        "headers": _headers(answer.headers),
    }
    if answer.shapes:
        response["content"] = {answer.media_type: {"schema": _any_of(answer.shapes)}}
    return response


def _any_of(shapes: Sequence[Shape]) -> Any:
    return shapes[0] if len(shapes) == 1 else {"anyOf": list(shapes)}


def _headers(of_answer: Sequence[Header]) -> JsonObject:
    return header_refs(*_ALWAYS) | {header.name: _header(header) for header in of_answer}


def _header(header: Header) -> JsonObject:
    return {"description": header.meaning, "required": header.always, "schema": dict(header.schema)}
