#!/usr/bin/env bash
# aiosmtpd 1.4.6, with trustme 1.2.1 for the certificate (PyPI); Python's own smtplib is the client.
#
# One would guess: a Controller with ssl_context=..., which speaks TLS from the first byte (as on port 465), lets
# clients sign in, as auth_require_tls=True (the default) asks for encryption, and the connection is encrypted.
#
# What happens: aiosmtpd counts TLS only where STARTTLS began it. On the encrypted connection EHLO does not offer AUTH,
# so smtplib does not try; a client that tries all the same hears "538 5.7.11 Encryption required". The session's "ssl"
# is None as well, so a handler that looks there whether a mail came encrypted is told no. AUTH comes with
# auth_require_tls=False, and with auth_required=True that logs the warning that such a server is insecure. By STARTTLS,
# and the same certificate, all is as one would guess.
#
# Seen:
#   STARTTLS                                   AUTH offered: yes  AUTH answered: 235  session.ssl: there
#   TLS from the first byte                    AUTH offered: no   AUTH answered: 538  session.ssl: None
#   the same, auth_require_tls=False           AUTH offered: yes  AUTH answered: 235  session.ssl: None
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check aiosmtpd==1.4.6 trustme==1.2.1

timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import smtplib
import socket
import ssl

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

authority = trustme.CA()
serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("localhost").configure_cert(serving)
trusting = ssl.create_default_context()
authority.configure_trust(trusting)


class Handler:
    def __init__(self):
        self.ssl = "not asked"

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.ssl = "None" if session.ssl is None else "there"
        envelope.mail_from = address
        return "250 OK"


def let_in(server, session, envelope, mechanism, login):
    return AuthResult(success=True)


def look(name, connect, **options):
    handler = Handler()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(
        handler, hostname="127.0.0.1", port=port, authenticator=let_in, ready_timeout=20, **options
    )
    controller.start()
    try:
        with connect(port) as client:
            client.ehlo()
            assert client.sock.version().startswith("TLS")
            is_offered = client.has_extn("auth")
            answer = client.docmd("AUTH", "PLAIN AGFubmEAc2VjcmV0")[0]
            client.mail("anna@example.org")
    finally:
        controller.stop()
    offered = "yes" if is_offered else "no"
    print(f"{name:42} AUTH offered: {offered:4} AUTH answered: {answer}  session.ssl: {handler.ssl}")
    return is_offered, answer, handler.ssl


def from_first_byte(port):
    return smtplib.SMTP_SSL("localhost", port, context=trusting, timeout=20)


def by_starttls(port):
    client = smtplib.SMTP("localhost", port, timeout=20)
    client.starttls(context=trusting)
    return client


starttls = look("STARTTLS", by_starttls, tls_context=serving)
whole = look("TLS from the first byte", from_first_byte, ssl_context=serving)
told = look("the same, auth_require_tls=False", from_first_byte, ssl_context=serving, auth_require_tls=False)
assert starttls == (True, 235, "there"), "the behaviour has changed"
assert whole == (False, 538, "None"), "the behaviour has changed"
assert told == (True, 235, "None"), "the behaviour has changed"
PYTHON
