"""Cross-origin requests (the Fetch standard, "CORS protocol"): pages of the listed origins may call the API.

They send a token in `Authorization`. No answer allows cookies: no page acts with the cookie of a person who visits it.
"""

from collections.abc import Collection

from app.callers.identity import Environ

_METHODS = "GET, POST, PATCH, PUT, DELETE"
_EXPOSED = (
    "Retry-After, WWW-Authenticate, X-RateLimit-Bucket, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-RateLimit-Reset-After, X-RateLimit-Scope, X-Request-Id"
)
_PREFLIGHT_MAX_AGE_S = 600


class Cors:
    """Which origins may call the API.

    Args:
        origins: As browsers send them, such as https://chat.example.com; empty if there is none.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, environ: Environ) -> list[tuple[str, str]]:
        """Return the headers for the answer to a request of the API or of the gateway's check."""
        if not self._origins:
            return []
        vary = ("Vary", "Origin")  # a cache must not give the answer for one origin to another
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self._origins:
            return [vary]
        allowed = [vary, ("Access-Control-Allow-Origin", origin)]
        if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return [*allowed, ("Access-Control-Expose-Headers", _EXPOSED)]
        return [
            *allowed,
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")),
            ("Access-Control-Max-Age", str(_PREFLIGHT_MAX_AGE_S)),
        ]
