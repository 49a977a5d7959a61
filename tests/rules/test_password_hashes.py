"""The forms of password hashes: those that the services themselves made match their password, and no other."""

import base64
import hashlib
import subprocess
import sys

import bcrypt
import pytest

from app.rules.password_hashes import UnusableHash, read_hash, to_keep

PASSWORD = "correct horse battery"
_FIREBASE = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
_GOTRUE = "ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw=="
_KRATOS = "YE0dO4bwD4JnJafh6lZZfkp1MtKzuKAXQcDCJNJNyeCHairWHKENOkbh3dzwaCdizzOspwr/FITUVlnOAwPKyw=="

# Each was made by the service itself, or is one of its own test vectors.
MADE = {
    "Django 5.2.19, PBKDF2": (
        PASSWORD,
        "pbkdf2_sha256$1000000$m2leZO6aosbz0wNOnn6xiX$b6q5fCN3XtmrB0qmheeGxRSkT7znafn6xnDD5knzAGE=",
    ),
    "Django 5.2.19, PBKDF2 of SHA-1": (
        PASSWORD,
        "pbkdf2_sha1$1000000$0yEimQ1dGHCFlG1FAo8wsg$3DVPA775igFYzPWi45MHEUoHs5Q=",
    ),
    "Django 5.2.19, argon2": (
        PASSWORD,
        "argon2$argon2id$v=19$m=102400,t=2,p=8$ZnZoYzBIZm1tSVZBRVIwS3p2S3hvWA"
        "$PWES188t1xkPReth5HhtkrmbdAixgrliW2Yefzcee9Q",
    ),
    "Django 5.2.19, bcrypt of SHA-256": (
        PASSWORD,
        "bcrypt_sha256$$2b$12$dhGGRPexzaMMCJorxsv1nOBalv9DLdkTC2yZmsq0zMjJVPp8fRD8u",
    ),
    "Django 5.2.19, bcrypt of SHA-256, a long password": (
        "x" * 80 + "ä",
        "bcrypt_sha256$$2b$12$B6lvHlLajU89MFUPN5J5C.tG8X5TWi5zDiq8NvJKstf8WY/62.3tC",
    ),
    "Django 5.2.19, bcrypt": (
        PASSWORD,
        "bcrypt$$2b$12$IXdxyOHFP.y1DzJA6KgdLO.v5W6S7PD9uxN4/kLOlUS6.ZxD87CRq",
    ),
    "Django 5.2.19, scrypt": (
        PASSWORD,
        "scrypt$16384$soPS5nnyRmZAjGOURPn226$8$5"
        "$iKQhzOFt938twyHEm/OYrBjy8gKusNAy11sqwgbXrdzLSrkTWzqL1bbOlkNPMI0EKQHzhMy7eVJ5/ZMaHzDsFA==",
    ),
    "argon2-cffi 25.1.0, argon2i": (
        PASSWORD,
        "$argon2i$v=19$m=8192,t=2,p=1$RpE4nkSZ5StiOMIBm9Al8w$n6tZh8QbTQ25VDdAa1XIS30ZxWVnMHeO2cnjZdb0nhc",
    ),
    "argon2-cffi 25.1.0, argon2d": (
        PASSWORD,
        "$argon2d$v=19$m=8192,t=2,p=1$sHtGYQNqqJSv8npuxQu8Tw$FMiGiJgglLlMFWE8ToSrLN54rjcT1LlfuKXnbO1W18I",
    ),
    "argon2-cffi 25.1.0, argon2id": (
        PASSWORD,
        "$argon2id$v=19$m=8192,t=2,p=1$YfP/BG1tIKOBrkBGMOW68w$4f2FDYdLm8rbnxaRb6PyK0X/FvWI6QYINIW5Q4JlvsU",
    ),
    "better-auth 1.7.25": (
        PASSWORD,
        "e0a5b074eaffcc80ba34707c02a3ec6a:e2e6facedaeee6581fff8f26ccc2db95225f6554c881c01e9909bfc58a5c1961"
        "befd44cd7db9f69f223977913ec557054df548263d57976600a2c4ef0f870ed9",
    ),
    "better-auth 1.7.25, a password that it brings to NFKC": (
        "ﬁne A\u030angstro\u0308m ２０２６",
        "4dedc9dbb7d946241df439dcc8c55a6d:e44e8fe3a904c7335e193872458a1497c2944c9249eb1d83194ee927e499d13d"
        "cb9c9bd7c235b0e97722e1b89d486d3104984c61284b0bd4049b87b55383b5ae",
    ),
    "Firebase, the vector of its repository": (
        "user1password",
        "$firescrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+V"
        f"HjoZilo78198JAdRuid5lQ==$Bw==${_FIREBASE}",
    ),
    "firebase-scrypt 2.2.0, as Firebase exports it": (
        PASSWORD,
        "$firescrypt$ln=14,r=8,p=1$42xEC-ixf3L2lw==$RJkBVVJmq2D8z_P8tVAJsfbxFyFigzGZ_ZYbhXRpcO8eM8P7B9iMegRBywYXvJPg"
        f"xpf783rPSVXOZ0CE5x-Q_g==$Bw==${_FIREBASE}",
    ),
    "Kratos, of Firebase": (
        "8x4WjoDbSxJZdR",
        "$firescrypt$ln=14,r=8,p=1$sPtDhWcd1MfdAw==$xbSou7FOl6mChCyzpCPIQ7tku7nsQMTFtyOZSXXd7tjBa4NtimOx7v42Gv2SfzPQ"
        f"u1oxM2/k4SsbOu73wlKe1A==$Bw==${_KRATOS}",
    ),
    "Zitadel's passwap, scrypt": (
        "password",
        "$scrypt$ln=16,r=8,p=1$cmFuZG9tc2FsdGlzaGFyZA$Rh+NnJNo1I6nRwaNqbDm6kmADswD1+7FTKZ7Ln9D8nQ",
    ),
    "GoTrue, of Firebase": (
        "mytestpassword",
        f"$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={_GOTRUE}$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2"
        "+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
    ),
}
# PHC strings and passlib's, of what hashlib and argon2-cffi compute: see the test.
_SALT, _SALT_B64 = b"saltsaltsaltsalt", "c2FsdHNhbHRzYWx0c2FsdA"


