"""Passwords and the queue for their hashes."""

import subprocess
import sys
import threading

import pytest

from app.errors import Unavailable
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


@pytest.mark.parametrize("password", ["password", "PASSWORD", "12345678", "qwertyuiop", "iloveyou"])
def test_the_most_common_are_known_in_whatever_case(password):
    assert is_common(password)
    assert not is_common("correct horse battery")


def test_whoever_waits_too_long_hears_it(passwords, monkeypatch):
    """A turn that does not come in time is given up, and the work is not done later either."""
    monkeypatch.setattr("app.rules.passwords._LONGEST_WAIT_S", 0.01)
    release = threading.Event()
    holding = threading.Thread(target=passwords._run_in_turn, args=(lambda: release.wait(10),))
    holding.start()
    done = []
    with pytest.raises(Unavailable):
        passwords._run_in_turn(lambda: done.append("late"))
    release.set()
    holding.join(10)
    assert passwords._run_in_turn(lambda: "next") == "next"
    assert done == []


def test_whoever_finds_the_queue_full_hears_it_at_once(passwords):
    """One runs, two wait, the rest are refused; when it is over, there is room again."""
    release, running = threading.Event(), threading.Event()

    def hold():
        running.set()
        release.wait(10)

    waiting = [threading.Thread(target=passwords._run_in_turn, args=(hold,)) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert running.wait(10)
    while passwords._places._value:  # until the others have taken their places in the queue
        pass
    with pytest.raises(Unavailable):
        passwords.hash("correct horse")
    release.set()
    for thread in waiting:
        thread.join(10)
    assert passwords.hash("correct horse")


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
