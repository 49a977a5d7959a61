"""Where other programs look first (RFC 8615): for the pages of an account, and for how receivers are told of events."""

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from app.errors import NotFound
from app.rules.signing_keys import MAX_AGE_S
from app.web.services import services
from app.web.surfaces import PageBlueprint
from app.wire.contract import Header, answers, refuses
from app.wire.responses import JwksSchema, PasskeyEndpointsSchema, SsfConfigurationSchema

bp = Blueprint("well_known", __name__)
pages_bp = PageBlueprint("well_known_pages", __name__)

_MANAGE = "/settings/security"
_JWKS = "/jwks.json"
_CACHED = {"Cache-Control": f"public, max-age={MAX_AGE_S}"}
_CACHE_CONTROL = Header("Cache-Control", f"Good for {MAX_AGE_S} seconds")


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


@bp.get(_JWKS)
@answers(JwksSchema, headers=[_CACHE_CONTROL])
@refuses(NotFound)
def show_keys() -> ResponseReturnValue:
    """Return the public keys of logout and security event tokens (RFC 7517). 404 where none are signed.

    A new key is here before it signs, a former one as long as it is in `SIGNING_KEYS`.
    """
    signing = services().signing
    if signing is None:
        raise NotFound
    return dict(signing.jwks), _CACHED


@bp.get("/ssf-configuration")
@answers(SsfConfigurationSchema, headers=[_CACHE_CONTROL])
@refuses(NotFound)
def show_ssf_configuration() -> ResponseReturnValue:
    """Tell receivers of security event tokens who signs them, by which keys (SSF 1.0). 404 where none are signed."""
    settings = services().settings
    if services().signing is None or settings.issuer is None:
        raise NotFound
    site = settings.public_url or settings.issuer.rstrip("/")
    return {
        "spec_version": "1_0",
        "issuer": settings.issuer,
        "jwks_uri": f"{site}/.well-known{_JWKS}",
        "delivery_methods_supported": ["urn:ietf:rfc:8935"],
        "critical_subject_members": ["session"],
        "default_subjects": "ALL",
    }, _CACHED
