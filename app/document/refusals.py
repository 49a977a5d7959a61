"""How the document describes what is refused: each class of errors.py by an example and by the shape of its body."""

from collections.abc import Sequence
from typing import Any

from apispec import APISpec
from flask_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException, InternalServerError

from app.errors import ApiError, InvalidForm, MfaRequired
from app.web.error_handlers import cookie_body, plain_body, rate_limited_body
from app.wire.contract import Header
from app.wire.fields import TICKET
from app.wire.responses import ChallengeSchema

Json = dict[str, Any]
Refusal = type[Exception]

HEADERS = (
    Header("WWW-Authenticate", "`Bearer`; with `insufficient_user_authentication` where a recent proof is missing"),
    Header("Allow", "The methods that the path takes"),
    Header("Retry-After", "Seconds until the same request may be sent again", {"type": "integer"}),
    Header("X-RateLimit-Limit", "How many requests there may be in the span", {"type": "integer"}),
    Header("X-RateLimit-Remaining", "How many are left", {"type": "integer"}),
    Header("X-RateLimit-Reset", "When one is let through again, Unix seconds", {"type": "number"}),
    Header("X-RateLimit-Reset-After", "In how many seconds that is", {"type": "number"}),
    Header("X-RateLimit-Bucket", "Names what is counted"),
    Header("X-RateLimit-Scope", "`user`"),
)
_BY_STATUS = {
    401: ["WWW-Authenticate"],
    405: ["Allow"],
    429: ["Retry-After", *(header.name for header in HEADERS if header.name.startswith("X-RateLimit-"))],
    503: ["Retry-After"],
}

_TEXT = {"type": "string"}


def status_of(refusal: Refusal) -> int:
    if issubclass(refusal, ApiError):
        return refusal.status
    assert issubclass(refusal, HTTPException)  # noqa: S101 - the two kinds that answers.py renders
    return refusal.code or InternalServerError.code


def header_refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


class Refusals:
    """The refusals of one surface: Discord's shape has code and message, the cookie API's one sentence.

    always   names of the headers that every answer has
    """

    def __init__(self, spec: APISpec, always: Sequence[str], proof_ttl_s: int, *, in_cookie_api: bool) -> None:
        self._components = spec.components
        self._always = always
        self._proof_ttl_s = proof_ttl_s
        self._in_cookie_api = in_cookie_api
        self._suffix = "InCookieApi" if in_cookie_api else ""
        for name, schema in (("FormErrors", _FORM_ERRORS), ("Error", _object({"error": _TEXT}))):
            if name not in self._components.schemas:
                self._components.schema(name, schema)
        if "Challenge" not in self._components.schemas:
            self._components.schema("Challenge", schema=ChallengeSchema)

    def response(self, refusals: Sequence[Refusal], field: str) -> Json:
        """The answer of one status, whichever of these refusals it is. field: one that the body must have"""
        if len(refusals) == 1 and not issubclass(refusals[0], InvalidForm):
            return self.shared(refusals[0])
        return self._response(refusals, field)

    def shared(self, refusal: Refusal) -> Json:
        """A reference to the answer that all routes of the surface have in common."""
        name = refusal.__name__ + self._suffix
        if name not in self._components.responses:
            self._components.response(name, self._response([refusal], ""))
        return {"$ref": f"#/components/responses/{name}"}

    def _response(self, refusals: Sequence[Refusal], field: str) -> Json:
        told = {refusal: self._example(refusal, field) for refusal in refusals}
        shapes = dict.fromkeys(self._shape(refusal, body) for refusal, (body, _) in told.items())
        refs = [{"$ref": f"#/components/schemas/{name}"} for name in shapes]
        return {
            "description": " · ".join(dict.fromkeys(sentence for _, sentence in told.values())),
            "headers": header_refs(*self._always, *_BY_STATUS.get(status_of(refusals[0]), ())),
            "content": {
                "application/json": {
                    "schema": refs[0] if len(refs) == 1 else {"anyOf": refs},
                    "examples": {refusal.__name__: {"value": body} for refusal, (body, _) in told.items()},
                }
            },
        }

    def _example(self, refusal: Refusal, field: str) -> tuple[Json, str]:
        """The body as this surface has it, and what it says in one sentence."""
        if issubclass(refusal, ApiError):
            error = self._raised(refusal, field)
            body, sentence = error.body(), error.plainly()
            shown = error.message if refusal is InvalidForm else sentence
        else:
            body = rate_limited_body(1.337) if refusal is RateLimitExceeded else plain_body(status_of(refusal))
            shown = sentence = str(body["message"])
        return (cookie_body(body, sentence) if self._in_cookie_api else body), shown

    def _raised(self, refusal: type[ApiError], field: str) -> ApiError:
        if refusal is InvalidForm:
            return InvalidForm({field: "BASE_TYPE_REQUIRED: This field is required"})
        if refusal is MfaRequired:
            return MfaRequired(TICKET["examples"][0], [{"type": "password"}], self._proof_ttl_s)
        return refusal()

    def _shape(self, refusal: Refusal, body: Json) -> str:
        """The name of the schema that the body of a refusal has."""
        if set(body) == {"error"}:
            return "Error"
        name = InvalidForm.__name__ if issubclass(refusal, InvalidForm) else refusal.__name__ + self._suffix
        if name not in self._components.schemas:
            known = {
                "code": {"const": body.get("code")},
                "errors": {"$ref": "#/components/schemas/FormErrors"},
                "mfa": {"$ref": "#/components/schemas/Challenge"},
                "retry_after": {"type": "number", "description": "Seconds"},
                "global": {"const": False},
            }
            self._components.schema(name, _object({key: known.get(key, _TEXT) for key in body}))
        return name


def _object(properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


_FORM_ERRORS = {
    "type": "object",
    "description": "What is wrong, by field; deeper fields within theirs, entries of a list under their number",
    "properties": {"_errors": {"type": "array", "items": _object({"code": _TEXT, "message": _TEXT})}},
    "additionalProperties": {"$ref": "#/components/schemas/FormErrors"},
}
