"""The refusals that rules and guards raise, each with its status, code and message.

ApiError
├── (those that name the fields that are wrong: form_errors.py)
├── InvalidJson            400  50109   a body that is not JSON
├── MfaAlreadyOn           400  60001
├── MfaNotOn               400  60002
├── InvalidTicket          400  60006   unknown, used, expired, exhausted or somebody else's
├── IsCurrentSession       400  0       the caller's own session, but only others may be ended
├── NothingToSwap          400  0       a token that is our own already
├── Unauthorized           401  0       no token, or no live session with it
├── MfaRequired            401  60003   a live session without a recent proof
├── Forbidden              403  0
├── NotFound               404  0       no such passkey, or no passkeys here at all
│   └── UnknownDevice                   no such remembered device
├── UnknownUser            404  10013
├── UnknownSession         404  10020
└── Unavailable            503  0       Redis is away or too slow, or the queue for password hashes is full
    ├── ApplicationFailed               Keyrack's part of a change is done, the application's is not
    └── Unconfirmed                     done on the primary, but too few replicas have confirmed it

Rules and guards raise these. Elsewhere are 413 (code 40005) and 429, in web/error_handlers.py, and CallerGone, in
stores/sessions.py. The answers are made in web/error_handlers.py, their description for the OpenAPI document in
document/refusals.py. Nothing here knows Flask.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar


class ApiError(Exception):
    """A refusal with a stable code, and a sentence that a person can act on.

    Args:
        message: None stands for the message of the class.
        extra: More fields of the body.

    Attributes:
        is_wrong_answer: Somebody may have guessed. Some rate limits count these refusals alone.
    """

    is_wrong_answer: ClassVar[bool] = False
    status: ClassVar[int] = 400
    code: ClassVar[int] = 0
    message: str = ""

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        self.message = message or self.message or status_message(self.status)
        self.extra = extra
        super().__init__(self.message)

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, **self.extra}

    def plainly(self) -> str:
        """Return the whole refusal as one sentence, for the cookie API, pages and the terminal."""
        return self.message

    def headers(self) -> dict[str, str]:
        return {}


def status_message(status: int) -> str:
    """Return a status as in "404: Not Found"."""
    return f"{status}: {HTTPStatus(status).phrase}"


class InvalidJson(ApiError):
    code = 50109
    message = "The request body contains invalid JSON."


class MfaAlreadyOn(ApiError):
    code = 60001
    message = "This account is already enrolled in two-factor authentication"


class MfaNotOn(ApiError):
    code = 60002
    message = "This account is not enrolled in two-factor authentication"


class InvalidTicket(ApiError):
    code = 60006
    message = "Invalid two-factor auth ticket"


class Unauthorized(ApiError):
    status = 401

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class MfaRequired(ApiError):
    """A live session without a recent proof."""

    status = 401
    code = 60003
    message = "Two factor is required for this operation"

    def __init__(self, ticket: str, methods: Sequence[Mapping[str, Any]], max_age_s: int) -> None:
        super().__init__(mfa={"ticket": ticket, "methods": methods})
        self.ticket = ticket
        self.methods = methods
        self._max_age_s = max_age_s

    def headers(self) -> dict[str, str]:
        # RFC 9470, section 3
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{self._max_age_s}"'
        return {"WWW-Authenticate": challenge}


class Forbidden(ApiError):
    status = 403


class NotFound(ApiError):
    status = 404


class UnknownDevice(NotFound):
    message = "Device not found"


class UnknownUser(ApiError):
    status = 404
    code = 10013
    message = "Unknown User"


class UnknownSession(ApiError):
    status = 404
    code = 10020
    message = "Unknown Session"

    def plainly(self) -> str:
        return "Session not found"


class IsCurrentSession(ApiError):
    """An attempt of a session to end itself, although the request may end only other sessions.

    Only the cookie API refuses this. Discord's clients may end the caller's own session together with others.
    """

    message = "Use POST /logout to end your current session."


class NothingToSwap(ApiError):
    """A request for a token of our own by a caller who has one. It is not given once more: a token is shown once."""

    message = "This token needs no swap."


class Unavailable(ApiError):
    """A request that was not carried out, or whose outcome is unknown. The client may send it again."""

    status = 503

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class ApplicationFailed(Unavailable):
    """A change of a user, part of which was for the application behind the gateway and was not taken there.

    Args:
        done: The fields that Keyrack has changed.
        why: What became of the rest, as a sentence.
        more: `token`, if a new password replaced the caller's; `errors`, the problems that the application named.
    """

    def __init__(self, done: Sequence[str], why: str, **more: Any) -> None:
        super().__init__(f"{status_message(self.status)}. Changed: {', '.join(done) or 'nothing'}. {why}", **more)


class Unconfirmed(Unavailable):
    """A change that too few replicas have confirmed.

    The primary has made it, wholly or in part. A failover could undo it.
    """

    message = (
        "503: Service Unavailable. This may or may not have happened: too few replicas have confirmed it. "
        "It is safe to send it again."
    )
