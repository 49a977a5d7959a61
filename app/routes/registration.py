"""The questions of a form of registration before it is sent: where the visitor is, and whether a password would do.

The registration itself: login.py.
"""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.rules.password_strength import guesses_log10, score_of
from app.web.guards import takes
from app.web.services import services
from app.wire.contract import answers
from app.wire.responses import LocationMetadataSchema, ValidatedPasswordSchema
from app.wire.sign_in import ValidatePassword, ValidatePasswordSchema

bp = Blueprint("registration", __name__)


@bp.get("/auth/location-metadata")
@answers(LocationMetadataSchema)
def show_location() -> ResponseReturnValue:
    """Tell in which country the caller's address is, and what a form of registration asks there.

    A registration asks for no consent. Keyrack sends no mail that advertises.
    """
    place = services().callers.locate(request.environ)
    return {
        "consent_required": False,
        "country_code": place.country_code if place else None,
        "promotional_email_opt_in": {"required": True, "pre_checked": False},
    }


@bp.post("/auth/password/validate")
@takes(ValidatePasswordSchema)
@answers(ValidatedPasswordSchema)
def validate_password(body: ValidatePassword) -> ResponseReturnValue:
    """Tell whether a registration would take a password, and how many guesses it would take to find it.

    Nothing is kept or counted: the work is that of any small request, and of some 40 reads of BREACHED_PASSWORDS.
    """
    guesses = guesses_log10(body.password, body.email, body.username)
    return {
        "valid": services().passwords.fault_of(body.password, body.email, body.username) is None,
        "password_strength": {"guesses_log10": round(guesses, 3), "score": score_of(guesses)},
    }