@pytest.mark.parametrize("by", MADE)
def test_a_hash_of_another_service_matches_its_password_alone(by):
    password, text = MADE[by]
    read = read_hash(text)
    assert read.matches(password.encode())
    assert not read.matches(password.encode() + b"!")
    assert not read.matches(b"")
    assert not read_hash(to_keep(text)).is_ours
    assert read_hash(to_keep(text)).matches(password.encode())


@pytest.mark.parametrize("kind", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("form", ["$pbkdf2-{}$i=1000,l=32${}${}", "$pbkdf2-{}$i=1000${}${}", "$pbkdf2-{}$1000${}${}"])
def test_pbkdf2_in_the_forms_of_phc_kratos_and_passlib(kind, form):
    raw = hashlib.pbkdf2_hmac(kind, PASSWORD.encode(), _SALT, 1000, 32)
    for digest in (b64(raw), b64(raw) + "=", b64(raw).replace("+", ".")):
        read = read_hash(form.format(kind, _SALT_B64, digest))
        assert (read.matches(PASSWORD.encode()), read.matches(b"another")) == (True, False)


@pytest.mark.parametrize("ln", ["10", "1024"])
def test_scrypt_in_the_forms_of_phc_and_kratos(ln):
    """Kratos writes N itself where PHC has its logarithm."""
    raw = hashlib.scrypt(PASSWORD.encode(), salt=_SALT, n=1024, r=8, p=1, dklen=32)
    read = read_hash(f"$scrypt$ln={ln},r=8,p=1${_SALT_B64}${b64(raw)}")
    assert (read.matches(PASSWORD.encode()), read.matches(b"another")) == (True, False)


def b64(raw):
    return base64.b64encode(raw).decode().rstrip("=")


_D = "A" * 43  # 32 bytes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Must be a hash of"),
        ("hunter22", "Must be a hash of"),
        ("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", "Must be a hash of"),
        ("$6$rounds=5000$salt$hash", "Must be a hash of"),
        ("{bcrypt}$2b$12$" + "." * 53, "Must be a hash of"),
        ("$2x$12$" + "." * 53, "Must be a hash of"),
        ("$2b$12$" + "." * 53 + "\n", "Must be a hash of"),
        ("$2b$03$" + "." * 53, "cost from 4 to 16"),
        ("$2b$17$" + "." * 53, "cost from 4 to 16"),
        (f"$argon2id$v=19$m=2097152,t=1,p=4${_SALT_B64}${_D}", "more than 256 MiB"),
        (f"$argon2id$v=19$m=262144,t=99,p=4${_SALT_B64}${_D}", "longer than bcrypt of cost 16"),
        (f"$argon2id$v=19$m=128,t=30000,p=16${_SALT_B64}${_D}", "longer than bcrypt of cost 16"),  # two million threads
        (f"$argon2id$v=19$m=65536,t=0,p=4${_SALT_B64}${_D}", "Must have passes"),
        (f"$argon2id$v=19$m=65536,t=3,p=99${_SALT_B64}${_D}", "Must have passes"),
        (f"$argon2id$v=19$m=8,t=3,p=4${_SALT_B64}${_D}", "Must have passes"),
        (f"$argon2id$v=19$m={'9' * 400},t=3,p=4${_SALT_B64}${_D}", "number that is too large"),
        (f"$argon2id$v=19$m=65536,t=3,p=4$c2FsdA${_D}", "part of 4 bytes"),
        (f"$argon2id$v=19$m=65536,t=3,p=4${_SALT_B64}$AAAA", "part of 3 bytes"),
        (f"$argon2id$v=19$m=65536,t=3,p=4${_SALT_B64}${'A' * 41}", "no base64"),
        (f"$argon2id$v=19$m=065536,t=3,p=4${_SALT_B64}${_D}", "Must be a hash of"),
        (f"$argon2id$v=19$m=65536,t=03,p=4${_SALT_B64}${_D}", "Must be a hash of"),
        (f"$argon2id$v=19$m=65536,t=3,p=04${_SALT_B64}${_D}", "Must be a hash of"),
        (f"$argon2id$v=19$m=65536,t=3,p=4${_SALT_B64[:-1]}B${_D}", "last letter"),
        (f"$argon2id$v=19$m=65536,t=3,p=4${_SALT_B64}${_D[:-1]}B", "last letter"),
        (f"$argon2id$v=20$m=65536,t=3,p=4${_SALT_B64}${_D}", "Must be a hash of"),
        ("pbkdf2_sha256$0$salt$" + _D, "Must have iterations"),
        ("pbkdf2_sha256$4000000000$salt$" + _D, "longer than bcrypt of cost 16"),
        ("pbkdf2_sha256$1000$salt$AA==", "part of 1 bytes"),
        ("pbkdf2_md5$1000$salt$" + _D, "Must be a hash of"),
        ("scrypt$1000$salt$8$1$" + _D, "power of two"),
        ("scrypt$1$salt$8$1$" + _D, "power of two"),
        ("scrypt$16384$salt$0$1$" + _D, "power of two"),
        ("scrypt$1048576$salt$8$1$" + _D, "more than 256 MiB"),
        ("scrypt$16384$salt$8$9999$" + _D, "longer than bcrypt of cost 16"),
        ("scrypt$65536$salt$1$1$" + _D, "scrypt knows no such pair"),
        (f"$scrypt$ln=16,r=1,p=1${_SALT_B64}${_D}", "scrypt knows no such pair"),
        (f"$firescrypt$ln=17,r=1,p=1${_SALT_B64}${_D}$Bw==${_D}", "scrypt knows no such pair"),
        (f"$scrypt$ln=1,r=1,p=2000000${_SALT_B64}${_D}", "longer than bcrypt of cost 16"),
        (f"$scrypt$ln=1,r=500000,p=1${_SALT_B64}${_D}", "longer than bcrypt of cost 16"),
        (f"$scrypt$ln=31,r=8,p=1${_SALT_B64}${_D}", "more than 256 MiB"),
        (f"$firescrypt$ln=31,r=8,p=1${_SALT_B64}${_D}$Bw==${_D}", "more than 256 MiB"),
        (f"$firescrypt$ln=999,r=8,p=1${_SALT_B64}${_D}$Bw==${_D}", "number that is too large"),
        (f"$firescrypt$ln=14,r=4294967296,p=1${_SALT_B64}${_D}$Bw==${_D}", "more than 256 MiB"),
    ],
)
def test_what_cannot_be_checked_or_asks_for_too_much_is_refused_by_a_sentence(text, said):
    with pytest.raises(UnusableHash, match=said):
        read_hash(text)


