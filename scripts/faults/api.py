"""The requests of clients. Each is written into the journal."""

from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3

from scripts.faults.journal import Journal, Operation

GATEWAY_SECRET = "the-gateways-own-secret"  # noqa: S105 - of a service that lives as long as a run
_API = "/api/v9"
_PATIENCE_S = 15  # after that time a request counts as not answered
# By the names in the journal.
_ROUTES = {
    "register": ("POST", f"{_API}/auth/register"),
    "login": ("POST", f"{_API}/auth/login"),
    "code_login": ("POST", f"{_API}/auth/mfa/"),  # the kind of code follows
    "logout": ("POST", f"{_API}/auth/logout"),
    "list": ("GET", f"{_API}/auth/sessions"),
    "end": ("POST", f"{_API}/auth/sessions/logout"),
    "end_others": ("POST", "/me/sessions/revoke-all"),
    "finish": ("POST", f"{_API}/mfa/finish"),
    "me": ("GET", f"{_API}/users/@me"),
    "change_password": ("PATCH", f"{_API}/users/@me"),
    "enable_totp": ("POST", f"{_API}/users/@me/mfa/totp/enable"),
    "disable_totp": ("POST", f"{_API}/users/@me/mfa/totp/disable"),
    "renew_codes": ("POST", f"{_API}/users/@me/mfa/codes"),
    "verify": ("GET", "/gateway/verify"),
    "verify_proof": ("GET", "/gateway/verify?require=mfa"),
    "introspect": ("POST", "/gateway/introspect"),
}


class Api:
    """The requests of one thread, on a connection of its own. It never sends a request again by itself."""

    def __init__(self, port: int, journal: Journal) -> None:
        self._journal = journal
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=1, timeout=urllib3.Timeout(_PATIENCE_S), retries=False
        )

    def call(self, op: str, account: str, token: str = "", proof: str = "", note: str = "", **body: Any) -> Operation:
        """Send a request, and write it and its answer into the journal.

        Args:
            op: The name of the request in the journal.
            note: The note of a code_login begins with the kind of its code.
            body: The fields of the body.
        """
        method, path = _ROUTES[op]
        path += note.partition(" ")[0] if op == "code_login" else ""
        headers, content = _build(op, token, proof, body)
        line = self._journal.intend(
            op=op, account=account, method=method, path=path, token=token, proof=proof, body=body, note=note
        )
        try:
            answer = self._pool.urlopen(method, path, body=content, headers=headers, redirect=False)
        except urllib3.exceptions.NewConnectionError:
            return self._journal.note(line, problem="refused")
        except urllib3.exceptions.HTTPError as problem:
            return self._journal.note(line, problem=type(problem).__name__)
        text = answer.data.decode("utf-8", "replace")
        return self._journal.note(line, status=answer.status, headers=dict(answer.headers), answer=text)

    def close(self) -> None:
        self._pool.close()


def _build(op: str, token: str, proof: str, body: dict[str, Any]) -> tuple[dict[str, str], bytes | None]:
    """Return the headers and the body of a request."""
    if op == "introspect":
        form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Bearer {GATEWAY_SECRET}"}
        return form, urlencode({"token": token}).encode()
    headers = {"Content-Type": "application/json"} if body else {}
    headers |= {"Authorization": token} if token else {}
    headers |= {"X-Discord-MFA-Authorization": proof} if proof else {}
    return headers, orjson.dumps(body) if body else None
