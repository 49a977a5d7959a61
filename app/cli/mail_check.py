"""The check of mail by `flask doctor`, which can send a test mail.

The other checks: cli/doctor.py. The steps with the mail server: mail/transport.py.
"""

from collections.abc import Iterator
from pathlib import Path

from app.config import Settings
from app.mail.letters import compose_test
from app.mail.refusals import NotDelivered
from app.mail.transport import open_transport
from app.serving.checkup import Finding, fail, ok, warn

_CHECK = "mail"
# What to look at, by the first words of a failure's reason.
_ADVICE = {
    "connection refused": "The server turns this machine away; its words and its log say why.",
    "EHLO refused, 4": "The server takes no mails for now; its words and its log say why.",
    "EHLO refused": "Look at SMTP_EHLO_NAME: servers want a name that has an address in the DNS, without underscores.",
    "AUTH": "Look at the user and the password in SMTP_URL, percent-encoded.",
    "MAIL refused": "Look at MAIL_FROM, and at what the server lets this user or address send.",
    "RCPT refused": "Look at whether the server passes mails from here on to others (relaying), and at the address.",
    "content refused": "The server's words and its log say why.",
    "no SMTPUTF8": "The server cannot pass on mails to addresses beyond ASCII: see docs/mail.md.",
    "no valid address": "Give an address as people have it: ada@example.com.",
}
_ELSEWHERE = "Look at SMTP_URL."
_UNTRUSTED = (
    "Name the authority of the server's certificate with SSL_CERT_FILE, and the server as the certificate does."
)


def check_mail(settings: Settings, mail_to: str | None, now: float) -> Iterator[Finding]:
    """Check that mails can be delivered: the server answers and the login succeeds, or the folder is writable.

    Args:
        mail_to: Where to send a test mail; with None nothing is sent. With an address each step is told.
        now: Unix seconds.
    """
    route = settings.smtp_url
    if route is None:
        yield _without_server(mail_to)
        return
    place = f"folder {route}" if isinstance(route, Path) else f"server {route.host}:{route.port}"
    steps: list[str] = []
    transport = open_transport(route, settings.smtp_ehlo_name or "", steps.append)
    try:
        transport.connect()
        offers_smtputf8 = transport.offers_smtputf8()
        if mail_to and settings.mail_from and settings.public_url:  # config.py requires both with SMTP_URL
            transport.send(compose_test(settings.mail_from, mail_to, settings.public_url, settings.service_name, now))
    except NotDelivered as failure:
        yield from _tell_steps(steps, mail_to)
        answer = f' The server said: "{failure.answer}".' if failure.answer not in failure.reason else ""
        refuses = "did not take the test mail" if mail_to else "takes no mails"
        yield fail(_CHECK, f"The mail {place} {refuses}: {failure.reason}.{answer}", _advice(failure.reason))
        return
    finally:
        transport.close()
    yield from _tell_steps(steps, mail_to)
    if isinstance(route, Path):
        yield warn(_CHECK, f"Mails are written into the {place} and not sent.", "Name a server in production.")
        return
    done = f"took a test mail to {mail_to}" if mail_to else f"answers{' and accepts the login' if route.user else ''}"
    yield ok(_CHECK, f"The mail {place} {done}; it was greeted as {settings.smtp_ehlo_name}.")
    if not offers_smtputf8:
        said = f"The mail {place} offers no SMTPUTF8: nobody with an address like zoë@example.com gets a mail."
        yield warn(_CHECK, said, "docs/mail.md says what happens to them. Turn SMTPUTF8 on, or name another server.")


def _without_server(mail_to: str | None) -> Finding:
    if mail_to:
        return fail(_CHECK, "SMTP_URL is not set: no test mail was sent.", "Set SMTP_URL, MAIL_FROM and PUBLIC_URL.")
    return ok(_CHECK, "SMTP_URL is not set: no mail is sent.")


def _tell_steps(steps: list[str], mail_to: str | None) -> Iterator[Finding]:
    """Yield a finding for each step that the server accepted, if a test mail was asked for."""
    if mail_to:
        yield from (ok(_CHECK, step) for step in steps)


def _advice(reason: str) -> str:
    if "SSLCertVerificationError" in reason:
        return _UNTRUSTED
    return next((advice for words, advice in _ADVICE.items() if reason.startswith(words)), _ELSEWHERE)
