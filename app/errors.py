"""The refusals that rules and guards raise, each with its status, code and message.

ApiError
├── InvalidForm            400  50035   a body whose fields are wrong
│   ├── InvalidLogin                    wrong e-mail or password, or a disabled account
│   └── OneProblem
│       ├── PasswordMismatch            of a caller who gives their password again
│       ├── PasswordMissing             of a caller who must give it again
│       ├── InvalidLink                 a link from a mail: made up, used, expired or superseded
│       ├── EmailTaken                  an address that is another account's
│       ├── VerificationRequired        a right login before the address is verified
│       ├── InvalidCredential           a new passkey that does not hold, or that the user has
│       ├── TooManyPasskeys             one more than a user may have
│       └── LastWayIn                   the last passkey of a user without a password
├── InvalidJson            400  50109   a body that is not JSON
├── MfaAlreadyOn           400  60001
├── MfaNotOn               400  60002
├── InvalidSecret          400  60005
├── InvalidTicket          400  60006   unknown, used, expired, exhausted or somebody else's
├── InvalidCode            400  60008
│   └── InvalidPassword                 a wrong password where a challenge asked for it
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

MISMATCH = "Password does not match."


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


class InvalidForm(ApiError):
    """A body with wrong fields.

    Args:
        fields: Maps each wrong field to its problem: a text "CODE: message", a list of such texts, or a deeper mapping.
    """

    code = 50035
    message = "Invalid Form Body"

    def __init__(self, fields: Mapping[Any, Any]) -> None:
        super().__init__(errors=_form_errors(fields))

    def by_field(self) -> dict[str, str]:
        """Return the first problem of each field."""
        return {name: _first_message(problem) for name, problem in self.extra["errors"].items()}

    def plainly(self) -> str:
        problems = ((name, message.rstrip(".")) for name, message in self.by_field().items())
        return "; ".join(message if name == "_errors" else f"{name}: {message}" for name, message in problems) + "."


def _form_errors(problems: Mapping[Any, Any] | Sequence[str] | str) -> dict[str, Any]:
    if isinstance(problems, Mapping):
        nested = {str(name): _form_errors(problem) for name, problem in problems.items() if name != "_schema"}
        return nested | (_form_errors(problems["_schema"]) if "_schema" in problems else {})
    texts = [problems] if isinstance(problems, str) else problems
    coded = (text.split(": ", 1) for text in texts)
    return {"_errors": [{"code": code, "message": message} for code, message in coded]}


def _first_message(problem: Any) -> str:
    """Return the first message within a result of `_form_errors`, at any depth."""
    if isinstance(problem, Mapping):
        return _first_message(next(iter(problem.values())))
    message: str = problem[0]["message"]
    return message


class InvalidLogin(InvalidForm):
    """A login that fails. The answer is equal for an unknown account, a wrong password and a disabled account."""

    is_wrong_answer = True

    def __init__(self) -> None:
        problem = "INVALID_LOGIN: Login or password is invalid."
        super().__init__({"login": problem, "password": problem})

    def plainly(self) -> str:
        return "Login or password is invalid."


class OneProblem(InvalidForm):
    """A body with one wrong field, by default the one that the class names."""

    field: ClassVar[str]
    problem: ClassVar[str]
    sentence: ClassVar[str]
    names_field: ClassVar[bool] = False

    def __init__(self, field: str | None = None) -> None:
        super().__init__({field or self.field: f"{self.problem}: {self.sentence}"})

    def plainly(self) -> str:
        return super().plainly() if self.names_field else self.sentence


class PasswordMismatch(OneProblem):
    names_field = True
    is_wrong_answer = True
    field, problem, sentence = "password", "PASSWORD_DOES_NOT_MATCH", MISMATCH


class PasswordMissing(OneProblem):
    names_field = True
    field, problem, sentence = "password", "BASE_TYPE_REQUIRED", "This field is required"


class InvalidLink(OneProblem):
    field, problem, sentence = "token", "TOKEN_INVALID", "This link has expired or was used already."


class EmailTaken(OneProblem):
    names_field = True
    field, problem, sentence = "email", "EMAIL_ALREADY_REGISTERED", "Email is already registered."


class VerificationRequired(OneProblem):
    """A right login of a user who must verify their address first. A mail with the link is on its way."""

    field, problem = "login", "ACCOUNT_LOGIN_VERIFICATION_EMAIL"  # as Discord's clients know it
    sentence = "Please verify your email address first: we have sent you a link. Then log in again."


class InvalidCredential(OneProblem):
    """A new passkey whose answer does not hold, or that the user has already."""

    field, problem, sentence = "credential", "INVALID_CREDENTIAL", "This passkey could not be added."


class TooManyPasskeys(OneProblem):
    field, problem, sentence = "credential", "TOO_MANY_PASSKEYS", "An account can have 10 passkeys. Remove one first."


class LastWayIn(OneProblem):
    """The last passkey of a user without a password, who could not log in any more without it."""

    field, problem = "password", "LAST_WAY_IN"
    sentence = "You could not log in any more: you have no password. Set one, or add another passkey first."


class InvalidJson(ApiError):
    code = 50109
    message = "The request body contains invalid JSON."


class MfaAlreadyOn(ApiError):
    code = 60001
    message = "This account is already enrolled in two-factor authentication"


class MfaNotOn(ApiError):
    code = 60002
    message = "This account is not enrolled in two-factor authentication"


class InvalidSecret(ApiError):
    """A TOTP secret that is missing, malformed or short. Without one a client shows a secret and asks again.

    Args:
        problem: A sentence that says what is wrong with it; "" if there was no secret. Forms of clients show it at a
            field.
    """

    code = 60005
    message = "Invalid two-factor secret"

    def __init__(self, problem: str = "") -> None:
        super().__init__()
        if problem:
            told = f"INVALID_SECRET: {problem}"
            self.extra["errors"] = _form_errors({"secret": told, "code": told})


class InvalidTicket(ApiError):
    code = 60006
    message = "Invalid two-factor auth ticket"


class InvalidCode(ApiError):
    """A wrong answer to a challenge, or a wrong code of a login. Forms of clients show the problem at its field."""

    is_wrong_answer = True
    code = 60008
    message = "Invalid two-factor code"
    _problem = "code", "INVALID_CODE"

    def __init__(self) -> None:
        field, code = self._problem
        super().__init__(errors=_form_errors({field: f"{code}: {self.message}"}))


class InvalidPassword(InvalidCode):
    """A wrong password, where a challenge asked for it."""

    message = MISMATCH
    _problem = "password", "PASSWORD_DOES_NOT_MATCH"


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
