"""Who makes a request and from where, read from its WSGI environment: one reading for Flask and for the fast lane."""

from typing import Any
from urllib.parse import urlsplit

from werkzeug.sansio.http import parse_cookie

from app.callers.addresses import Address, caller_address
from app.callers.client_info import read_client
from app.callers.location import Locations
from app.config import Networks
from app.errors import Forbidden, Unauthorized
from app.rules.devices import Caller, Devices
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
        """Say whose session a request carries, by header or else by cookie, and note that it was used.

        method: of the request that the caller made; with an unsafe one a cookie counts from its own origin only
        with_proof: whether to look for a recent proof as well
        Raises: errors.Unauthorized, errors.Forbidden
        """
        token = _token(environ, method)
        if not token:
            raise Unauthorized
        proof = ""
        if with_proof:
            proof = environ.get("HTTP_X_DISCORD_MFA_AUTHORIZATION") or _cookie(environ, PROOF_COOKIE)
        caller = self._devices.identify(token, proof)
        context.note_caller(caller.user_id, caller.id_hash)
        if self._devices.is_touch_due(caller):
            self._devices.touch(caller, self.client(environ))
        return caller

    def log_out_again(self, environ: Environ, method: str) -> None:
        """End the session that a request carries, over as it is, for those who wait for replicas to have that."""
        self._devices.log_out_again(_token(environ, method))

    def client(self, environ: Environ) -> Client:
        """What a request tells of its client."""
        properties = environ.get("HTTP_X_SUPER_PROPERTIES", "")
        return read_client(properties, environ.get("HTTP_USER_AGENT", ""), self.address(environ), self._locations)

    def address(self, environ: Environ) -> Address | None:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        return caller_address(environ.get("REMOTE_ADDR"), forwarded_for, self._trusted_proxies)


def _token(environ: Environ, method: str) -> str:
    authorization: str | None = environ.get("HTTP_AUTHORIZATION")
    if authorization is not None:
        return authorization[7:] if authorization[:7].lower() == "bearer " else authorization
    token = _cookie(environ, SESSION_COOKIE)
    if token and method not in SAFE_METHODS:
        require_same_origin(environ)
    return token


def _cookie(environ: Environ, name: str) -> str:
    return parse_cookie(environ.get("HTTP_COOKIE", "")).get(name, "")


def require_same_origin(environ: Environ) -> None:
    """A browser names the origin of what it sends: another's page may not act with this one's cookie.

    What names none is no browser, and no other page can have sent it.
    """
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