@pytest.mark.parametrize(
    "text",
    [
        f"$scrypt$ln=15,r=1,p=1${_SALT_B64}${_D}",
        f"$scrypt$ln=1,r=1,p=9${_SALT_B64}${_D}",
        f"scrypt$2$s$9$1${_D}",
        f"$firescrypt$ln=1,r=1,p=1${_SALT_B64}${_D}$$" + "A" * 22,
        f"$fbscrypt$v=1,n=1,r=1,p=1,sk={'A' * 171}${_SALT_B64}${_D}",
        f"$argon2d$m=8,t=1,p=1${'A' * 11}${'A' * 22}",
        f"$argon2i$v=16$m=128,t=1,p=16${'A' * 342}${'A' * 171}",
        f"pbkdf2_sha512$1$\0\n ä${'A' * 171}",
        f"$pbkdf2$1$AA${'-_' * 11}==",
    ],
)
def test_what_is_taken_at_the_edges_can_be_checked(text):
    """A hash at which its library raises would be found out by its user alone, at each login."""
    assert not read_hash(text).matches(PASSWORD.encode())


def test_work_is_told_in_costs_of_bcrypt():
    """Within a factor of two or so, by which the queue lets networks take turns."""
    costs = {by.partition(", ")[0]: read_hash(text).cost for by, (_, text) in MADE.items()}
    assert 9 < costs["better-auth 1.7.25"] < 12
    assert 11 < read_hash(MADE["Django 5.2.19, PBKDF2"][1]).cost < 14
    assert 10 < read_hash(MADE["Django 5.2.19, argon2"][1]).cost < 13
    doubled = read_hash(MADE["Django 5.2.19, PBKDF2"][1].replace("$1000000$", "$2000000$")).cost
    assert doubled == pytest.approx(read_hash(MADE["Django 5.2.19, PBKDF2"][1]).cost + 1)


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_bcrypt_of_another_service_is_kept_apart_from_ours(kind):
    """Other services cut a password after 72 bytes; ours refuses a longer one."""
    ours = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    text = f"${kind}${ours.split('$', 2)[2]}"
    assert read_hash(ours).is_ours
    assert to_keep(text).startswith("$2y$")
    assert to_keep(f"bcrypt${text}") == to_keep(text)
    for length, by_ours in ((71, False), (72, True), (73, False)):
        assert read_hash(ours).matches(b"x" * length) is by_ours
        assert read_hash(to_keep(text)).matches(b"x" * length) is (length >= 72)


def test_where_memory_runs_out_the_answer_is_a_clear_no():
    """503 for that login alone, which gateways send elsewhere; never an error of the library's own."""
    script = (
        "import resource\n"
        "from app.errors import Unavailable\n"
        "from app.rules.passwords import Passwords\n"
        "passwords = Passwords(4, 1, 2)\n"
        f"salt, digest = {_SALT_B64!r}, {_D!r}\n"
        "hashes = [f'$argon2id$v=19$m=262144,t=1,p=1${salt}${digest}', f'$scrypt$ln=18,r=8,p=1${salt}${digest}',\n"
        "          f'$firescrypt$ln=18,r=8,p=1${salt}${digest}$Bw==${digest}']\n"
        "passwords.verify('x', hashes[0][:9] + '$v=19$m=8,t=1,p=1$' + salt + '$' + digest)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)\n"
        "for hashed in hashes:\n"
        "    try:\n"
        "        passwords.verify('x', hashed)\n"
        "    except Unavailable:\n"
        "        print('unavailable', flush=True)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "unavailable\n" * 3
    assert ran.stderr.count("no memory for the hash of a password") == 3
