"""Security event tokens (SETs, RFC 8417): the events of CAEP 1.0, pushed as RFC 8935 has it.

A SET tells when something happened. So it is the same at each attempt, but for the key that signs it, and has no end.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from app.exchange import Answer
from app.jobs.worker import JobFailed, JobRefused
from app.receivers.form import Event, Request, failure_of, read_event, words_in
from app.receivers.receiver import Receiver
from app.rules.signing_keys import Signing
from app.times import iso_seconds

log = logging.getLogger(__name__)

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"

_FOR_GOOD = ("invalid_request", "invalid_issuer", "invalid_audience")  # errors that no other attempt would mend
_CHANGES = {"created": "create", "updated": "update", "deleted": "delete"}
# CAEP has no word for backup codes, and allows others. A passkey's event does not tell where its key is kept: most are
# on the device itself.
_CREDENTIALS = {
    "password": "password",
    "totp": "app",
    "backup_codes": "backup-codes",
    "authenticator": "fido2-platform",
}
_CREDENTIAL_NAMES = {
    "password": "password",
    "totp": "authenticator app",
    "backup_codes": "set of backup codes",
    "authenticator": "passkey",
}
_BY = {"user": "user", "link": "user", "operator": "admin"}
_WHO_ENDS = {"admin": "admin", "evicted": "policy", "expired": "policy"}
_WHY_ENDED = {
    "logout": "The user logged out.",
    "revoked": "The user ended this session from another one.",
    "evicted": "The user signed in elsewhere and had too many sessions.",
    "expired": "The session was too old, or was not used for too long.",
    "password_change": "The password was changed.",
    "mfa_change": "The second factor was changed.",
    "admin": "An operator ended the session.",
}


class SecurityEvents:
    def __init__(self, receiver: Receiver, issuer: str, signing: Signing) -> None:
        self._receiver = receiver
        self._issuer = issuer
        self._signing = signing
        self._is_other_success_told = False

    def requests_for(self, content: bytes) -> Sequence[Request]:
        """Return the one request with an event."""
        event = read_event(content)
        told = _told(event) if event else None
        if event is None or told is None or not isinstance(event.get("user_id"), str):
            raise JobRefused("it is no event for this receiver")
        at_s = int(iso_seconds(event["at"]))
        kind, details = told
        claims = {
            "jti": event["id"],
            "iat": at_s,
            "txn": event["id"].rpartition("_")[0],
            "sub_id": self._subject(event),
            "events": {CAEP + kind: {"event_timestamp": at_s, **details}},
        }
        return [self._request(claims)]

    def test_request(self, event_id: str, at_s: float) -> Request:
        """Return a verification event, whose state is its id."""
        return self.verification(event_id, at_s, event_id)

    def verification(self, event_id: str, at_s: float, state: str) -> Request:
        """Return the event by which a receiver finds out that it is told of events (SSF 1.0, 8.1.4).

        Args:
            state: What the receiver gave, to know the event by.
        """
        subject = {"format": "opaque", "id": self._receiver.id}
        events = {VERIFICATION: {"state": state}}
        return self._request({"jti": event_id, "iat": int(at_s), "sub_id": subject, "events": events})

    def judge(self, answer: Answer, at_s: float) -> None:
        """Take 202 for done, and 200 and 204 too."""
        if answer.status in (200, 202, 204):
            if answer.status != 202 and not self._is_other_success_told:
                self._is_other_success_told = True
                log.warning("%s answers %d in place of 202", self._receiver.place, answer.status)
            return
        if answer.status != 400:
            raise failure_of(answer, at_s)
        code, said = words_in(answer, "err", "description")
        reason = f"status 400, {said}" if said else "status 400"
        raise JobRefused(reason) if code in _FOR_GOOD else JobFailed(reason)

    def _subject(self, event: Event) -> Mapping[str, Any]:
        """Return the session that an event is about; of a change of credentials the user.

        A session that ended is never told by its user alone, since receivers would end all that the user has.
        """
        user = {"format": "iss_sub", "iss": self._issuer, "sub": event["user_id"]}
        if "auth_session_id_hash" not in event:
            return user
        # The session is known by its first hash, that of session-established.
        formers = event.get("former_auth_session_id_hashes") or []
        id_hash = formers[0] if formers else event["auth_session_id_hash"]
        return {"format": "complex", "user": user, "session": {"format": "opaque", "id": id_hash}}

    def _request(self, claims: Mapping[str, Any]) -> Request:
        receiver = self._receiver
        token = self._signing.sign({"iss": self._issuer, "aud": receiver.audience, **claims}, "secevent+jwt")
        authorization = [f"Authorization: Bearer {receiver.token}"] if receiver.token else []
        headers = ("Content-Type: application/secevent+jwt", "Accept: application/json", "User-Agent: Keyrack")
        return Request((*headers, *authorization), token)


def _told(event: Event) -> tuple[str, Mapping[str, Any]] | None:
    """Return the kind and the details of an event as CAEP has them; None if CAEP has no such event."""
    if event["type"] == "AUTH_SESSION_CREATE":
        return "session-established", {"initiating_entity": "user", "reason_admin": {"en": "The user signed in."}}
    if event["type"] == "AUTH_SESSION_REMOVE":
        reason = str(event.get("reason"))
        why = _WHY_ENDED.get(reason, "The session ended.")
        return "session-revoked", {"initiating_entity": _WHO_ENDS.get(reason, "user"), "reason_admin": {"en": why}}
    what, _, how = event["type"].partition(".")
    if what not in ("credential", "authenticator") or how not in _CHANGES:
        return None
    credential = event.get("credential") if what == "credential" else what
    if credential not in _CREDENTIALS:
        return None
    details: dict[str, Any] = {"credential_type": _CREDENTIALS[credential], "change_type": _CHANGES[how]}
    if event.get("by") in _BY:
        details["initiating_entity"] = _BY[event["by"]]
    return "credential-change", details | {"reason_admin": {"en": f"A {_CREDENTIAL_NAMES[credential]} was {how}."}}
