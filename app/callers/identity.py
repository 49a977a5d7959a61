"""The caller of a request, read from its WSGI environment: for Flask, and for web/verify.py, which works without it."""

from typing import Any
from urllib.parse import urlsplit

from werkzeug.sansio.http import parse_cookie

from app.callers.addresses import Address, caller_address
from app.callers.client_info import read_client
from app.callers.location import Locations
from app.errors import Forbidden, Unauthorized
from app.rules.devices import Caller, Devices
from app.setting_parsers import Networks
from app.stores.sessions import Client
from app.watch import context

SESSION_COOKIE = "__Host-session"
PROOF_COOKIE = "__Secure-recent_mfa"

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

Environ = dict[str, Any]


class Callers:
    def __init__(self, devices: Devices, locations: Locations, trusted_proxies: Networks) -> None:
        self._devices = devices
        self._locations = locations
        self._trusted_proxies = trusted_proxies

    def identify(self, environ: Environ, method: str, *, with_proof: bool = True) -> Caller:
        """Return the caller whose session a request carries, and note that the session was used.

        The token is read from the Authorization header. Without this header it is read from the cookie.

        Args:
            method: The method of the caller's request. For methods other than GET, HEAD and OPTIONS the cookie counts
                only if the request comes from Keyrack's own pages.
            with_proof: Look for a recent proof as well.

        Raises:
            Unauthorized: There is no token, or no live session with it.
            Forbidden: The cookie comes from a page of another origin.
        """
        token = _read_token(environ, method)
        if not token:
            raise Unauthorized
        proof = ""
        if with_proof:
            proof = environ.get("HTTP_X_DISCORD_MFA_AUTHORIZATION") or _read_cookie(environ, PROOF_COOKIE)
        caller = self._devices.identify(token, proof)
        context.note_caller(caller.user_id, caller.id_hash)
        if self._devices.is_touch_due(caller):
            self._devices.touch(caller, self.client(environ))
        return caller

    def repeat_logout(self, environ: Environ, method: str) -> None:
        """End the session of a request again, so that a second try to log out also waits for replicas."""
        self._devices.repeat_logout(_read_token(environ, method))

    def client(self, environ: Environ) -> Client:
        """Return the description of the client of a request."""
        properties = environ.get("HTTP_X_SUPER_PROPERTIES", "")
        return read_client(properties, environ.get("HTTP_USER_AGENT", ""), self.address(environ), self._locations)

    def address(self, environ: Environ) -> Address | None:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        return caller_address(environ.get("REMOTE_ADDR"), forwarded_for, self._trusted_proxies)


def _read_token(environ: Environ, method: str) -> str:
    authorization: str | None = environ.get("HTTP_AUTHORIZATION")
    if authorization is not None:
        return authorization[7:] if authorization[:7].lower() == "bearer " else authorization
    token = _read_cookie(environ, SESSION_COOKIE)
    if token and method not in SAFE_METHODS:
        require_same_origin(environ)
    return token


def _read_cookie(environ: Environ, name: str) -> str:
    return parse_cookie(environ.get("HTTP_COOKIE", "")).get(name, "")


def require_same_origin(environ: Environ) -> None:
    """Refuse a request that a browser sends from a page of another origin.

    Raises:
        Forbidden: Sec-Fetch-Site or Origin names another origin.
    """
    # A browser always names the origin of such a request. Without an origin no browser, and so no page, has sent it.
    site = environ.get("HTTP_SEC_FETCH_SITE")
    origin = environ.get("HTTP_ORIGIN")
    if site is not None:
        same = site in ("same-origin", "none")
    else:
        same = origin is None or _host(origin) == environ.get("HTTP_HOST", "")
    if not same:
        raise Forbidden


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
