"""The delivery of mails: one after the other, each until it is accepted or has failed for a day."""

import logging
import random
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial

from app.mail.transport import NotDelivered, RecipientRefused, ServerAway, Transport
from app.rules.links import RESET_TTL_S
from app.stores.connection.connect import StoreError
from app.stores.mail import Mail, MailStore, Notice

log = logging.getLogger(__name__)

FIRST_RETRY_S = 5
LAST_RETRY_S = 60 * 60
GIVEN_UP_AFTER_S = 24 * 60 * 60  # after the first attempt that failed: what waits for a worker does not fail
TAKEN_OVER_AFTER_S = 15 * 60  # longer than an attempt takes, so that what is taken over is a dead worker's

_IDLE_S = 0.5  # asked for so often, rather than waited for in Redis: that holds a connection past its read time-out
_STORE_PAUSE_S = 1.0
_FIRST_SERVER_PAUSE_S = 1.0  # most are being restarted
_MAX_SERVER_PAUSE_S = 60.0


class Delivery:
    """One worker. Several can run, on any machine; each mail is one's at a time.

    At least once: a mail is forgotten only after the server accepted it and Redis heard of that. docs/mail.md says when
    one comes twice.
    """

    def __init__(
        self,
        mails: MailStore,
        transport: Transport,
        compose: Callable[[Notice], EmailMessage | None],
        clock: Callable[[], float] = time.time,
        taken_over_after_s: float = TAKEN_OVER_AFTER_S,
    ) -> None:
        """compose: makes the mail, in the last moment; None where there is nobody to be told any more"""
        self._mails = mails
        self._transport = transport
        self._compose = compose
        self._clock = clock
        self._taken_over_after_s = taken_over_after_s
        self._worker = mails.new_worker()
        self._owed: Callable[[], None] | None = None
        self._store = _State("Redis")
        self._server = _State("the mail server")
        self._server_pause_s = 0.0

    def retry_dead(self) -> int:
        """Queue again what was given up. Returns: how many mails; raises redis.RedisError"""
        return self._mails.revive()

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; the mail under way is finished first."""
        log.info("mails are delivered from now on")
        while not stop.is_set():
            pause_s = self._turn()
            if pause_s:
                self._transport.close()
                stop.wait(pause_s)
        self._end()
        log.info("the delivery of mails has ended")

    def deliver_due(self, stop: threading.Event) -> bool:
        """Deliver what is due now. Returns: False where Redis or the mail server is away"""
        pause_s = 0.0
        while not pause_s and not stop.is_set():
            pause_s = self._turn()
        self._end()
        return self._store.is_well and self._server.is_well

    def _turn(self) -> float:
        """Deliver one mail, if there is one. Returns: seconds until there is a point in going on"""
        try:
            self._settle()
            self._mails.requeue_due()
            mail = self._mails.take(self._worker, self._taken_over_after_s)
            self._owed = self._attempt(mail) if mail else None
            self._settle()
        except StoreError as error:
            self._store.is_away(type(error).__name__)
            return _STORE_PAUSE_S
        self._store.is_back()
        if not self._server.is_well:
            return self._server_pause_s
        return 0.0 if mail else _IDLE_S

    def _settle(self) -> None:
        """Tell Redis what became of the last mail; while that fails no other is taken, and it is not sent again."""
        if self._owed:
            self._owed()
            self._owed = None

    def _attempt(self, mail: Mail) -> Callable[[], None]:
        """Try to send a mail. Returns: what is to be done with it then"""
        if mail.notice is None:
            return self._give_up(mail, "it cannot be read")
        if outdated := self._why_outdated(mail.notice):
            log.info("a mail is dropped, %s: %s", outdated, _named(mail))
            return partial(self._mails.finish, mail)
        try:
            self._send(mail.notice)
        except StoreError:
            raise
        except ServerAway as away:
            self._server.is_away(away.reason)
            self._server_pause_s = min(self._server_pause_s * 2 or _FIRST_SERVER_PAUSE_S, _MAX_SERVER_PAUSE_S)
            return self._postpone(mail, away.reason)
        except Exception as error:  # whatever is wrong with one mail, the others are delivered
            outcome = self._failed(mail, error)
        else:
            outcome = partial(self._mails.finish, mail)
        self._server.is_back()
        self._server_pause_s = 0.0
        return outcome

    def _why_outdated(self, notice: Notice) -> str | None:
        """A link for a reset is good for an hour, and only the newest: an older one that is mailed late puts it out."""
        if notice.kind != "reset":
            return None
        if self._clock() - notice.at > RESET_TTL_S:
            return "its link was asked for too long ago"
        newest = self._mails.newest_reset(notice.user_id)
        return "a newer one was asked for" if newest and newest > notice.at else None

    def _send(self, notice: Notice) -> None:
        self._transport.connect()  # first: to compose may issue a link, which is not done in vain
        message = self._compose(notice)
        if message is not None:
            self._transport.send(message)

    def _failed(self, mail: Mail, error: Exception) -> Callable[[], None]:
        reason = error.reason if isinstance(error, NotDelivered) else type(error).__name__
        return self._give_up(mail, reason) if isinstance(error, RecipientRefused) else self._postpone(mail, reason)

    def _postpone(self, mail: Mail, failure: str) -> Callable[[], None]:
        now = self._clock()
        if mail.failing_since is not None and now - mail.failing_since >= GIVEN_UP_AFTER_S:
            return self._give_up(mail, failure)
        wait_s = min(FIRST_RETRY_S * 2 ** min(mail.attempts, 16), LAST_RETRY_S)
        wait_s *= 1 - random.random() / 5  # noqa: S311 - so that what failed together does not come back together
        log.info("a mail is tried again in %.0f s: %s, %s", wait_s, _named(mail), failure)
        return partial(self._mails.postpone, mail, now + wait_s)

    def _give_up(self, mail: Mail, failure: str) -> Callable[[], None]:
        log.error("a mail is given up: %s, %d attempts, %s", _named(mail), mail.attempts + 1, failure)
        return partial(self._mails.bury, mail, failure)

    def _end(self) -> None:
        self._transport.close()
        try:
            self._settle()
            self._mails.retire(self._worker)
        except StoreError as error:
            self._store.is_away(type(error).__name__)


class _State:
    """Of what may be away; the log hears when that changes, not how often it was noticed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_well = True

    def is_away(self, reason: str) -> None:
        if self.is_well:
            log.warning("%s is away, mails wait: %s", self._name, reason)
        self.is_well = False

    def is_back(self) -> None:
        if not self.is_well:
            log.warning("%s is back", self._name)
        self.is_well = True


def _named(mail: Mail) -> str:
    return f"{mail.notice.kind}, user {mail.notice.user_id}" if mail.notice else f"entry {mail.entry_id}"
