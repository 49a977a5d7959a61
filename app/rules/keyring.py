"""What SECRET_KEYS are for: TOTP secrets are encrypted, backup codes kept under a keyed hash, e-mails that nobody
has named by one.

Each purpose has a key of its own, derived from the secret. The first secret writes, all of them read, so a new
one is put in front and the old one taken away when nothing is left under it.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import Unavailable

log = logging.getLogger(__name__)


class Keyring:
    def __init__(self, secrets: Sequence[str]) -> None:
        encryption = (base64.urlsafe_b64encode(_derive(secret, b"totp secrets")) for secret in secrets)
        self._fernet = MultiFernet([Fernet(key) for key in encryption])
        self._digest_key = _derive(secrets[0], b"digests of accounts")
        self._code_keys = [_derive(secret, b"backup codes") for secret in secrets]

    def encrypt(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """Raises: errors.Unavailable where no key of the ring fits: only an operator can mend that"""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            log.error("a TOTP secret was written under a key that is missing from SECRET_KEYS")
            raise Unavailable from None

    def code_hashes(self, user_id: str, code: str) -> list[str]:
        """The forms under which a user's backup code may be stored, the one to write first."""
        text = f"{user_id}:{code}".encode()
        digests = (hmac.new(key, text, hashlib.sha256).digest() for key in self._code_keys)
        return [base64.b64encode(digest).decode() for digest in digests]

    def digest(self, account: str) -> str:
        """A name for an account that is none: the same for the same text, and nothing to guess the text by."""
        return hmac.new(self._digest_key, account.encode(), hashlib.sha256).hexdigest()[:32]


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"keyrack " + purpose).derive(secret.encode())
