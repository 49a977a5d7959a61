"""The cookies of a browser: its session, its proof, of whom it is remembered; what it clears when it is signed out.
The cookies of a request are read in callers/identity.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from flask import Response, after_this_request, request

from app import tokens
from app.callers.identity import (
    PROOF_COOKIE,
    REMEMBERED_APART,
    REMEMBERED_COOKIE,
    SESSION_COOKIE,
    read_cookie_token,
    read_remembered,
)
from app.rules.sign_ins import SignedIn
from app.web.services import services
from app.wire.contract import Header

# Pages that the browser fetched ahead for this user. Left out are "cookies", which are those of all hosts of a domain;
# "storage", which on a shared origin is the application's; and "cache", which holds nothing of ours and takes seconds.
_CLEARED = '"prefetchCache", "prerenderCache"'
_LONGEST_KEPT_S = 400 * 24 * 60 * 60  # browsers keep no cookie longer (RFC 6265bis, 5.5)

SETS_SESSION = Header(
    "Set-Cookie",
    f"`{SESSION_COOKIE}`: the token of the session (HttpOnly, Secure, SameSite=Lax, Path=/). Its Max-Age is as "
    "long as the session may last, 400 days at most; on a public computer it has none",
)
RENEWS_SESSION = Header(
    "Set-Cookie", f"`{SESSION_COOKIE}`: the new token, if the caller is known by its cookie", always=False
)
SETS_PROOF = Header(
    "Set-Cookie",
    f"`{PROOF_COOKIE}`: the proof (HttpOnly, Secure, SameSite=Strict, Path=/), with its lifetime as Max-Age",
)
SETS_REMEMBERED = Header(
    "Set-Cookie",
    f"`{REMEMBERED_COOKIE}`: spares this browser the code at a login (HttpOnly, Secure, SameSite=Strict, Path=/). Its "
    "Max-Age ends with the time for which the browser is remembered. Each login that it spares a code gives it another "
    "value",
    always=False,
)
PROVES = replace(SETS_PROOF, meaning=f"{SETS_PROOF.meaning}. Set if the body had the answer", always=False)
CLEARS_COOKIES = (
    Header(
        "Set-Cookie",
        f"`{SESSION_COOKIE}` and `{PROOF_COOKIE}` are cleared, if the caller is known by its cookie",
        always=False,
    ),
    Header("Clear-Site-Data", "Clears pages fetched ahead, if the caller is known by its cookie", always=False),
)


def is_known_by_cookie() -> bool:
    """Tell whether the caller is known by its cookie, not by a header. If both are sent, the header counts."""
    return not services().callers.is_known_by_header(request.environ)


def has_session_cookie() -> bool:
    """Tell whether the request has a session cookie. The session itself may be over."""
    return is_known_by_cookie() and bool(read_cookie_token(request.environ))


def sign_in_browser(signed_in: SignedIn) -> None:
    """Sign this browser in, and end the session that it had before."""
    # The new cookie replaces the old one. The former session would live on, and nobody could end it with its token.
    services().devices.end_former_session(read_cookie_token(request.environ))
    _set_session(signed_in.token, signed_in.on_public_computer)
    _renew_remembered(signed_in)


def own_remembered() -> Sequence[str]:
    """Return the values in the cookie by which this browser is remembered."""
    return read_remembered(request.environ)


def renew_session_cookie(token: str | None) -> None:
    """Set the cookie to the new token of the caller's session, if it has one and the caller is known by its cookie."""
    if token and is_known_by_cookie():
        _set_session(token, services().devices.is_on_public_computer(token))


def set_proof_cookie(proof: str) -> None:
    """Set the cookie with the proof, so that this browser is not challenged again while the proof is valid."""
    max_age = services().reauthentication.proof_ttl_s

    @after_this_request
    def _(response: Response) -> Response:
        response.set_cookie(
            PROOF_COOKIE, proof, max_age=max_age, path="/", secure=True, httponly=True, samesite="Strict"
        )
        return response


def clear_cookies() -> None:
    """Clear both cookies, and pages fetched ahead, if the caller is known by its cookie."""
    if not is_known_by_cookie():
        return

    @after_this_request
    def _(response: Response) -> Response:
        response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        response.delete_cookie(PROOF_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        response.headers["Clear-Site-Data"] = _CLEARED
        return response


def _renew_remembered(signed_in: SignedIn) -> None:
    """Give this browser the new value by which it is remembered, if there is one. Forget a public computer."""
    held = own_remembered()
    if signed_in.on_public_computer:
        services().remembered.forget_browser(signed_in.user_id, held)
    elif not signed_in.remembered:
        return
    others = [value for value in held if (claim := tokens.read(value)) and claim.user_id != signed_in.user_id]
    kept = [*([signed_in.remembered] if signed_in.remembered else []), *others]
    if kept != held:
        _set_remembered(kept)


def _set_remembered(values: Sequence[str]) -> None:
    # What is over in one of them counts no more on the server, whatever the browser keeps.
    latest = max((claim.at for claim in map(tokens.read, values) if claim), default=0)
    max_age = latest + services().remembered.ttl_s - int(services().clock())

    @after_this_request
    def _(response: Response) -> Response:
        response.set_cookie(
            REMEMBERED_COOKIE,
            REMEMBERED_APART.join(values),
            max_age=max(0, min(max_age, _LONGEST_KEPT_S)),
            path="/",
            secure=True,
            httponly=True,
            samesite="Strict",
        )
        return response


def _set_session(token: str, on_public_computer: bool) -> None:
    # Without Max-Age a browser forgets the cookie when it is closed. The server alone decides when the session is over.
    claim = tokens.read(token)
    left_s = claim.at + services().settings.session_max_age_s - int(services().clock()) if claim else 0
    max_age = None if on_public_computer else max(1, min(left_s, _LONGEST_KEPT_S))

    @after_this_request
    def _(response: Response) -> Response:
        response.set_cookie(
            SESSION_COOKIE, token, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax"
        )
        return response
