"""The address of an account: how it is verified by a link in a mail, and how it is changed.

A new address counts once its link was used; until then it is pending, and reserves nothing. Where no mails are sent,
nobody could verify one: there it counts at once.

A change has these steps, as each address has a key of its own (stores/addresses.py): the new address is claimed; the
record gets it, and notes the former one in `moved_from`; the new one is taken for good; the former one goes. If the
process dies meanwhile, `settle` does the rest, at the next login or by `flask users tidy`. A claim ends by itself.

The link that puts the former address back: recovery.py. Which addresses may be one: email_addresses.py.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.form_errors import EmailTaken, InvalidForm, InvalidLink, VerificationRequired
from app.rules.devices import Devices
from app.rules.email_addresses import MAX_EMAIL_LENGTH, NO_EMAIL, may_register, normal_forms, normalise_email
from app.rules.keyring import Keyring
from app.rules.links import VERIFY_TTL_S, Links, OpenLink
from app.rules.notices import Notices
from app.rules.sign_ins import SignIns
from app.stores.activities import Activity, ActivityKind
from app.stores.addresses import KEPT_S, AddressStore
from app.stores.mail import Notice, NoticeKind, new_notice_id
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change, NewLink, UserStore
from app.watch import audit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewAddress:
    """What a change of the record does about a new address.

    Attributes:
        is_pending: It counts once its link was used. Otherwise it counts at once.
    """

    email: str
    is_pending: bool
    set: Mapping[str, str]
    unset: Sequence[str] = field(default=())
    only_if: Mapping[str, str] | None = None

    @property
    def activity(self) -> ActivityKind:
        return "address_asked" if self.is_pending else "address_changed"


@dataclass(frozen=True, slots=True)
class Verified:
    """
    Attributes:
        token: That of a new session; None if none was opened.
    """

    user_id: str
    token: str | None


class Addresses:
    def __init__(
        self,
        users: UserStore,
        store: AddressStore,
        links: Links,
        devices: Devices,
        sign_ins: SignIns,
        notices: Notices,
        keyring: Keyring,
        clock: Callable[[], float] = time.time,
        *,
        is_required: bool = False,
    ) -> None:
        """
        Args:
            is_required: Nobody logs in before the address is verified.
        """
        self._users = users
        self._store = store
        self._links = links
        self._devices = devices
        self._sign_ins = sign_ins
        self._notices = notices
        self._keyring = keyring
        self._clock = clock
        self._is_required = is_required

    @property
    def can_be_verified(self) -> bool:
        """Tell whether mails are sent. Otherwise nobody could verify an address, and none counts as unverified."""
        return self._notices.are_sent

    def digest_of(self, email: str) -> str:
        """Return a keyed hash of an address, for queues, limits and logs, which must not have the address."""
        return self._keyring.digest(normalise_email(email))

    def pending_of(self, user: User) -> str | None:
        """Return the address that a user has asked for and can still verify; None if there is none."""
        is_open = user.pending_since > self._clock() - VERIFY_TTL_S
        return user.pending_email if is_open else None

    def to_verify(self, user: User) -> str | None:
        """Return the address that a user is to verify; None if there is none."""
        return self.pending_of(user) or (user.email if user.unverified else None)

    # A new address

    def is_another(self, user: User, email: str | None) -> bool:
        """Tell whether an address is another than the user's own, which may be spelled in another way."""
        return email is not None and normalise_email(email) != normalise_email(user.email)

    def require_possible(self, user: User, email: str | None) -> None:
        """Refuse a new address that nobody may register with.

        Raises:
            InvalidForm: It is none.
        """
        if email is None or not self.is_another(user, email):
            return
        if not 0 < len(email) <= MAX_EMAIL_LENGTH or not may_register(email):
            raise InvalidForm({"email": NO_EMAIL})

    def begin(self, user: User, email: str | None) -> NewAddress | None:
        """Return what a change of the record does about an address; None if it is the user's own.

        Whether somebody else has it is not told: the link that goes there says so.

        Raises:
            EmailTaken: It counts at once, and is somebody else's.
        """
        if email is None or not self.is_another(user, email):
            return None
        if self.can_be_verified:
            return NewAddress(email, True, {"pending_email": email, "pending_since": str(int(self._clock()))})
        user = self.settle(user)
        if not self._store.claim(user.id, normal_forms(email)):
            raise EmailTaken("email")
        gone = ["pending_email", "pending_since", "unverified"]
        # Another change at once may have set a third address, whose key nobody would let go.
        return NewAddress(email, False, {"email": email, "moved_from": user.email}, gone, {"email": user.email})

    def give_up(self, user: User, new: NewAddress) -> None:
        """Let a new address go whose change was refused."""
        if not new.is_pending:
            self._release(user.id, new.email)

    def notices_of(self, user: User, new: NewAddress, client: Client) -> Sequence[Notice]:
        """Return the mail with the link that verifies a new address, for the change that asks for it."""
        if not new.is_pending:
            return ()
        return self._notices.about("new_address", user.id, client, digest=self.digest_of(new.email))

    def finish(self, user: User, new: NewAddress) -> None:
        """Do what follows a change that was made: let the former address go, if the new one counts at once."""
        if new.is_pending:
            audit.account_changed("address_asked", user.id)
        else:
            audit.account_changed("address_changed", user.id)
            self._settle_id(user.id)

    def cancel(self, user: User) -> None:
        """Forget the address that a user has asked for."""
        self._users.change(user.id, Change(same_credentials=True, unset=["pending_email", "pending_since"]))

    # The link

    def mail_link(self, user: User, client: Client) -> None:
        """Mail the link that verifies the address which a user has registered with, or asked for, if there is one."""
        email = self.to_verify(user)
        if email:
            kind: NoticeKind = "new_address" if email == self.pending_of(user) else "verify"
            self._notices.send_verification(kind, user.id, client, self.digest_of(email))

    def require_verified(self, user: User, client: Client) -> None:
        """Refuse a login of a user who must verify the address first. Mail them a link.

        Raises:
            VerificationRequired: The user has not verified it.
        """
        if self._is_required and user.unverified:
            self._notices.send_verification_at_login(user.id, client, self.digest_of(user.email))
            self._sign_ins.record_refusal("unverified", user, client)
            raise VerificationRequired

    def verify(self, secret: str, client: Client, *, signed_in_as: str | None = None, opens: bool = False) -> Verified:
        """Use the link that verifies an address.

        Args:
            signed_in_as: The id of the user who is signed in at the caller; None if nobody is.
            opens: Sign in whoever is not signed in as this user. A user with a second factor is not signed in by a link
                alone.

        Raises:
            InvalidLink: The link is unknown, used or expired, another address was asked for, or the user is disabled.
            EmailTaken: The address is somebody else's by now.
        """
        link, user, is_new = self._read_link(secret)
        token, session = self._devices.prepare(user.id, client, ("mail",), on_public_computer=False, attempt="")
        opens = opens and signed_in_as != user.id and not user.has_mfa
        notice_id = new_notice_id()
        revert = self._revert_link(user, notice_id) if is_new else None
        change = Change(
            # A second factor that was turned on meanwhile must be asked for.
            credentials_version=user.credentials_version if opens else None,
            same_credentials=True,
            only_if=_fields_of(user, link.email, is_new=is_new),
            set={"email": link.email, "moved_from": user.email} if is_new else None,
            unset=["unverified", *(["pending_email", "pending_since"] if is_new else [])],
            link=link.id_hash,
            verifies=True,
            open_link=revert,
            activity=[Activity("address_changed" if is_new else "address_verified", client, "mail")],
            notices=self._notices.about("address_changed", user.id, client, notice_id=notice_id) if revert else (),
            opens=session if opens else None,
        )
        if is_new:
            self._move(user, link.email, change)
        elif not self._users.change(user.id, change):
            raise InvalidLink
        audit.account_changed("address_changed" if is_new else "verified", user.id)
        if not opens:
            return Verified(user.id, None)
        signed_in = self._sign_ins.note(user.id, token, client, "verify", on_public_computer=False)
        return Verified(user.id, signed_in.token)

    def _read_link(self, secret: str) -> tuple[OpenLink, User, bool]:
        """Return a link, its user, and whether it verifies a new address. It raises InvalidLink as `verify` does."""
        try:
            link = self._links.read_verify(secret)
        except InvalidLink:
            audit.sign_in_failed("invalid_link")
            raise
        user = self._users.get(link.user_id)
        is_new = user is not None and (user.pending_email, user.pending_since) == (link.email, link.since)
        is_own = user is not None and user.unverified and user.email == link.email
        if user is None or user.disabled or not (is_new or is_own):
            audit.sign_in_failed("invalid_link")
            raise InvalidLink
        return link, user, is_new

    # A move

    def put_back(self, user: User, email: str, change: Change) -> bool:
        """Make a change that puts a former address back. Return False if it is refused."""
        try:
            self._move(user, email, change, kept_s=0)
        except (EmailTaken, InvalidLink):
            return False
        return True

    def settle(self, user: User) -> User:
        """Finish a change of the address whose process died. Return the user after it."""
        return self._settle_id(user.id) or user if user.moved_from else user

    def tidy(self, user: User) -> None:
        """Settle what a process left behind, and forget a new address that was not verified in time."""
        user = self.settle(user)
        if user.pending_email and self.pending_of(user) is None:
            asked = {"pending_email": user.pending_email, "pending_since": str(user.pending_since)}
            if self._users.change(user.id, Change(same_credentials=True, only_if=asked, unset=list(asked))):
                self._release(user.id, user.pending_email)

    def _move(self, user: User, email: str, change: Change, kept_s: int = KEPT_S) -> None:
        """Make a change that sets another address, with the steps before and after it.

        Args:
            kept_s: For how long the address before is kept for the user, who may take it back.
        """
        user = self.settle(user)
        if not self._store.claim(user.id, normal_forms(email)):
            raise EmailTaken("token")
        if not self._users.change(user.id, change):
            self._release(user.id, email)
            raise InvalidLink
        self._settle_id(user.id, kept_s)

    def _settle_id(self, user_id: str, kept_s: int = KEPT_S) -> User | None:
        user = self._users.get(user_id)
        if user is None or user.moved_from is None:
            return user
        forms = normal_forms(user.email)
        if not self._store.take(user.id, forms[0]):
            log.error("the address of user %s is another account's: the key was lost", user.id)
            return user
        former = [form for form in normal_forms(user.moved_from) if form not in forms]
        self._store.retire(user.id, former, kept_s if self.can_be_verified else 0)
        settled = {"email": user.email, "moved_from": user.moved_from}
        self._users.change(user.id, Change(same_credentials=True, only_if=settled, unset=["moved_from"]))
        return self._users.get(user_id)

    def _release(self, user_id: str, email: str) -> None:
        """Let a claim go, unless another request of the user has made it good, or still may."""
        user = self._users.get(user_id)
        wanted = (
            {normalise_email(one) for one in (user.email, user.pending_email, user.moved_from) if one} if user else ()
        )
        if normalise_email(email) not in wanted:
            self._store.release(user_id, normalise_email(email))

    def _revert_link(self, user: User, notice_id: str) -> NewLink | None:
        # Whoever has the mailbox of an address that nobody verified may be a stranger: it was a slip, perhaps.
        if user.unverified:
            return None
        return self._links.new_revert_of_address(user.id, user.email, user.pending_since, notice_id)


def _fields_of(user: User, email: str, *, is_new: bool) -> Mapping[str, str]:
    """Return what must stand in the record for a link to verify an address."""
    if is_new:
        return {"email": user.email, "pending_email": email, "pending_since": str(user.pending_since)}
    return {"email": email, "unverified": "1"}
