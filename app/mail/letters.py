"""The texts of mails: what happened, on which device, where and when, and what the user should do.

Which mails are due: rules/notices.py. Sending them: transport.py. Their form: templates/mail/.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from flask import render_template

from app import times
from app.mail.refusals import RecipientRefused
from app.rules.device_names import kind_of, made_up_name
from app.rules.email_addresses import mailbox, may_be_imported
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.mail import Notice, NoticeKind
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import UserStore
from app.text import visible

_UNKNOWN = "unknown"
# Mails name only programs and systems on a list. Clients choose their own names, and anybody can register with somebody
# else's address, so that this person gets the mails of the account. So any other name, even if it looks harmless, may
# be a link or an advertisement. The names of programs are those of ua-parser and Discord's clients. The systems are in
# rules/device_names.py.
_PROGRAMS = {
    "Brave",
    "Chrome",
    "Chrome Mobile",
    "Chrome Mobile WebView",
    "Chrome Mobile iOS",
    "Chromium",
    "DuckDuckGo Mobile",
    "Discord Android",
    "Discord Client",
    "Discord iOS",
    "Edge",
    "Edge Mobile",
    "Electron",
    "Firefox",
    "Firefox Focus",
    "Firefox Mobile",
    "Firefox iOS",
    "HeadlessChrome",
    "IE",
    "Mobile Safari",
    "Mobile Safari UI/WKWebView",
    "Opera",
    "Opera Mini",
    "Opera Mobile",
    "Python Requests",
    "Safari",
    "Samsung Internet",
    "Vivaldi",
    "Yandex Browser",
    "aiohttp",
    "curl",
}
_DOMAIN = re.compile(r"[a-zA-Z0-9._-]+|\[[a-zA-Z0-9.:]+\]")
_VERSION = re.compile(r" [0-9]{1,2}(\.[0-9]{1,2})?\Z")  # the version of a system, as in "Windows 8.1"


@dataclass(frozen=True, slots=True)
class _Wording:
    """The text of a kind of notice.

    Attributes:
        button: The text of the link.
        path: The path of the link.
        advice: The text below the link.
    """

    subject: str
    message: str
    button: str
    path: str
    advice: str


_DEVICES = ("See your devices", "/settings/sessions")
_SECURITY = ("Look at your security settings", "/settings/security")
_FORGOT = ("Set a new password", "/forgot")
_NOT_YOU = (
    "If this was you, there is nothing to do. If it was not, set a new password at once: that ends every session."
)
_WORDINGS: dict[NoticeKind, _Wording] = {
    "sign_in": _Wording(
        "New sign-in to your account",
        "Your account was signed in to with a kind of device, or from a country, that is new to it.",
        "This wasn't me",
        "/not-me",
        "If this was you, there is nothing to do. If it was not, the link ends that session, and lets you set a new "
        "password. It works once, within 48 hours.",
    ),
    "many_sign_ins": _Wording(
        "Many new sign-ins to your account",
        "There were more new sign-ins to your account in the last hour than we tell you of one by one. "
        "This is one of them:",
        *_DEVICES,
        "There you see all that is signed in, and end what you do not recognise. If there is any, set a new password "
        "at once.",
    ),
    "wrong_code": _Wording(
        "Your password was used with a wrong code",
        "Somebody gave the right password of your account, but a wrong code after it.",
        *_FORGOT,
        "If this was you, there is nothing to do. If it was not, your password is known to somebody else: set a new "
        "one at once.",
    ),
    "many_wrong_codes": _Wording(
        "Your password was used with many wrong codes",
        "Somebody gave the right password of your account with wrong codes after it, more often in the last hour than "
        "we tell you of one by one. This is one of the times:",
        *_DEVICES,
        "There you see all that is signed in. If this was not you, your password is known to somebody else: set a new "
        "one at once.",
    ),
    "password_changed": _Wording(
        "Your password was changed",
        "The password of your account was changed.",
        *_FORGOT,
        f"{_NOT_YOU} If you are asked for a code and did not turn two-factor authentication on, take the link in our "
        "mail about that instead.",
    ),
    "totp_on": _Wording(
        "Two-factor authentication is on",
        "Two-factor authentication was turned on for your account.",
        "This wasn't me",
        "/revert",
        "If this was you, there is nothing to do. If it was not, the link takes it off again with all that was set up "
        "since, ends every session and lets you set a new password. It works once, within 48 hours.",
    ),
    "totp_off": _Wording(
        "Two-factor authentication is off",
        "Two-factor authentication by codes of an app was turned off for your account. Without a passkey, the password "
        "alone signs in now.",
        *_SECURITY,
        _NOT_YOU,
    ),
    "passkey_added": _Wording(
        "A passkey was added to your account",
        "A passkey was added to your account. It signs in without a password.",
        "This wasn't me",
        "/revert",
        "If this was you, there is nothing to do. If it was not, the link removes the passkey and all that was set up "
        "since, ends every session and lets you set a new password. It works once, within 48 hours.",
    ),
    "passkey_removed": _Wording(
        "A passkey of your account was removed",
        "A passkey of your account was removed. It does not sign in any more.",
        *_SECURITY,
        _NOT_YOU,
    ),
    "passkey_copied": _Wording(
        "A passkey of your account may have been copied",
        "A passkey of your account was used, but its counter says that it was used elsewhere, too. It was refused.",
        *_SECURITY,
        "Passkeys that count cannot be copied by their owner. Remove this one, and set a new password if you did not "
        "use it just now.",
    ),
    "codes_renewed": _Wording(
        "Your backup codes were renewed",
        "Your account has new backup codes. The old ones do not work any more.",
        *_SECURITY,
        _NOT_YOU,
    ),
    "last_code_used": _Wording(
        "Your last backup code was used",
        "The last of your backup codes was used. If you lose your authenticator now, you are locked out.",
        "Make new backup codes",
        "/settings/security",
        "If this was not you, somebody has your codes: set a new password at once, and make new codes.",
    ),
    "suspicious": _Wording(
        "Please look at the devices of your account",
        "A session of your account looks suspicious.",
        *_DEVICES,
        "There you see all that is signed in, and end what you do not recognise. If there is any, set a new password "
        "at once.",
    ),
    "others_ended": _Wording(
        "All other devices were logged out",
        "Every device of your account was logged out, except the one that asked for it:",
        *_FORGOT,
        _NOT_YOU,
    ),
    "reset": _Wording(
        "Set a new password",
        "Somebody, we hope you, asked for a new password for your account.",
        "Set a new password",
        "/reset",
        "The link works once, within one hour, and ends every session. If you did not ask for it, there is nothing to "
        "do: your password stays as it is.",
    ),
}


class Letters:
    """Composes mails. It needs Flask's application context, because mails are rendered from Flask's templates."""

    def __init__(
        self,
        users: UserStore,
        links: Links,
        keyring: Keyring,
        mail_from: Address,
        public_url: str,
    ) -> None:
        self._users = users
        self._links = links
        self._keyring = keyring
        self._from = mail_from
        self._public_url = public_url

    def compose(self, notice: Notice) -> EmailMessage | None:
        """Return the mail for a notice. For the same notice it is the same mail, with the same link.

        Returns:
            None if the user is gone or disabled, or if the credentials changed after a reset was requested.

        Raises:
            RecipientRefused: No mail can be sent to the user's address.
        """
        user = self._users.get(notice.user_id)
        if user is None or user.disabled or (notice.kind == "reset" and notice.secrets_version != user.secrets_version):
            return None
        recipient = _recipient(user.email)
        wording = _WORDINGS[notice.kind]
        message_id = self._keyring.hash_of_mail("Message-ID", notice.id).hex()[:32]
        message = _begin(self._from, recipient, wording.subject, notice.at, message_id)
        words = {
            "wording": wording,
            "facts": _facts(notice),
            "link": self._public_url + wording.path + self._issue_secret(notice, user),
            "forgot": None if wording.path in ("/forgot", "/reset", "/revert") else self._public_url + "/forgot",
            "site": self._public_url,
        }
        text, html = (render_template(f"mail/letter.{form}", **words) for form in ("txt", "html"))
        message.set_content(text, cte=_encoding(text))
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        return message

    def _issue_secret(self, notice: Notice, user: User) -> str:
        """Issue the secret of a link and return it as a URL fragment; "" for a link that only leads to a page."""
        # A browser never sends the fragment to a server, so the secret is in no log.
        if notice.kind == "sign_in":
            return "#" + self._links.issue_not_me(user.id, notice.session, notice.id)
        if notice.kind in ("totp_on", "passkey_added"):
            return "#" + self._links.issue_revert(user.id, notice.factor, notice.at, notice.id)
        if notice.kind == "reset":
            return "#" + self._links.issue_reset(user.id, notice.secrets_version, notice.at, notice.id)
        return ""


def compose_test(mail_from: Address, email: str, public_url: str, at: float) -> EmailMessage:
    """Return a mail that says nothing but where it is from.

    Raises:
        RecipientRefused: No mail can be sent to this address.
    """
    message = _begin(mail_from, _recipient(email), "A test of Keyrack's mails", at, secrets.token_hex(16))
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
    client = _keep_known_parts(notice.client)
    return {
        "Device": made_up_name(client) if client.os or client.platform else _UNKNOWN,
        "Place": visible(client.location or "").strip() or _UNKNOWN,
        "Address": visible(client.ip or "").strip() or _UNKNOWN,
        "Time": times.date_and_time(notice.at),
    }


def _keep_known_parts(client: Client) -> Client:
    system = Client(os=_VERSION.sub("", client.os or ""))
    return Client(
        os=client.os if kind_of(system) != "unknown" else None,
        platform=client.platform if client.platform in _PROGRAMS else None,
        location=client.location,
        ip=client.ip,
    )
