"""The forms of password hashes, ours and those of other services, and how each is checked. Who checks: passwords.py.

A hash of ours is bcrypt's, written as $2b$. One that an import brings is never kept in that form (see `to_keep`), so a
look at a hash tells where it was made.

| form | who writes it | source |
| --- | --- | --- |
| $2a$, $2b$, $2y$ | bcrypt of any language | OpenBSD, bcrypt(3); others cut a password after 72 bytes |
| bcrypt$…, bcrypt_sha256$… | Django | django.contrib.auth.hashers, BCryptPasswordHasher and …SHA256… |
| $argon2id$…, $argon2i$…, $argon2d$… | PHC; Django with argon2 in front | PHC string format; RFC 9106 |
| pbkdf2_sha256$…, pbkdf2_sha1$… | Django | PBKDF2PasswordHasher |
| $pbkdf2-sha256$…, $pbkdf2-sha512$… | PHC, Kratos, passlib | passlib.hash; Kratos, hash/hash_comparator.go |
| scrypt$… | Django | ScryptPasswordHasher |
| $scrypt$… | PHC, Kratos | passlib.hash.scrypt; Kratos, which writes N itself for ln |
| <salt>:<key> in hex | better-auth | @better-auth/utils, password: NFKC, and the salt as text |
| $firescrypt$…, $fbscrypt$… | Kratos and GoTrue, of what Firebase exports | github.com/firebase/scrypt |
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import argon2
import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MAX_BYTES = 72  # bcrypt reads only so many bytes
MIN_COST, MAX_COST = 4, 16  # of bcrypt; each step doubles the time, and 16 takes seconds
MAX_MEMORY_MIB = 256  # of argon2 and scrypt, for each that is computed at once
MAX_COMPOSED = 2 * MAX_BYTES  # 72 bytes are 108 characters at most before NFC, which takes quadratic time for some
_LEAST_DIGEST, _MAX_DIGEST = 16, 128  # bytes; a digest of one byte would match each 256th password
_MAX_SALT = 256
_MAX_LANES = 16  # of argon2; each is a thread

# How much work takes as long as one round of bcrypt, of which there are 2^cost: measured with OpenSSL 3 and libargon2.
_ITERATIONS = {"sha1": 200, "sha256": 160, "sha512": 55}  # of PBKDF2, for each digest that it makes
_BLOCKS = 150  # N · r · p of scrypt
_BLOCKS_AROUND = 20  # what scrypt's two rounds of PBKDF2 take, as if N were so much larger
_KIB = 60  # memory in KiB, times passes, of argon2
_KIB_OF_LANE = 400  # what the threads of one lane take in one pass, as if there were so much more memory


class UnusableHash(ValueError):
    """A hash of no form that is known here, or one that asks for too much. The message is a sentence for operators."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password hash that was read.

    Attributes:
        cost: The cost of a hash of bcrypt that takes as long.
        matches: Tells whether a password belongs to it. Its work does not depend on the password. It raises MemoryError
            if the machine has none left for it.
        is_ours: It was made here.
    """

    cost: float
    matches: Callable[[bytes], bool]
    is_ours: bool = False


def read_hash(text: str) -> PasswordHash:
    """Return what a hash says.

    Raises:
        UnusableHash: It cannot be checked here.
    """
    for pattern, read in _FORMS:
        found = pattern.fullmatch(text)
        if found:
            return _within_bounds(read(found))
    raise UnusableHash("Must be a hash of bcrypt, argon2, PBKDF2 or scrypt, in a form of docs/import.md.")


def to_keep(text: str) -> str:
    """Return the form in which a hash of another service is kept: bcrypt's as $2y$, which is the same as $2b$.

    So it is known that other services may have cut its password after 72 bytes.
    """
    found = _BCRYPT.fullmatch(text.removeprefix("bcrypt$"))
    return f"$2y${found['rest']}" if found else text


def _within_bounds(read: PasswordHash) -> PasswordHash:
    if read.cost > MAX_COST:
        raise UnusableHash(f"Takes longer than bcrypt of cost {MAX_COST}.")
    return read


# bcrypt. The last characters of salt and digest have spare bits, which must be 0. Otherwise bcrypt raises (salt), or no
# password matches (digest).
_BCRYPT_TEXT = (
    r"\$2(?P<kind>[aby])\$(?P<rest>(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26])"
)
_BCRYPT = re.compile(_BCRYPT_TEXT)


def _read_bcrypt(found: re.Match[str], digest: Callable[[bytes], bytes] | None = None) -> PasswordHash:
    cost = int(found["cost"])
    if not MIN_COST <= cost <= MAX_COST:
        raise UnusableHash(f"Must be of a cost from {MIN_COST} to {MAX_COST}.")
    hashed = f"$2b${found['rest']}".encode()
    is_ours = found["kind"] == "b" and digest is None

    def matches(password: bytes) -> bool:
        read = digest(password) if digest else password
        return bcrypt.checkpw(read[:MAX_BYTES], hashed) and (len(read) <= MAX_BYTES or not is_ours)

    return PasswordHash(cost, matches, is_ours)


def _read_bcrypt_sha256(found: re.Match[str]) -> PasswordHash:
    return _read_bcrypt(found, lambda password: hashlib.sha256(password).hexdigest().encode())


# argon2


def _read_argon2(found: re.Match[str]) -> PasswordHash:
    memory_kib, passes, lanes = (_number(found[name]) for name in ("m", "t", "p"))
    salt, digest = _decode(found["salt"], 8, _MAX_SALT), _decode(found["digest"])
    if (_plain_b64(salt), _plain_b64(digest)) != (found["salt"], found["digest"]):
        raise UnusableHash("Has a part whose last letter is not as argon2 writes it.")  # nor does libargon2 read it
    _require_memory(memory_kib * 1024)
    if not (passes and 1 <= lanes <= _MAX_LANES and memory_kib >= 8 * lanes):
        raise UnusableHash(f"Must have passes, 1 to {_MAX_LANES} lanes, and 8 KiB of memory or more for each.")
    hashed = found["phc"].encode()
    kind = {"i": argon2.Type.I, "d": argon2.Type.D, "id": argon2.Type.ID}[found["kind"]]

    def matches(password: bytes) -> bool:
        try:
            return argon2.low_level.verify_secret(hashed, password, kind)
        except argon2.exceptions.VerifyMismatchError:
            return False
        except argon2.exceptions.Argon2Error:  # its parameters are within bounds
            raise MemoryError from None

    of_threads = _KIB_OF_LANE * lanes if lanes > 1 else 0
    return PasswordHash(math.log2((memory_kib + of_threads) * passes / _KIB), matches)


# PBKDF2


def _pbkdf2(name: str, iterations: int, salt: bytes, digest: bytes) -> PasswordHash:
    if not iterations:
        raise UnusableHash("Must have iterations.")
    digests = math.ceil(len(digest) / hashlib.new(name).digest_size)

    def matches(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(name, password, salt, iterations, len(digest)), digest)

    return PasswordHash(math.log2(iterations * digests / _ITERATIONS[name]), matches)


def _read_django_pbkdf2(found: re.Match[str]) -> PasswordHash:
    return _pbkdf2(found["name"], _number(found["i"]), found["salt"].encode(), _decode(found["digest"]))


def _read_phc_pbkdf2(found: re.Match[str]) -> PasswordHash:
    salt = _decode(found["salt"], 1, _MAX_SALT)
    return _pbkdf2(found["name"] or "sha1", _number(found["i"]), salt, _decode(found["digest"]))


# scrypt


def _scrypt_key(password: bytes, salt: bytes, parameters: tuple[int, int, int], size: int) -> bytes:
    n, r, p = parameters
    try:
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * MAX_MEMORY_MIB * 2**20, dklen=size)
    except ValueError:  # its parameters are within bounds
        raise MemoryError from None


def _require_scrypt(n: int, r: int, p: int) -> float:
    """Return the cost of scrypt, if such parameters are possible."""
    if not (n > 1 and n.bit_count() == 1 and r and p):
        raise UnusableHash("Must have an N that is a power of two, r and p.")
    if n.bit_length() > 16 * r:  # RFC 7914, 6: N below 2^(16 r). OpenSSL raises at any other
        raise UnusableHash("Must have a smaller N, or a larger r: scrypt knows no such pair.")
    _require_memory(128 * r * max(n, p))
    return math.log2((n + _BLOCKS_AROUND) * r * p / _BLOCKS)


def _scrypt(parameters: tuple[int, int, int], salt: bytes, digest: bytes, *, composes: bool = False) -> PasswordHash:
    cost = _require_scrypt(*parameters)

    def matches(password: bytes) -> bool:
        key = _scrypt_key(_compatible(password) if composes else password, salt, parameters, len(digest))
        return hmac.compare_digest(key, digest)

    return PasswordHash(cost, matches)


def _read_django_scrypt(found: re.Match[str]) -> PasswordHash:
    parameters = _number(found["n"]), _number(found["r"]), _number(found["p"])
    return _scrypt(parameters, found["salt"].encode(), _decode(found["digest"]))


def _read_phc_scrypt(found: re.Match[str]) -> PasswordHash:
    ln, r, p = (_number(found[name]) for name in ("ln", "r", "p"))
    n = 2**ln if ln < 64 else ln  # Kratos writes N itself
    return _scrypt((n, r, p), _decode(found["salt"], 1, _MAX_SALT), _decode(found["digest"]))


def _read_better_auth(found: re.Match[str]) -> PasswordHash:
    return _scrypt((2**14, 16, 1), found["salt"].encode(), bytes.fromhex(found["digest"]), composes=True)


def _read_firebase(found: re.Match[str]) -> PasswordHash:
    """Read what Firebase's scrypt makes: the project's signer key, encrypted by AES under a key from the password."""
    parameters = 2 ** _number(found["ln"], 63), _number(found["r"]), _number(found["p"])
    cost = _require_scrypt(*parameters)
    salt, separator = _decode(found["salt"], 1, _MAX_SALT), _decode(found["separator"] or "", 0, _MAX_SALT)
    signer_key, digest = _decode(found["key"]), _decode(found["digest"])

    def matches(password: bytes) -> bool:
        key = _scrypt_key(password, salt + separator, parameters, 32)
        made = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(signer_key)
        return hmac.compare_digest(made, digest)

    return PasswordHash(cost, matches)


def _compatible(password: bytes) -> bytes:
    text = password.decode()
    return unicodedata.normalize("NFKC", text).encode() if len(text) <= MAX_COMPOSED else password


# Parts of several forms


def _number(digits: str, most: int = 2**32) -> int:
    if len(digits) > len(str(most)) or int(digits) > most:
        raise UnusableHash("Has a number that is too large.")
    return int(digits)


def _decode(text: str, least: int = _LEAST_DIGEST, most: int = _MAX_DIGEST) -> bytes:
    """Decode base64, with or without padding, also as passlib and as URLs have it."""
    plain = text.rstrip("=").translate(str.maketrans(".-_", "++/"))
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise UnusableHash("Has a part that is no base64.") from None
    if not least <= len(raw) <= most:
        raise UnusableHash(f"Has a part of {len(raw)} bytes, where {least} to {most} are taken.")
    return raw


def _plain_b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _require_memory(size: int) -> None:
    if size > MAX_MEMORY_MIB * 2**20:
        raise UnusableHash(f"Takes more than {MAX_MEMORY_MIB} MiB of memory at each login.")


_B64 = "[A-Za-z0-9+/._-]+={0,2}"
_PLAIN = "(?:0|[1-9][0-9]*)"  # libargon2 takes no zeros in front
_SALT, _DIGEST = f"(?P<salt>{_B64})", f"(?P<digest>{_B64})"
_FORMS: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], PasswordHash]]] = [
    (re.compile(form), read)
    for form, read in (
        (rf"(?:bcrypt\$)?{_BCRYPT_TEXT}", _read_bcrypt),
        (rf"bcrypt_sha256\${_BCRYPT_TEXT}", _read_bcrypt_sha256),
        (
            r"(?:argon2)?(?P<phc>\$argon2(?P<kind>id|i|d)\$(?:v=(?:16|19)\$)?"
            rf"m=(?P<m>{_PLAIN}),t=(?P<t>{_PLAIN}),p=(?P<p>{_PLAIN})\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<digest>[A-Za-z0-9+/]+))",
            _read_argon2,
        ),
        (
            rf"pbkdf2_(?P<name>sha1|sha256|sha512)\$(?P<i>[0-9]+)\$(?P<salt>[^$]{{1,256}})\${_DIGEST}",
            _read_django_pbkdf2,
        ),
        (
            rf"\$pbkdf2(?:-(?P<name>sha1|sha256|sha512))?\$(?:i=)?(?P<i>[0-9]+)(?:,l=[0-9]+)?\${_SALT}\${_DIGEST}",
            _read_phc_pbkdf2,
        ),
        (
            rf"scrypt\$(?P<n>[0-9]+)\$(?P<salt>[^$]{{1,256}})\$(?P<r>[0-9]+)\$(?P<p>[0-9]+)\${_DIGEST}",
            _read_django_scrypt,
        ),
        (rf"\$scrypt\$ln=(?P<ln>[0-9]+),r=(?P<r>[0-9]+),p=(?P<p>[0-9]+)\${_SALT}\${_DIGEST}", _read_phc_scrypt),
        (r"(?P<salt>[0-9a-f]{32}):(?P<digest>[0-9a-f]{128})", _read_better_auth),
        (
            rf"\$firescrypt\$ln=(?P<ln>[0-9]+),r=(?P<r>[0-9]+),p=(?P<p>[0-9]+)\${_SALT}\${_DIGEST}"
            rf"\$(?P<separator>(?:{_B64})?)\$(?P<key>{_B64})",
            _read_firebase,
        ),
        (
            r"\$fbscrypt\$v=1,n=(?P<ln>[0-9]+),r=(?P<r>[0-9]+),p=(?P<p>[0-9]+)"
            rf"(?:,ss=(?P<separator>{_B64}))?,sk=(?P<key>{_B64})\${_SALT}\${_DIGEST}",
            _read_firebase,
        ),
    )
]
