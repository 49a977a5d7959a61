"""Mails to users about sign-ins, failed sign-ins and changes of credentials. They are queued; no request waits.

Those about a change are part of it (stores/users.py, Change): the script that makes the change queues them. The others
are queued after what they tell of, in a second trip.

Events for gateways: stores/lua/session.lua. Audit lines: watch/audit.py. Words and delivery of mails: app/mail/.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.stores.connection.connect import StoreError
from app.stores.mail import MailStore, Notice, NoticeKind
from app.stores.notices import NoticeStore
from app.stores.session_records import Client

log = logging.getLogger(__name__)

_ONE_BY_ONE = 3  # mails of a kind in an hour; after these one mail stands for all further notices


class Notices:
    """Queues notices about events.

    If Redis fails, the notice is lost and this is logged. The request must not fail, because its change is made.
    """

    def __init__(self, mail: MailStore | None, store: NoticeStore, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            mail: None if no mail server is configured. Then no notices are queued.
        """
        self._mail = mail
        self._store = store
        self._clock = clock

    @property
    def are_sent(self) -> bool:
        return self._mail is not None

    def about(
        self,
        kind: NoticeKind,
        user_id: str,
        client: Client,
        *,
        factor: str = "",
        digest: str = "",
        notice_id: str | None = None,
    ) -> Sequence[Notice]:
        """Return the notice about a change by `client`, for the change itself. There is none if no mails are sent.

        Args:
            factor: For a factor that is set, how its link names it: see rules/links.py.
            digest: For "new_address", the keyed hash of the address.
            notice_id: The id of a notice whose link is opened by the change; None makes a new one.
        """
        if not self._mail:
            return ()
        named = {"id": notice_id} if notice_id else {}
        return [Notice(kind, user_id, self._clock(), client, factor=factor, digest=digest, **named)]

    def of_return(self, user_id: str, client: Client) -> Notice | None:
        """Return the notice that a user who had left came back, for the change that takes it back."""
        return next(iter(self.about("came_back", user_id, client)), None)

    def tell(self, kind: NoticeKind, user_id: str, client: Client, session: str = "") -> None:
        """Queue a notice about an act of `client`.

        Args:
            session: The id_hash of the session that the notice is about.
        """
        if self._mail:
            with _log_if_lost(kind):
                self._mail.add(Notice(kind, user_id, self._clock(), client, session))

    def send_verification(self, kind: NoticeKind, user_id: str, client: Client, digest: str) -> None:
        """Queue the mail with a link that verifies an address.

        Args:
            digest: The keyed hash of the address.
        """
        if self._mail:
            with _log_if_lost(kind):
                self._mail.add(Notice(kind, user_id, self._clock(), client, digest=digest))

    def send_verification_at_login(self, user_id: str, client: Client, digest: str) -> None:
        """Queue that mail for a user who may log in only after it, at most three an hour."""
        with _log_if_lost("verify"):
            if self._store.count(user_id, "verify") <= _ONE_BY_ONE:
                self.send_verification("verify", user_id, client, digest)

    def send_reset(self, user_id: str, secrets_version: str, client: Client) -> None:
        """Queue the mail with a link for a new password. It works only while the user has this secrets version.

        Raises:
            StoreError: Redis failed. The other methods only log this, but here the mail is the only purpose.
        """
        if self._mail:
            self._mail.add(Notice("reset", user_id, self._clock(), client, secrets_version=secrets_version))

    def tell_of_suspicion(self, user_id: str, client: Client, session: str) -> None:
        """Queue a notice that a session looks suspicious.

        At most three an hour are queued, so that nobody can flood a user with mails.
        """
        self._tell_few("suspicious", user_id, client, session)

    def tell_of_ended_others(self, user_id: str, client: Client) -> None:
        """Queue a notice that a session ended all others, at most three an hour."""
        self._tell_few("others_ended", user_id, client)

    def forget_device(self, user_id: str, client: Client) -> None:
        """Forget a kind of device, because it was not the user who signed in. Its next sign-in causes a mail again."""
        with _log_if_lost("sign_in"):
            self._store.forget_device(user_id, kind_of_device(client))

    def tell_of_sign_in(self, user_id: str, client: Client, session: str) -> None:
        """Queue a notice of a sign-in, if the kind of device or the country is new for the user."""
        with _log_if_lost("sign_in"):
            if self._store.note_device(
                user_id, kind_of_device(client)
            ):  # even if no mails are sent, so that the kinds are known later
                self._tell_one_of_many("sign_in", "many_sign_ins", user_id, client, session)

    def tell_of_wrong_code(self, user_id: str, client: Client) -> None:
        """Queue a notice that somebody gave the right password, but a wrong code."""
        with _log_if_lost("wrong_code"):
            self._tell_one_of_many("wrong_code", "many_wrong_codes", user_id, client)

    def tell_of_copied_passkey(self, user_id: str, client: Client) -> None:
        """Queue a notice that a passkey answered with a counter that did not grow, at most three an hour."""
        self._tell_few("passkey_copied", user_id, client)

    def _tell_few(self, kind: NoticeKind, user_id: str, client: Client, session: str = "") -> None:
        with _log_if_lost(kind):
            if self._store.count(user_id, kind) <= _ONE_BY_ONE:
                self.tell(kind, user_id, client, session)

    def _tell_one_of_many(
        self, one: NoticeKind, many: NoticeKind, user_id: str, client: Client, session: str = ""
    ) -> None:
        count = self._store.count(user_id, one)
        if count <= _ONE_BY_ONE:
            self.tell(one, user_id, client, session)
        elif count == _ONE_BY_ONE + 1:
            self.tell(many, user_id, client)


@contextmanager
def _log_if_lost(kind: NoticeKind) -> Iterator[None]:
    """Log a failure of Redis in the `with` block, and go on."""
    try:
        yield
    except StoreError as error:
        log.error("a notice is lost: %s, %s", kind, type(error).__name__)


def kind_of_device(client: Client) -> str:
    """Return the system, client and country as one text. The address is left out, because it changes too often."""
    country = (client.location or "").rpartition(", ")[2]
    return "|".join((client.os or "", client.platform or "", country))
