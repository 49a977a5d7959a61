"""What a browser keeps: the cookies of its session and of its proof, and what becomes of the rest at the end."""

from flask import Response, after_this_request, request

from app.callers.identity import PROOF_COOKIE, SESSION_COOKIE
from app.web.services import services
from app.wire.contract import Header

BEGINS_SESSION = Header(
    "Set-Cookie", f"`{SESSION_COOKIE}`: the token of the session (HttpOnly, Secure, SameSite=Lax, Path=/)"
)
KEEPS_SESSION = Header(
    "Set-Cookie", f"`{SESSION_COOKIE}`: the new token, where the caller is known by its cookie", always=False
)
KEEPS_PROOF = Header(
    "Set-Cookie", f"`{PROOF_COOKIE}`: the proof (HttpOnly, Secure, SameSite=Strict, Path=/), as long as it is good"
)
FORGETS_SESSION = (
    Header(
        "Set-Cookie",
        f"`{SESSION_COOKIE}` and `{PROOF_COOKIE}` are cleared, where the caller is known by its cookie",
        always=False,
    ),
    Header("Clear-Site-Data", "What else the browser kept, where the caller is known by its cookie", always=False),
)


def came_by_cookie() -> bool:
    """Whether the caller is a browser that is known by its cookie: where a header is sent too, the header counts."""
    return "Authorization" not in request.headers


def has_session_cookie() -> bool:
    """Whether a browser asks that thinks it is signed in."""
    return came_by_cookie() and SESSION_COOKIE in request.cookies


def begin_session(token: str) -> None:
    """Sign this browser in; a session that it had before ends, or it would live on with nobody to end it."""
    services().devices.leave(request.cookies.get(SESSION_COOKIE, ""))
    _set_session(token)


def keep_session(token: str) -> None:
    """Where the caller is known by its cookie, the answer brings the one under which its session goes on."""
    if came_by_cookie():
        _set_session(token)


def keep_proof(proof: str) -> None:
    """The answer sets the cookie that spares this browser the next question."""
    max_age = services().reauthentication.proof_ttl_s

    @after_this_request
    def _(response: Response) -> Response:
        response.set_cookie(
            PROOF_COOKIE, proof, max_age=max_age, path="/", secure=True, httponly=True, samesite="Strict"
        )
        return response


def forget_session() -> None:
    """Where the caller is known by its cookie, the answer makes this browser forget whom it served."""
    if not came_by_cookie():
        return

    @after_this_request
    def _(response: Response) -> Response:
        response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        response.delete_cookie(PROOF_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        response.headers["Clear-Site-Data"] = (
            '"cache", "storage"'  # "cookies" would be those of all hosts of the domain
        )
        return response


def _set_session(token: str) -> None:
    @after_this_request
    def _(response: Response) -> Response:
        response.set_cookie(SESSION_COOKIE, token, path="/", secure=True, httponly=True, samesite="Lax")
        return response
