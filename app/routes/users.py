"""The caller's own user: its record, and changes of names and password.

The second factor: mfa.py. A forgotten password: recovery.py.
"""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.errors import InvalidCode, MfaRequired
from app.routes.login import USER_SETTINGS
from app.stores.users import User
from app.web.cookies import RENEWS_SESSION, renew_session_cookie
from app.web.guards import caller, client, require_proof_or_answer, require_session, takes
from app.web.limits import STEP_UP, STEP_UP_USER, limited
from app.web.services import services
from app.wire.account import ChangeUser, ChangeUserSchema
from app.wire.contract import answers, refuses
from app.wire.responses import ChangedUserSchema, UserSchema

bp = Blueprint("users", __name__)

# Clients fail without these. Keyrack does not have what they tell.
_UNKNOWN = {
    "discriminator": "0",
    "avatar": None,
    "verified": False,
    "locale": USER_SETTINGS["locale"],
    "flags": 0,
    "premium_type": 0,
    "bio": "",
    "banner": None,
    "accent_color": None,
}


@bp.get("/users/@me")
@require_session
@answers(UserSchema)
def show_me() -> ResponseReturnValue:
    """Show the caller's user."""
    return user_body(services().accounts.get(caller().user_id))


@bp.patch("/users/@me")
@require_session
@takes(ChangeUserSchema)
@limited(STEP_UP, STEP_UP_USER)
@answers(ChangedUserSchema, headers=[RENEWS_SESSION])
@refuses(MfaRequired, InvalidCode)
def change_me(body: ChangeUser) -> ResponseReturnValue:
    """Change the password, the username and the name that others see: all that is asked for, or nothing.

    With a new password, every other session ends. The caller's own session goes on with a new token.
    """
    user = services().accounts.get(caller().user_id)
    services().profiles.require_possible(user, body)
    if body.needs_password and user.has_mfa:
        require_proof_or_answer(body)
    user, token = services().profiles.change(caller(), user, body, body.password, client())
    renew_session_cookie(token)
    return user_body(user) | ({"token": token} if token else {})


def user_body(user: User) -> dict[str, Any]:
    """Return what the user, and the application behind the gateway, are told of a user."""
    return {
        "id": user.id,
        "username": user.username,
        "global_name": user.global_name,
        "email": user.email,
        "mfa_enabled": user.has_mfa,
        "authenticator_types": services().second_factor.authenticator_types(user),
    } | _UNKNOWN
