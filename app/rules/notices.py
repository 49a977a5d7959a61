"""What users are told by mail: who signed in, who tried to, and what changed. It is queued, nobody waits for it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.stores.connection.connect import StoreError
from app.stores.mail import MailStore, Notice, NoticeKind
from app.stores.notices import NoticeStore
from app.stores.sessions import Client

log = logging.getLogger(__name__)

_ONE_BY_ONE = 3  # in an hour; whatever is more becomes one


class Notices:
    """Whatever it tells of has happened: if Redis fails now, the notice is missing and the log says so."""

    def __init__(self, mail: MailStore | None, store: NoticeStore, clock: Callable[[], float] = time.time) -> None:
        """mail: None where no mail server is configured; then nobody is told anything"""
        self._mail = mail
        self._store = store
        self._clock = clock

    @property
    def are_sent(self) -> bool:
        return self._mail is not None

    def tell(self, kind: NoticeKind, user_id: str, client: Client, session: str = "") -> None:
        """Queue a notice about what `client` did; session: id_hash of the one that it is about."""
        if self._mail:
            with _log_if_lost(kind):
                self._mail.add(Notice(kind, user_id, self._clock(), client, session))

    def send_reset(self, user_id: str, credentials_version: str, client: Client) -> None:
        """Queue the link with which a password is set anew; it is good under this credentials version alone.

        Raises: redis.RedisError, unlike the others: here the mail is all that was asked for
        """
        if self._mail:
            self._mail.add(Notice("reset", user_id, self._clock(), client, credentials_version=credentials_version))

    def tell_of_suspicion(self, user_id: str, client: Client, session: str) -> None:
        """Tell that a session looks suspicious, as often as other notices: whoever asks for it may mean to annoy."""
        with _log_if_lost("suspicious"):
            if self._store.count(user_id, "suspicious") <= _ONE_BY_ONE:
                self.tell("suspicious", user_id, client, session)

    def forget_device(self, user_id: str, client: Client) -> None:
        """Tell of the next sign-in with this kind of device, though there was one: it was not the user's."""
        with _log_if_lost("sign_in"):
            self._store.forget_device(user_id, kind_of_device(client))

    def tell_of_sign_in(self, user_id: str, client: Client, session: str) -> None:
        """Tell of a sign-in with a kind of device, or from a country, that the user has never signed in with."""
        with _log_if_lost("sign_in"):
            if self._store.note_device(user_id, kind_of_device(client)):  # also where no mail is sent yet
                self._tell_one_of_many("sign_in", "many_sign_ins", user_id, client, session)

    def tell_of_wrong_code(self, user_id: str, client: Client) -> None:
        """Tell that somebody has the password and not the second factor."""
        with _log_if_lost("wrong_code"):
            self._tell_one_of_many("wrong_code", "many_wrong_codes", user_id, client)

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
    try:
        yield
    except StoreError as error:
        log.error("a notice is lost: %s, %s", kind, type(error).__name__)


def kind_of_device(client: Client) -> str:
    """System, client and country: not the address, which changes with every network."""
    country = (client.location or "").rpartition(", ")[2]
    return "|".join((client.os or "", client.platform or "", country))
