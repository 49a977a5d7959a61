"""The refusals that name the fields that are wrong, each with its code and message. Clients show them at the fields.

ApiError                                errors.py, where all others are
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
├── InvalidSecret          400  60005
└── InvalidCode            400  60008
    └── InvalidPassword                 a wrong password where a challenge asked for it
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from app.errors import ApiError

_MISMATCH = "Password does not match."


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
    field, problem, sentence = "password", "PASSWORD_DOES_NOT_MATCH", _MISMATCH


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

    message = _MISMATCH
    _problem = "password", "PASSWORD_DOES_NOT_MATCH"
