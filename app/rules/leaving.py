"""How an account is disabled, enabled and deleted, by operators or by its user.

A user who has left comes back by signing in (accounts.py, passkeys.py, recovery.py), until the account is due for
deletion. Commands of operators: operators.py.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.form_errors import PasswordMismatch
from app.rules.addresses import Addresses
from app.rules.checks import Caller
from app.rules.email_addresses import normal_forms
from app.rules.links import Links
from app.rules.notices import Notices
from app.stores.activities import Activity
from app.stores.connection.connect import StoreError
from app.stores.departures import DepartureStore
from app.stores.mail import MailStore
from app.stores.scripts import ForeignKey
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, Deletion, UserStore
from app.watch import audit

log = logging.getLogger(__name__)

_AT_ONCE = 1000  # users deleted in one look through all keys
_LATE_S = 24 * 60 * 60  # `flask users tidy` runs daily
_LOOKED_AT = 100  # of those that the index names as overdue; the records decide


@dataclass(frozen=True, slots=True)
class Overdue:
    """What is known of deletions that are due.

    Attributes:
        users: How many users were due a day ago and are still there; a hundred at most are counted.
        tidied_at: When `flask users tidy` last came to its end, Unix seconds; None for never.
    """

    users: int
    tidied_at: float | None


class Leaving:
    def __init__(
        self,
        users: UserStore,
        departures: DepartureStore,
        mails: MailStore,
        addresses: Addresses,
        links: Links,
        notices: Notices,
        clock: Callable[[], float] = time.time,
        *,
        deletion_delay_s: int,
    ) -> None:
        self._users = users
        self._departures = departures
        self._mails = mails
        self._addresses = addresses
        self._links = links
        self._notices = notices
        self._clock = clock
        self.deletion_delay_s = deletion_delay_s

    # By operators

    def disable(self, user_id: str) -> bool:
        """End every session of a user and let no login finish. Return False if there is no such user.

        Who had left is disabled as any other: only operators bring them back.
        """
        if not self._users.change(user_id, _shut_out(unset=["left", "delete_at"])):
            return False
        self._forget([user_id])
        audit.account_changed("disabled", user_id)
        return True

    def enable(self, user_id: str) -> bool:
        """Let a user sign in again, also one who had left. Return False if there is no such user."""
        told = [Activity("enabled", is_operators=True)]
        if not self._users.change(user_id, Change(unset=["disabled", "left", "delete_at"], activity=told)):
            return False
        self._forget([user_id])
        audit.account_changed("enabled", user_id)
        return True

    def delete(self, user_id: str) -> bool:
        """Remove a user and all their data. Return False if there is no such user."""
        user = self._users.get(user_id)
        if user is None or not self._users.change(user_id, _shut_out()):
            return False
        self._remove([user])
        return True

    # By the user

    def leave(self, caller: Caller, user: User, how: audit.Left, client: Client) -> None:
        """Disable or delete the caller's own account, and end every session. A deletion waits for its delay.

        Args:
            user: As it was when the password was checked.

        Raises:
            PasswordMismatch: The credentials changed after the password was checked.
            Unauthorized: The session is over.
        """
        delete_at = int(self._clock()) + self.deletion_delay_s if how == "deleted" else None
        change = Change(
            credentials_version=user.credentials_version,
            caller=caller.id_hash,
            set={"disabled": "1", "left": how} | ({"delete_at": str(delete_at)} if delete_at else {}),
            unset=["pending_email", "pending_since"],
            activity=[Activity("left_deleted" if how == "deleted" else "left_disabled", client)],
            notices=self._notices.about("account_deleted" if delete_at else "account_disabled", user.id, client),
            end_others="revoked",
            ends_all=True,
        )
        if not self._users.change(user.id, change):
            raise PasswordMismatch
        audit.account_left(user.id, how, delete_at)
        if delete_at:
            self._note({user.id: delete_at})

    # The end

    def tidy(self, users: Iterator[User]) -> Iterator[str]:
        """Delete those of these users who are due, and tidy the addresses of all.

        Killed at any moment, the next run finishes. Whoever is due cannot come back, so nobody does meanwhile.

        Yields:
            The id of each user who was deleted.
        """
        while batch := list(islice(users, _AT_ONCE)):
            waiting = {user.id: user.delete_at for user in batch if user.left == "deleted" and user.delete_at}
            self._note({user_id: at for user_id, at in waiting.items() if at > self._clock()})
            due = [user for user in batch if self._is_due(user) and self._begin_deletion(user)]
            if due:
                self._remove(due)
                yield from (user.id for user in due)
            for user in batch:
                self._tidy_address(user)
            self._forget([user.id for user in batch if user.left != "deleted"])  # else they would hide who waits
        self._departures.note_tidied(self._clock())

    def overdue(self) -> Overdue:
        """Tell whether users are still there who were to be deleted a day ago."""
        named = self._departures.due_before(self._clock() - _LATE_S, _LOOKED_AT)
        found = [user for user in self._users.get_all(named) if user and self._is_due(user)] if named else []
        return Overdue(len(found), self._departures.tidied_at())

    def _is_due(self, user: User) -> bool:
        return user.left == "deleted" and user.delete_at is not None and user.delete_at <= self._clock()

    def _begin_deletion(self, user: User) -> bool:
        """Make sure that a user who is due cannot come back. Return False if they have, or cannot be deleted."""
        seen = {"left": "deleted", "delete_at": str(user.delete_at)}
        change = Change(only_if=seen, set={"disabled": "1", "delete_at": "0"}, end_others="admin")
        try:
            return bool(self._users.change(user.id, change))
        except ForeignKey:
            return False

    def _tidy_address(self, user: User) -> None:
        try:
            self._addresses.tidy(user)
        except ForeignKey:
            log.error("the address of user %s is not tidied: a key is another application's", user.id)

    def _remove(self, users: Sequence[User]) -> None:
        """Remove users who can sign in no more, and all their data."""
        # Queued mails are removed first. If this failed after the deletion, a second try could not find the user.
        self._forget_mails(users)
        self._users.delete(*(self._deletion_of(user) for user in users))
        self._forget_mails(users)  # mails that were queued during the deletion
        self._forget([user.id for user in users])
        for user in users:
            audit.account_changed("deleted", user.id)

    def _deletion_of(self, user: User) -> Deletion:
        in_links = self._links.addresses_in(user.id)  # former ones are kept for as long as they can be put back
        emails = [email for email in (user.email, user.pending_email, user.moved_from, *in_links) if email]
        forms = [form for email in emails for form in normal_forms(email)]
        return Deletion(user.id, forms, self._addresses.digest_of(user.email))

    def _forget_mails(self, users: Sequence[User]) -> None:
        for user in users:
            self._mails.forget(user.id)

    def _note(self, due: dict[str, int]) -> None:
        try:
            self._departures.note(due)
        except StoreError as error:
            log.warning("it is not noted when a deletion is due: %s", type(error).__name__)

    def _forget(self, user_ids: Sequence[str]) -> None:
        try:
            self._departures.forget(user_ids)
        except StoreError as error:
            log.warning("a deletion that is due no more is still noted: %s", type(error).__name__)


def _shut_out(unset: Sequence[str] | None = None) -> Change:
    told = [Activity("disabled", is_operators=True)]
    return Change(set={"disabled": "1"}, unset=unset, end_others="admin", activity=told)
