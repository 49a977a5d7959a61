"""What the tests of receivers share: an application that tells them, and receivers as servers on loopback."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.web.services import EXTENSION
from tests.raw_server import RawServer, read_request

SECRETS = [bytes(range(32)), bytes(range(32, 64))]
WHSEC = ["whsec_" + base64.b64encode(secret).decode() for secret in SECRETS]
ISSUER = "https://keys.example.com"
KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
HASH, FIRST_HASH, SECOND_HASH = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
EVENT_ID = "evt_0123456789abcdef01234567_1"
AT = "2025-12-01T08:00:00.250000+00:00"
AT_S = 1764576000


def event(type="AUTH_SESSION_REMOVE", **fields):
    """The text of an event, as a script writes it into a queue."""
    known = {"id": EVENT_ID, "type": type, "user_id": "7", "at": AT}
    if type.startswith("AUTH_SESSION"):
        known |= {"auth_session_id_hash": HASH, "reason": None}
    if type == "AUTH_SESSION_REMOVE":
        known |= {"reason": "logout", "former_auth_session_id_hashes": []}
    return json.dumps(known | fields, ensure_ascii=False).encode()


class Receiver:
    """A receiver on loopback. It keeps what it got, and answers what it is told to, one answer after another."""

    def __init__(self):
        self.got = []
        self.answers = []
        self._server = RawServer(self._speak)
        self.url = f"{self._server.url}told?from=keyrack"

    def _speak(self, connection):
        while request := read_request(connection):
            head, _, body = request.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines[1:])}
            self.got.append((lines[0], headers, body))
            answer = self.answers.pop(0) if self.answers else says(204)
            if not answer:
                return
            connection.sendall(answer)

    @property
    def connections(self):
        return self._server.connections

    def close(self):
        self._server.close()


def says(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items())]
    if status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def key_files(tmp_path):
    paths = [tmp_path / "new.pem", tmp_path / "old.pem"]
    for path, key in zip(paths, KEYS, strict=True):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return [str(path) for path in paths]


@pytest.fixture
def telling(make_app, receiver, key_files):
    """Makes the application that tells the receiver by one kind of request, and returns what delivers to it."""

    def make(kind, **environment):
        url = {"webhook": "WEBHOOK_URLS", "logout": "BACKCHANNEL_LOGOUT_URLS", "ssf": "SSF_PUSH_URLS"}[kind]
        chosen = {url: receiver.url, "WEBHOOK_SECRETS": WHSEC[0], "SIGNING_KEYS": key_files[0]} | environment
        app = make_app(**chosen)
        [delivering] = app.extensions[EXTENSION].deliverings
        delivering.app = app
        return delivering

    return make
