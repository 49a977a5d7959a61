"""Logout tokens (OpenID Connect Back-Channel Logout 1.0): one for each name by which a receiver may know a session.

A token names the session alone, never its user: with both, receivers end every session of the user.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.exchange import Answer
from app.jobs.worker import JobFailed, JobRefused
from app.receivers.form import Request, failure_of, read_event, words_in
from app.receivers.receiver import Receiver
from app.rules.signing_keys import Signing

LASTS_S = 120
_EVENTS: Mapping[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
_HEADERS = ("Content-Type: application/x-www-form-urlencoded", "User-Agent: Keyrack")


class LogoutTokens:
    def __init__(self, receiver: Receiver, issuer: str, signing: Signing, clock: Callable[[], float]) -> None:
        self._audience = receiver.audience
        self._issuer = issuer
        self._signing = signing
        self._clock = clock

    def requests_for(self, content: bytes) -> Sequence[Request]:
        """Return a request for each hash that the session had, the last one first.

        A receiver may have noted any of them as `sid`: each was told to applications while it was the session's.
        """
        event = read_event(content)
        if event is None or not isinstance(event.get("auth_session_id_hash"), str):
            raise JobRefused("it names no session")
        formers = event.get("former_auth_session_id_hashes", [])
        hashes = [event["auth_session_id_hash"], *(one for one in reversed(formers) if isinstance(one, str))]
        return [
            self._request(event["id"] + (f".{number}" if number else ""), id_hash)
            for number, id_hash in enumerate(dict.fromkeys(hashes))
        ]

    def test_request(self, event_id: str, at_s: float) -> Request:  # noqa: ARG002 - each token has a new time
        """Return a token for a session that nobody has."""
        return self._request(event_id, secrets.token_urlsafe(32))

    def judge(self, answer: Answer, at_s: float) -> None:
        """Take 200 and 204 for done.

        400 is tried again: it is also said while the receiver's store is away, or its copy of the keys is old.
        """
        if answer.status in (200, 204):
            return
        if answer.status == 400:
            _, said = words_in(answer, "error", "error_description")
            raise JobFailed(f"status 400, {said}" if said else "status 400")
        raise failure_of(answer, at_s)

    def _request(self, jti: str, id_hash: str) -> Request:
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "iat": now,
            "exp": now + LASTS_S,
            "jti": jti,
            "events": _EVENTS,
            "sid": id_hash,
        }
        # A token has only characters that need no escape in a form.
        return Request(_HEADERS, b"logout_token=" + self._signing.sign(claims, "logout+jwt"))
