"""The refusals in the OpenAPI document: an example for each, and the schema of its body.

The refusals are defined in errors.py and form_errors.py. The answers to clients are made in web/error_handlers.py.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from apispec import APISpec
from flask_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException, InternalServerError

from app.errors import ApiError, ApplicationFailed, MfaRequired
from app.form_errors import InvalidForm, InvalidSecret
from app.web.error_handlers import cookie_body, plain_body, rate_limited_body
from app.wire.contract import Header
from app.wire.fields import TICKET
from app.wire.responses import ChallengeSchema

JsonObject = dict[str, Any]
Refusal = type[Exception]

# A refusal may come after the proof was right, and 503 after the change was made.
_EARNED = Header(
    "Set-Cookie", "The proof, if the body had a right answer; the new token, after a new password", always=False
)
HEADERS = (
    Header("WWW-Authenticate", "`Bearer`; with `insufficient_user_authentication` where a recent proof is missing"),
    Header("Allow", "The methods that the path takes"),
    Header("Retry-After", "Seconds until the same request may be sent again", {"type": "integer"}),
    Header("X-RateLimit-Limit", "How many requests are allowed in the span", {"type": "integer"}),
    Header("X-RateLimit-Remaining", "How many are left", {"type": "integer"}),
    Header("X-RateLimit-Reset", "When the next one is allowed, Unix seconds", {"type": "number"}),
    Header("X-RateLimit-Reset-After", "In how many seconds that is", {"type": "number"}),
    Header("X-RateLimit-Bucket", "Names what is counted"),
    Header("X-RateLimit-Scope", "`user`"),
    _EARNED,
)
_BY_STATUS = {
    401: ["WWW-Authenticate"],
    405: ["Allow"],
    429: ["Retry-After", *(header.name for header in HEADERS if header.name.startswith("X-RateLimit-"))],
    503: ["Retry-After"],
}

_TEXT = {"type": "string"}
_OPTIONAL: Mapping[Refusal, Collection[str]] = {
    InvalidSecret: ["errors"],  # only a secret that was sent has a problem
    ApplicationFailed: ["errors", "token"],
}


def status_of(refusal: Refusal) -> int:
    if issubclass(refusal, ApiError):
        return refusal.status
    assert issubclass(refusal, HTTPException)  # noqa: S101 - web/error_handlers.py renders these two kinds
    return refusal.code or InternalServerError.code


def header_refs(*names: str) -> JsonObject:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


class Refusals:
    """The refusals of one surface. In Discord's form the body has code and message, in the cookie API a sentence.

    Args:
        always: Names of the headers in every answer.
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

    def response(self, refusals: Sequence[Refusal], field: str) -> JsonObject:
        """Return the response for one status, with an example of each of these refusals.

        Args:
            field: A required field of the request's body, for the example.
        """
        if len(refusals) == 1 and not issubclass(refusals[0], InvalidForm):
            return self.shared(refusals[0])
        return self._response(refusals, field)

    def shared(self, refusal: Refusal) -> JsonObject:
        """Return a reference to a response that all routes of the surface share."""
        name = refusal.__name__ + self._suffix
        if name not in self._components.responses:
            self._components.response(name, self._response([refusal], ""))
        return {"$ref": f"#/components/responses/{name}"}

    def _response(self, refusals: Sequence[Refusal], field: str) -> JsonObject:
        examples = {refusal: self._example(refusal, field) for refusal in refusals}
        shapes = dict.fromkeys(self._shape(refusal, body) for refusal, (body, _) in examples.items())
        refs = [{"$ref": f"#/components/schemas/{name}"} for name in shapes]
        return {
            "description": " · ".join(dict.fromkeys(sentence for _, sentence in examples.values())),
            "headers": header_refs(
                *self._always,
                *_BY_STATUS.get(status_of(refusals[0]), ()),
                _EARNED.name,
            ),
            "content": {
                "application/json": {
                    "schema": refs[0] if len(refs) == 1 else {"anyOf": refs},
                    "examples": {refusal.__name__: {"value": body} for refusal, (body, _) in examples.items()},
                }
            },
        }

    def _example(self, refusal: Refusal, field: str) -> tuple[JsonObject, str]:
        """Return the body in the form of this surface, and its meaning in one sentence."""
        if issubclass(refusal, ApiError):
            error = self._make_error(refusal, field)
            body, sentence = error.body(), error.plainly()
            shown = error.message if refusal is InvalidForm else sentence
        else:
            body = rate_limited_body(1.337) if refusal is RateLimitExceeded else plain_body(status_of(refusal))
            shown = sentence = str(body["message"])
        return (cookie_body(body, sentence) if self._in_cookie_api else body), shown

    def _make_error(self, refusal: type[ApiError], field: str) -> ApiError:
        if refusal is InvalidForm:
            return InvalidForm({field: "BASE_TYPE_REQUIRED: This field is required"})
        if refusal is MfaRequired:
            return MfaRequired(TICKET["examples"][0], [{"type": "password"}], self._proof_ttl_s)
        if refusal is ApplicationFailed:
            errors = InvalidForm({"avatar": "BASE_TYPE_BAD_FORMAT: No picture."}).extra["errors"]
            return ApplicationFailed(
                ["new_password"], "The application refused the rest.", token=TICKET["examples"][0], errors=errors
            )
        return InvalidSecret("Must be base32.") if refusal is InvalidSecret else refusal()

    def _shape(self, refusal: Refusal, body: JsonObject) -> str:
        """Return the name of the schema of a refusal's body. Add the schema to the document if it is missing."""
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
            properties = {key: known.get(key, _TEXT) for key in body}
            self._components.schema(name, _object(properties, _OPTIONAL.get(refusal, ())))
        return name


def _object(properties: JsonObject, optional: Collection[str] = ()) -> JsonObject:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


_FORM_ERRORS = {
    "type": "object",
    "description": "The problems by field. A deeper field is within its parent, an entry of a list under its number",
    "properties": {"_errors": {"type": "array", "items": _object({"code": _TEXT, "message": _TEXT})}},
    "additionalProperties": {"$ref": "#/components/schemas/FormErrors"},
}
