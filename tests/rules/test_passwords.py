"""Passwords: which are taken, and their hashes."""

import hashlib
import subprocess
import sys

import bcrypt
import pytest

from app.form_errors import InvalidForm
from app.rules.breached_passwords import BreachedPasswords
from app.rules.password_hashes import to_keep
from app.rules.passwords import FAULTS, Passwords, compose, fault_of, problem_with, words_of


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


@pytest.mark.parametrize("typed", ["x" * 73, "ä" * 37, "ж" * 40, "x" * 5000])
def test_a_hash_that_another_service_made_of_its_first_72_bytes_matches_a_longer_one(passwords, typed):
    """What differs within these does not. How many hashes are computed is told in a test of its own."""
    brought = to_keep(bcrypt.hashpw(typed.encode()[:72], bcrypt.gensalt(4)).decode())
    check = passwords.check(typed, brought)
    assert (check.matches, check.is_brought) == (True, True)
    assert not passwords.verify("y" + typed[1:], brought)
    assert not passwords.verify(typed, brought.replace("$2y$", "$2b$"))


def test_a_hash_of_a_lower_cost_is_outdated(passwords):
    hashed = passwords.hash("correct horse")
    assert not passwords.check("correct horse", hashed).is_outdated
    assert Passwords(rounds=5, concurrency=1, queue=0).check("correct horse", hashed).is_outdated


COMPOSED = "ged\u00e4chtnis"
DECOMPOSED = "geda\u0308chtnis"


@pytest.mark.parametrize("set_as", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED])
def test_a_password_is_one_however_a_system_sends_its_umlauts(passwords, set_as, typed):
    check = passwords.check(typed, passwords.hash(set_as))
    assert check.matches
    assert not check.is_outdated


def test_a_hash_of_the_other_form_matches_what_it_was_made_of(passwords):
    """Other services hash what was sent. It is outdated, so the next login makes it one of the composed form."""
    foreign = bcrypt.hashpw(DECOMPOSED.encode(), bcrypt.gensalt(4)).decode()
    check = passwords.check(DECOMPOSED, foreign)
    assert (check.matches, check.is_outdated) == (True, True)
    assert not passwords.verify(COMPOSED, foreign)
    assert not passwords.verify("geda\u0308chtnix", foreign)


def test_the_work_depends_on_what_was_typed_alone(passwords, monkeypatch):
    """Not on whether there is an account, nor on which form matches: the time tells nothing."""
    computed = []
    check = bcrypt.checkpw
    monkeypatch.setattr("bcrypt.checkpw", lambda raw, hashed: computed.append(1) or check(raw, hashed))
    hashes = [
        None,
        passwords.hash("another password"),
        passwords.hash(COMPOSED),
        bcrypt.hashpw(DECOMPOSED.encode(), bcrypt.gensalt(4)).decode(),
    ]
    for typed, expected in ((COMPOSED, 1), (DECOMPOSED, 2), ("plain text", 1), ("a\u0308" * 40, 2), ("x" * 500, 1)):
        for hashed in hashes:
            computed.clear()
            passwords.verify(typed, hashed)
            assert len(computed) == expected, (typed, hashed)


def test_a_password_is_counted_composed(passwords):
    """36 umlauts are 72 bytes, in whatever form they come; 40 are too many."""
    assert passwords.verify("a\u0308" * 36, passwords.hash("\u00e4" * 36))
    assert not passwords.verify("a\u0308" * 40, passwords.hash("\u00e4" * 36))


def test_what_is_far_too_long_is_not_composed():
    """Marks in the wrong order take quadratic time to put right."""
    assert compose("a\u0315\u0300" * 20_000) == "a\u0315\u0300" * 20_000


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
    assert problem_with(password).startswith("PASSWORD_BAD_PASSWORD: Password is too weak")
    assert problem_with("correct horse battery") is None


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


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("alice.smith99", "holds_name"),
        ("I am ALICE.SMITH", "holds_name"),
        ("x-wonderland-x", "holds_name"),
        ("straße 17 x", "holds_name"),
        ("goldsmith & son", "holds_name"),
        ("anna was here", "holds_name"),
        ("I use hooli a lot", "holds_name"),
        ("Alice.Smith@Hooli.info", "is_name"),
        (" ALICE.SMITH", "is_name"),
        ("wonderland", "is_name"),
        ("information 1999", None),
    ],
)
def test_a_password_may_not_be_or_hold_what_its_user_is_called(passwords, password, fault):
    """Nor a part of it. Each has words of its own."""
    names = ("alice.smith@hooli.info", "Wonderland", "Strasse", "Anna-Bo Ng")
    assert fault_of(password, *names) == fault
    assert problem_with(password, *names) == (FAULTS[fault] if fault else None)
    assert problem_with(password, None, "") is None
    if fault:
        with pytest.raises(InvalidForm):
            passwords.require_fit("password", password, *names)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zoë_müller-lüdenscheidt", {"zoë_müller-lüdenscheidt", "müller", "lüdenscheidt"}),
        ("a+news@x.example", {"a+news@x.example", "a+news", "news"}),
        ("Ada   Lovelace", {"ada   lovelace", "lovelace"}),
        ("bob@mail.big-corp.co.uk", {"bob@mail.big-corp.co.uk", "mail", "corp"}),
        ("@@..__--", {"@@..__--"}),
    ],
)
def test_names_have_parts(name, words):
    """Between points, spaces, dashes and the like; parts of three letters are within many words."""
    assert words_of(name) == words


def test_a_password_of_a_data_leak_has_a_message_of_its_own(tmp_path):
    """After the other faults, which need no look into the file."""
    path = tmp_path / "breached.txt"
    path.write_text(hashlib.sha1(b"correct horse battery").hexdigest() + ":7\n", encoding="ascii")
    passwords = Passwords(4, 1, 2, BreachedPasswords(path))
    assert passwords.fault_of("correct horse battery") == "breached"
    assert passwords.fault_of("correct horse battery", "horse") == "holds_name"
    assert passwords.fault_of("correct horse batterY") is None
    with pytest.raises(InvalidForm) as refusal:
        passwords.require_fit("password", "correct horse battery")
    assert "data leak" in refusal.value.plainly()


@pytest.mark.parametrize("names", [("al@example.com", "Bob", "Eve"), (None, None, None), ("", " ", "@")])
def test_short_names_are_within_many_words(names):
    assert problem_with("bobsleighs for evenings", *names) is None


def test_names_are_compared_composed():
    assert problem_with("jose\u0301 likes it", None, "Jos\u00e9") is not None
