"""People who sign in and out, and remember which events must follow."""

import base64
import threading
import time
from dataclasses import dataclass
from math import inf
from random import Random
from secrets import token_hex
from typing import Any

import orjson
import urllib3

from app.tokens import id_hash

CREATE, REMOVE, NEW_USER = "AUTH_SESSION_CREATE", "AUTH_SESSION_REMOVE", "user.created"
_API = "/api/v9"
_PASSWORD = "the first one"  # noqa: S105 - of made-up people
_PATIENCE_S = 15
_ROUNDS = 10  # of sign-ins and endings; then somebody new comes
_DEVICES = 4
_PAUSE_S = 0.05  # after a failure
_GIVES_UP_AFTER_S = 60.0  # an ending that is tried again and again


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, one thing after the other.

    Attributes:
        type: Of the events that follow.
        hashes: Of the sessions that they are about; empty for a user.
        done_at: When it was answered with success; inf if nobody knows whether it was done.
    """

    type: str
    hashes: tuple[str, ...] = ()
    done_at: float = inf


@dataclass(slots=True)
class Account:
    """
    Attributes:
        has_unknown: A sign-in may have been done that was not answered, so there may be a session that nobody knows.
    """

    user_id: str
    acts: list[Act]
    has_unknown: bool = False


class Person:
    """Lives in a thread of its own."""

    def __init__(self, port: int, seed: str) -> None:
        self.accounts: list[Account] = []
        self.events = 0  # that must follow by now
        self._random = Random(seed)  # noqa: S311
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=1, timeout=urllib3.Timeout(_PATIENCE_S), retries=False
        )

    def live(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._be_somebody(stop)
        self._pool.close()

    def _be_somebody(self, stop: threading.Event) -> None:
        email = f"{token_hex(8)}@example.com"
        status, told = self._ask("auth/register", email=email, username="somebody", password=_PASSWORD)
        if status != 201:  # whoever that is by now, nobody knows their id
            time.sleep(_PAUSE_S)
            return
        first: str = told["token"]
        account = Account(_user_id_in(first), [])
        self.accounts.append(account)
        self._did(account, Act(NEW_USER, (), time.monotonic()), Act(CREATE, (id_hash(first),), time.monotonic()))
        for _ in range(_ROUNDS):
            others = [token for token in (self._log_in(account, email) for _ in range(_DEVICES)) if token]
            if not others:
                continue
            if self._random.random() < 0.5:
                first, *others = [*others, first]  # so that any device may be the one that ends the others
            ends_all = self._random.random() < 0.5
            asked = [(first, others)] if ends_all else [(one, [one]) for one in others]
            if not all(self._end(account, own, ended) for own, ended in asked) or stop.is_set():
                return

    def _log_in(self, account: Account, email: str) -> str:
        """Return a token, "" if there is none."""
        status, told = self._ask("auth/login", login=email, password=_PASSWORD)
        if status == 200:
            self._did(account, Act(CREATE, (id_hash(told["token"]),), time.monotonic()))
            return str(told["token"])
        account.has_unknown = True
        time.sleep(_PAUSE_S)
        return ""

    def _end(self, account: Account, own: str, ended: list[str]) -> bool:
        """Log out, or end all others, until that is done. Return False if nobody knows."""
        hashes = tuple(map(id_hash, ended))
        path, body = ("auth/logout", {}) if ended == [own] else ("/me/sessions/revoke-all", {})
        give_up_at = time.monotonic() + _GIVES_UP_AFTER_S
        was_refused = False
        while time.monotonic() < give_up_at:
            status, _ = self._ask(path, token=own, **body)
            # Whoever logs out and is not known afterwards has been logged out by the try before.
            if 200 <= status < 300 or (status == 401 and was_refused and ended == [own]):
                self._did(account, Act(REMOVE, hashes, time.monotonic()))
                return True
            if status == 401:
                break
            was_refused = True
            time.sleep(_PAUSE_S)
        self._did(account, Act(REMOVE, hashes))
        return False

    def _did(self, account: Account, *acts: Act) -> None:
        account.acts += acts
        self.events += sum(max(1, len(act.hashes)) for act in acts if act.done_at < inf)

    def _ask(self, path: str, token: str = "", **body: Any) -> tuple[int, dict[str, Any]]:
        """Send a request. Return the status of the answer, 0 if there was none, and its body."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        whole = path if path.startswith("/") else f"{_API}/{path}"
        try:
            answer = self._pool.urlopen("POST", whole, body=orjson.dumps(body), headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError:
            return 0, {}
        return answer.status, orjson.loads(answer.data) if answer.status in (200, 201) and answer.data else {}


def _user_id_in(token: str) -> str:
    head = token.partition(".")[0]
    return base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).decode()
