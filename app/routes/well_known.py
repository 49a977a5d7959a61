"""Where browsers and password managers find the pages of an account (RFC 8615)."""

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from app.errors import NotFound
from app.web.services import services
from app.web.surfaces import PageBlueprint
from app.wire.contract import answers, refuses
from app.wire.responses import PasskeyEndpointsSchema

bp = Blueprint("well_known", __name__)
pages_bp = PageBlueprint("well_known_pages", __name__)

_MANAGE = "/settings/security"


@pages_bp.get("/change-password")
def change_password() -> ResponseReturnValue:
    """Lead to the page where a password is changed (W3C, A Well-Known URL for Changing Passwords)."""
    return redirect(_MANAGE)


@bp.get("/passkey-endpoints")
@answers(PasskeyEndpointsSchema)
@refuses(NotFound)
def show_passkey_endpoints() -> ResponseReturnValue:
    """Tell where passkeys are added and removed (W3C, Passkey Endpoints). 404 where there are none."""
    site = services().settings.public_url
    if site is None or services().passkeys.party is None:
        raise NotFound
    page = f"{site}{_MANAGE}#passkeys"
    return {"enroll": page, "manage": page}
