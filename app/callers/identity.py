"""The caller of a request, read from its WSGI environment: for Flask, and for web/verify.py, which works without it."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from werkzeug.sansio.http import parse_cookie

from app import tokens
from app.callers.addresses import Address, caller_address
from app.callers.client_info import read_client
from app.callers.location import Locations
from app.errors import Forbidden, Unauthorized
from app.rules.adoptable import Adoptable, without_scheme
from app.rules.checks import Caller
from app.rules.devices import Devices
from app.setting_parsers import Networks
from app.stores.connection.client import NOTHING, Found, Read
from app.stores.session_records import Client, Place
from app.watch import context

SESSION_COOKIE = "__Host-session"
PROOF_COOKIE = "__Secure-recent_mfa"
REMEMBERED_COOKIE = "__Host-remembered"  # a value for each user of the browser, the last one first
REMEMBERED_APART = "~"

_MOST_REMEMBERED = 5  # users of one browser

# What `client` reads of an environment
CLIENT_NAMES = ("HTTP_X_SUPER_PROPERTIES", "HTTP_USER_AGENT", "HTTP_X_FORWARDED_FOR", "REMOTE_ADDR")

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

_PORTS = {"http": 80, "https": 443}

Environ = dict[str, Any]


class Callers:
    def __init__(self, devices: Devices, locations: Locations, trusted_proxies: Networks) -> None:
        self._devices = devices
        self._locations = locations
        self._trusted_proxies = trusted_proxies

    def identify(self, environ: Environ, method: str, *, with_proof: bool = True) -> Caller:
        """Return the caller whose session a request carries, and note that the session was used.

        Args:
            method: The method of the caller's request. For methods other than GET, HEAD and OPTIONS the cookie counts
                only if the request comes from Keyrack's own pages.
            with_proof: Look for a recent proof as well.

        Raises:
            Unauthorized: There is no token, or no live session with it.
            Forbidden: The cookie comes from a page of another origin.
        """
        return self.identify_and_look_up(environ, method, lambda _: NOTHING, with_proof=with_proof)[0]

    def identify_and_look_up(
        self, environ: Environ, method: str, beside: Callable[[str], Read[Found]], *, with_proof: bool = True
    ) -> tuple[Caller, Found]:
        """Do as `identify` does, and return what else of the caller's user is found, in the same trip as a rule.

        Args:
            beside: Returns what to look up, by the user's id.
        """
        token = self.find_token(environ, method)
        if not token:
            raise Unauthorized
        proof = ""
        if with_proof:
            sent = environ.get("HTTP_X_DISCORD_MFA_AUTHORIZATION", "")  # "undefined" and the like count as absent
            proof = sent if tokens.is_well_formed(sent) else _read_cookie(environ, PROOF_COOKIE)
        if isinstance(token, Adoptable):
            caller = self._devices.identify_adopted(token, lambda: self.client(environ), proof)
            self._note_use(caller, environ)
            return caller, self._devices.look_up(beside(caller.user_id))
        caller, found = self._devices.identify_and_look_up(token, proof, beside)
        is_noted = self._note_use(caller, environ)
        # If this use was noted, what was found is older.
        return caller, self._devices.look_up(beside(caller.user_id)) if is_noted else found

    def _note_use(self, caller: Caller, environ: Environ) -> bool:
        """Note that a session was used. Return False if its use was noted within the last minute."""
        context.note_caller(caller.user_id, caller.id_hash)
        if not self._devices.is_touch_due(caller):
            return False
        self._devices.touch(caller, self.client(environ))
        return True

    def find_token(self, environ: Environ, method: str) -> str | Adoptable:
        """Return the token of the Authorization header, our own or one that may be adopted, else that of the cookie.

        Returns:
            "" if there is none.

        Raises:
            Forbidden: The cookie of an unsafe method comes from a page of another origin.
        """
        return _read_header_token(environ) or self._read_adoptable(environ) or read_own_cookie(environ, method)

    def repeat_logout(self, environ: Environ, method: str) -> None:
        """End a session that has ended already, so that a second try to log out also waits for replicas."""
        self._devices.repeat_logout(self.read_token(environ, method))

    def read_token(self, environ: Environ, method: str) -> str:
        """Return the token of the Authorization header, else that of the cookie, else "".

        Raises:
            Forbidden: The cookie of an unsafe method comes from a page of another origin.
        """
        token = self.find_token(environ, method)
        return token.token if isinstance(token, Adoptable) else token

    def read_former_token(self, environ: Environ) -> str:
        """Return the token of the header or the cookie, whichever page sent it; "" if there is none.

        It only tells devices apart, and lets nobody in.
        """
        return self._read_header(environ) or read_cookie_token(environ)

    def is_known_by_header(self, environ: Environ) -> bool:
        """Tell whether the Authorization header has the token of a request. A cookie does not count then."""
        return bool(self._read_header(environ))

    def client(self, environ: Environ) -> Client:
        """Return the description of the client of a request."""
        properties = environ.get("HTTP_X_SUPER_PROPERTIES", "")
        return read_client(properties, environ.get("HTTP_USER_AGENT", ""), self.address(environ), self._locations)

    def locate(self, environ: Environ) -> Place | None:
        """Return the place of the caller's address; None if it is unknown."""
        return self._locations.locate(self.address(environ))

    def address(self, environ: Environ) -> Address | None:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        return caller_address(environ.get("REMOTE_ADDR"), forwarded_for, self._trusted_proxies)

    def _read_header(self, environ: Environ) -> str:
        """Return the token of the header, our own or one that may be adopted; "" if there is none."""
        own = _read_header_token(environ)
        adoptable = None if own else self._read_adoptable(environ)
        return adoptable.token if adoptable else own

    def _read_adoptable(self, environ: Environ) -> Adoptable | None:
        """Return the first token of the header that may be one of the service before; None if there is none."""
        header = environ.get("HTTP_AUTHORIZATION")
        adoption = self._devices.adoption
        if not header or not adoption:
            return None
        texts = (without_scheme(value.strip()) for value in header.split(","))
        return next(filter(None, map(adoption.read, texts)), None)


