"""Passwords: which are taken, and their hashes."""

import subprocess
import sys

import pytest

from app.rules.passwords import Passwords, is_common


@pytest.fixture
def passwords():
    return Passwords(rounds=4, concurrency=1, queue=2)


def test_a_hash_verifies_its_password_alone(passwords):
    hashed = passwords.hash("correct horse")
    assert hashed.startswith("$2b$04$")
    assert passwords.verify("correct horse", hashed)
    assert not passwords.verify("correct horsE", hashed)
    assert not passwords.verify("correct horse", None)


def test_what_bcrypt_would_cut_is_no_match(passwords):
    """bcrypt reads 72 bytes: a longer password must not pass for its beginning."""
    hashed = passwords.hash("x" * 72)
    assert passwords.verify("x" * 72, hashed)
    assert not passwords.verify("x" * 73, hashed)


def test_a_hash_of_a_lower_cost_is_outdated(passwords):
    hashed = passwords.hash("correct horse")
    assert not passwords.is_outdated(hashed)
    assert Passwords(rounds=5, concurrency=1, queue=0).is_outdated(hashed)


def test_a_hash_counts_for_the_network_that_asks(app, new_device):
    """So the networks of a flood wait for themselves; and a cost is what it is beside the usual one."""
    queue = app.extensions["keyrack"].accounts._passwords._queue
    body = {"login": "nobody@example.com", "password": "wrong password"}
    new_device().post("/auth/login", body)
    assert queue._done.of("127.0.0.0/24") == queue._asked.of("127.0.0.0/24") == 1


def test_a_hash_of_a_high_cost_waits_apart(passwords):
    """It counts as the usual ones that it takes as long as."""
    seen = []
    passwords._queue.run = lambda work, network, cost, is_long: seen.append((cost, is_long))
    for rounds in (4, 5, 6, 7, 12):
        passwords.verify("correct horse", f"$2b${rounds:02}${'.' * 53}")
    assert seen == [(1, False), (2, False), (4, False), (8, True), (256, True)]


@pytest.mark.parametrize("password", ["password", "PASSWORD", "12345678", "qwertyuiop", "iloveyou"])
def test_the_most_common_are_known_in_whatever_case(password):
    assert is_common(password)
    assert not is_common("correct horse battery")


def test_a_process_that_ends_takes_no_more_work():
    """As the threads of one that was told to stop find it: a clear no, which gateways send elsewhere."""
    script = (
        "import threading\n"
        "from app.errors import Unavailable\n"
        "from app.rules.passwords import Passwords\n"
        "passwords = Passwords(4, 1, 2)\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    try:\n"
        "        passwords.hash('correct horse')\n"
        "    except Unavailable:\n"
        "        print('unavailable', flush=True)\n"
        "threading.Thread(target=late).start()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert (ran.stdout, ran.stderr) == ("unavailable\n", "")
