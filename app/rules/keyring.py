"""Keys derived from SECRET_KEYS: to encrypt TOTP secrets, to sign, and for keyed hashes of codes, addresses and mails.

Each purpose has its own key, derived from a secret. New data is written with the first secret. Data of every secret can
be read. To change a secret, put the new one in front, and remove the old one when no data depends on it any more.
Hashes of passwords: passwords.py. Hashes of tokens: app/tokens.py.
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
    """
    Attributes:
        start_keys: Sign the tickets of passkey_starts.py. New ones are signed with the first one.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        encryption = (base64.urlsafe_b64encode(_derive(secret, b"totp secrets")) for secret in secrets)
        self._fernet = MultiFernet([Fernet(key) for key in encryption])
        self._digest_key = _derive(secrets[0], b"digests of accounts")
        self._mail_key = _derive(secrets[0], b"mails")
        self._code_keys = [_derive(secret, b"backup codes") for secret in secrets]
        self.start_keys = [_derive(secret, b"sign-ins by passkey") for secret in secrets]

    def encrypt(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """Decrypt a TOTP secret.

        Raises:
            Unavailable: No key fits. Only an operator can repair this.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            log.error("a TOTP secret was written under a key that is missing from SECRET_KEYS")
            raise Unavailable from None

    def code_hashes(self, user_id: str, code: str) -> list[str]:
        """Return the keyed hashes under which a user's backup code may be stored. New codes use the first one."""
        text = f"{user_id}:{code}".encode()
        digests = (hmac.new(key, text, hashlib.sha256).digest() for key in self._code_keys)
        return [base64.b64encode(digest).decode() for digest in digests]

    def digest(self, account: str) -> str:
        """Return a keyed hash of an address. Logs and limits use it, because they must not contain the address."""
        # With a hash without a key anybody could test guesses.
        return hmac.new(self._digest_key, account.encode(), hashlib.sha256).hexdigest()[:32]

    def hash_of_mail(self, use: str, notice_id: str) -> bytes:
        """Return 32 bytes that belong to one mail and one use. They are the same each time the mail is sent.

        Args:
            use: What the bytes are for. Those of one use tell nothing about those of another.
            notice_id: The id of the notice that the mail is made of.
        """
        return hmac.new(self._mail_key, f"{use}:{notice_id}".encode(), hashlib.sha256).digest()


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"keyrack " + purpose).derive(secret.encode())