def read_own_cookie(environ: Environ, method: str) -> str:
    """Return the token of the session cookie; "" if there is none.

    Raises:
        Forbidden: The cookie of an unsafe method comes from a page of another origin.
    """
    token = read_cookie_token(environ)
    if token and method not in SAFE_METHODS:
        require_same_origin(environ)
    return token


def read_cookie_token(environ: Environ) -> str:
    """Return the token of the session cookie, whichever page sent it; "" if there is none."""
    return _read_cookie(environ, SESSION_COOKIE)


def read_remembered(environ: Environ) -> Sequence[str]:
    """Return the values in the cookie of a remembered browser, one for each user."""
    values = chain.from_iterable(value.split(REMEMBERED_APART) for value in _read_cookies(environ, REMEMBERED_COOKIE))
    of_users: dict[str, str] = {}
    for value in values:
        claim = tokens.read(value)
        if claim:
            of_users.setdefault(claim.user_id, value)
    return list(of_users.values())[:_MOST_REMEMBERED]


def _read_header_token(environ: Environ) -> str:
    """Return a token of our form, "" if there is none. Whether it is good is another question."""
    # A proxy in front may add a scheme of its own (Basic, Negotiate), and clients send "Bearer undefined". These are no
    # tokens of ours and must not hide a good cookie. Several fields of the name arrive joined by commas.
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    if tokens.is_well_formed(header):  # as a rule; all that follows takes twice as long
        return header
    for value in header.split(","):
        scheme, _, rest = value.strip().partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else value.strip()
        if tokens.is_well_formed(token):
            return token
    return ""


def _read_cookie(environ: Environ, name: str) -> str:
    """Return the first value of a cookie that looks like a token, else its first value."""
    # A sibling host can set a cookie of the name that stands in front.
    values = _read_cookies(environ, name)
    return next(filter(tokens.is_well_formed, values), values[0] if values else "")


def _read_cookies(environ: Environ, name: str) -> list[str]:
    # Two Cookie fields arrive joined by a comma.
    return parse_cookie(environ.get("HTTP_COOKIE", "").replace(",", ";")).getlist(name)


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
        same = origin is None or _is_origin_of(origin, environ.get("HTTP_HOST", ""))
    if not same:
        raise Forbidden


def _is_origin_of(origin: str, host: str) -> bool:
    """Tell whether an origin is that of a host. Case and the scheme's default port are ignored (RFC 6454, RFC 9110)."""
    try:
        url, own = urlsplit(origin), urlsplit(f"//{host}")
        port = _PORTS.get(url.scheme)
        same_port = (url.port or port) == (own.port or port)
    except ValueError:
        return False
    return same_port and "@" not in url.netloc and url.hostname is not None and url.hostname == own.hostname
