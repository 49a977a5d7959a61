"""Bodies of registration, login and its second step. A forgotten password: recovery.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import pre_load

from app.stores.factors import MfaType
from app.wire.fields import (
    ASSERTION,
    CODE,
    EMAIL,
    GLOBAL_NAME,
    GLOBAL_NAME_CHECKS,
    LOGIN,
    MFA_TYPE,
    PASSWORD,
    PUBLIC_COMPUTER,
    REMEMBER,
    TICKET,
    UNDELETE,
    USERNAME,
    USERNAME_CHECKS,
    EmailAddress,
    Flag,
    Text,
    WireSchema,
    Wish,
    check_email,
    check_password,
)


@dataclass(frozen=True)
class Register:
    email: str
    username: str
    password: str
    global_name: str | None = None


class RegisterSchema(WireSchema):
    into = Register
    email = EmailAddress(required=True, validate=check_email, metadata=EMAIL)
    username = Text(required=True, validate=USERNAME_CHECKS, metadata=USERNAME)
    password = Text(required=True, validate=check_password, metadata=PASSWORD)
    global_name = Text(allow_none=True, validate=GLOBAL_NAME_CHECKS, metadata=GLOBAL_NAME)


@dataclass(frozen=True)
class ValidatePassword:
    password: str
    email: str | None = None
    username: str | None = None


class ValidatePasswordSchema(WireSchema):
    """The fields of a registration that is not sent yet. They may be anything."""

    into = ValidatePassword
    password = Text(required=True, metadata=PASSWORD)
    email = EmailAddress(allow_none=True, metadata=EMAIL)
    username = Text(allow_none=True, metadata=USERNAME)


@dataclass(frozen=True)
class BrowserRegister(Register):
    public_computer: bool = False


class BrowserRegisterSchema(RegisterSchema):
    into = BrowserRegister
    public_computer = Flag(metadata=PUBLIC_COMPUTER)


@dataclass(frozen=True)
class Login:
    login: str
    password: str
    undelete: bool = False


class LoginSchema(WireSchema):
    into = Login
    login = Text(
        required=True, metadata=LOGIN | {"description": "The e-mail address; without `login` the field `email` counts"}
    )
    password = Text(required=True, metadata=PASSWORD)
    undelete = Wish(metadata=UNDELETE)

    @pre_load
    def _read_email_as_login(self, sent: Any, **_: Any) -> Any:
        """Take `email` for `login` where that is absent, as some clients call it (discum, for one)."""
        if isinstance(sent, Mapping) and sent.get("login") is None and "email" in sent:
            return {**sent, "login": sent["email"]}
        return sent


@dataclass(frozen=True)
class BrowserLogin(Login):
    public_computer: bool = False


class BrowserLoginSchema(LoginSchema):
    into = BrowserLogin
    public_computer = Flag(metadata=PUBLIC_COMPUTER)


@dataclass(frozen=True)
class LoginCode:
    ticket: str
    code: str
    login_instance_id: str | None = None


class LoginCodeSchema(WireSchema):
    into = LoginCode
    ticket = Text(required=True, metadata=TICKET)
    code = Text(required=True, metadata=CODE)
    login_instance_id = Text(allow_none=True)


class LoginPasskeySchema(LoginCodeSchema):
    code = Text(required=True, metadata=ASSERTION)


@dataclass(frozen=True)
class PageLoginCode(LoginCode):
    remember: bool = False


class PageLoginCodeSchema(LoginCodeSchema):
    into = PageLoginCode
    remember = Flag(metadata=REMEMBER)


@dataclass(frozen=True)
class BrowserLoginCode(PageLoginCode):
    method: MfaType = "totp"


class BrowserLoginCodeSchema(PageLoginCodeSchema):
    into = BrowserLoginCode
    method = Text(
        metadata={"description": "The kind of the code; `totp` if left out"}, validate=MFA_TYPE, load_default="totp"
    )
