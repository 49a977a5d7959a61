"""Mails: what happened, on which device, where and when, and what the user should do.

Which are due: rules/notices.py. Their words: wordings.py. Sending them: transport.py. Their form: templates/mail/.
"""

import re
import secrets
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from flask import render_template

from app.languages import times
from app.languages.choice import in_language
from app.languages.texts import gettext
from app.languages.words import made_up_name
from app.mail.refusals import RecipientRefused
from app.mail.wordings import WITH_FORGOT, WORDINGS
from app.rules.device_names import only_listed, parts_of
from app.rules.email_addresses import mailbox, may_be_imported, normalise_email
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.mail import Notice
from app.stores.user_records import User
from app.stores.users import UserStore
from app.text import visible
from app.translations import LANGUAGES

_DOMAIN = re.compile(r"[a-zA-Z0-9._-]+|\[[a-zA-Z0-9.:]+\]")


class Letters:
    """Composes mails. It needs Flask's application context, because mails are rendered from Flask's templates."""

    def __init__(
        self,
        users: UserStore,
        links: Links,
        keyring: Keyring,
        mail_from: Address,
        public_url: str,
        default_language: str,
    ) -> None:
        self._users = users
        self._links = links
        self._keyring = keyring
        self._from = mail_from
        self._public_url = public_url
        self._default_language = default_language

    def compose(self, notice: Notice) -> EmailMessage | None:
        """Return the mail for a notice. For the same notice it is the same mail, with the same link.

        Returns:
            None if the user is gone or disabled (but not if they have left), if the credentials changed after a reset
            was requested, or if there is nothing to verify or to put back any more.

        Raises:
            RecipientRefused: No mail can be sent to the user's address.
        """
        user = self._users.get(notice.user_id)
        if user is None or user.is_shut_out:
            return None
        if notice.kind == "reset" and notice.secrets_version != user.secrets_version:
            return None
        addressed = self._address(notice, user)
        if addressed is None:
            return None
        email, secret = addressed
        recipient = _recipient(email)
        with in_language(notice.language if notice.language in LANGUAGES else self._default_language):
            return self._write(notice, user, recipient, secret)

    def _write(self, notice: Notice, user: User, recipient: Address, secret: str) -> EmailMessage:
        """Return a mail in the language of this context.

        Args:
            secret: That of its link; "" for a link that only leads to a page.
        """
        wording = WORDINGS[notice.kind]
        message_id = self._keyring.hash_of_mail("Message-ID", notice.id).hex()[:32]
        message = _begin(self._from, recipient, str(wording.subject), notice.at, message_id)
        words = {
            "wording": wording,
            "facts": _facts(notice) | _due(notice, user),
            "link": self._public_url + wording.path + (f"#{secret}" if secret else ""),
            "forgot": None if wording.path not in WITH_FORGOT else self._public_url + "/forgot",
            "site": self._public_url,
        }
        text, html = (render_template(f"mail/letter.{form}", **words) for form in ("txt", "html"))
        message.set_content(text, cte=_encoding(text))
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        return message

    def _address(self, notice: Notice, user: User) -> tuple[str, str] | None:
        """Return the address of a mail, and the secret of its link, which is issued now; "" for a link that only leads
        to a page.

        A browser never sends what is behind the # to a server, so the secret is in no log.

        Returns:
            None if there is nothing to tell any more.
        """
        if notice.kind == "address_changed":  # to the former address
            found = self._links.find_revert_of_address(user.id, notice.id)
            return (found[1], found[0]) if found else None
        if notice.kind in ("verify", "new_address"):
            awaited = user.pending_email if notice.kind == "new_address" else user.email if user.unverified else None
            if awaited is None or self._keyring.digest(normalise_email(awaited)) != notice.digest:
                return None
            since = user.pending_since if notice.kind == "new_address" else 0
            return awaited, self._links.issue_verify(user.id, awaited, since, notice.at, notice.id)
        return user.email, self._issue_secret(notice, user)

    def _issue_secret(self, notice: Notice, user: User) -> str:
        """Issue the secret of a link to the user's own address; "" for a link that only leads to a page."""
        if notice.kind == "sign_in":
            return self._links.issue_not_me(user.id, notice.session, notice.id)
        if notice.kind in ("totp_on", "passkey_added"):
            return self._links.issue_revert(user.id, notice.factor, notice.at, notice.id)
        if notice.kind == "reset":
            return self._links.issue_reset(user.id, notice.secrets_version, notice.at, notice.id)
        return ""


def compose_test(mail_from: Address, email: str, public_url: str, service_name: str, at: float) -> EmailMessage:
    """Return a mail that says nothing but where it is from.

    Raises:
        RecipientRefused: No mail can be sent to this address.
    """
    message = _begin(mail_from, _recipient(email), f"A test of {service_name}'s mails", at, secrets.token_hex(16))
    text = f"This is a test mail of {public_url}\n\nMails from there reach you.\n"
    message.set_content(text, cte=_encoding(text))
    return message


def _begin(mail_from: Address, recipient: Address, subject: str, at: float, message_id: str) -> EmailMessage:
    """Return a mail that has its headers and no content.

    Args:
        at: Unix seconds.
        message_id: The part of the Message-ID before the @.
    """
    message = EmailMessage(policy=SMTP if recipient.addr_spec.isascii() else SMTPUTF8)
    message["From"] = mail_from
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    message["Message-ID"] = f"<{message_id}@{mail_from.domain}>"
    # Both ask for no automatic replies: RFC 3834, and Exchange, which also knows its own word (MS-OXCMAIL, 2.2.3.2.14).
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    return message


def _encoding(text: str) -> str:
    """Return an encoding that every server accepts."""
    # ASCII is not encoded, so that links in .eml files are not broken into lines.
    return "7bit" if text.isascii() else "quoted-printable"


def _recipient(email: str) -> Address:
    local, domain = mailbox(email)
    # Another service may have had any address, but a header would read some characters as the next recipient.
    if not may_be_imported(email) or not _DOMAIN.fullmatch(domain):
        raise RecipientRefused("no valid address")
    try:
        return Address(username=local, domain=domain)
    except (ValueError, HeaderParseError):
        raise RecipientRefused("no valid address") from None


def _facts(notice: Notice) -> dict[str, str]:
    # Mails name only programs and devices on a list. Clients choose their own names, and anybody can register with
    # somebody else's address, so that this person gets the mails of the account. So any other name, even if it looks
    # harmless, may be a link or an advertisement.
    client = only_listed(notice.client)
    unknown = gettext("unknown")
    return {
        gettext("Device"): made_up_name(client) if any(parts_of(client)[:2]) else unknown,
        gettext("Place"): visible(client.location or "").strip() or unknown,
        gettext("Address"): visible(client.ip or "").strip() or unknown,
        gettext("Time"): times.date_and_time(notice.at),
    }


def _due(notice: Notice, user: User) -> dict[str, str]:
    """Return when the account is to be deleted, for the mail that tells of it."""
    if notice.kind != "account_deleted" or not user.delete_at:
        return {}
    return {gettext("Deletion"): times.date_and_time(user.delete_at)}
