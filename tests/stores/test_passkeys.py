"""Passkeys in Redis: they change with their user in one step, count once, and go with what they belong to."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.stores.factors import JudgedAnswer
from app.stores.keys import unprefixed as keys
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.session_records import Client, NewSession
from app.stores.sessions import CallerGone
from app.stores.tickets import Ticket
from app.stores.users import Change, PasskeyChangeRefused

SESSION, OTHER, NEW = "A" * 43 + "=", "B" * 43 + "=", "C" * 43 + "="
PHONE = Passkey("cred-1", "11", "Phone", b"\x01key", 0, ("internal", "hybrid"), True, 7)
KEY = Passkey("cred-2", "12", 'Key "é" \u2603', b"\x02" * 77, 3, (), None, 8)
TOTP = Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=["x"])


@pytest.fixture(autouse=True)
def alice(users, sessions, clock):
    users.create(
        "1", "a@x.example", email="a@x.example", username="a", global_name=None, password_hash="h", created_at=7
    )
    for id_hash in (SESSION, OTHER):
        sessions.open("1", id_hash, int(clock()), Client(), "1", 50)


def answer_of(passkey, count):
    return JudgedAnswer("webauthn", {"cred_id": passkey.cred_id, "id": passkey.id, "sign_count": count})


def opening():
    return Change(credentials_version="2", same_credentials=True, opens=NewSession(NEW, 9, Client(), 50))


@pytest.fixture
def events(redis):
    """What the channel says about passkeys."""
    listener = redis.pubsub()
    listener.subscribe(keys.channel)
    assert listener.get_message(timeout=5)["type"] == "subscribe"

    def heard():
        found = iter(lambda: listener.get_message(timeout=0.3), None)
        said = [json.loads(message["data"]) for message in found]
        return [(one["type"], one["user_id"], one["authenticator"]) for one in said if "authenticator" in one]

    yield heard
    listener.close()


def test_passkeys_are_kept_as_they_were_made(users):
    for passkey in (KEY, PHONE):
        users.change("1", Change(add_passkey=passkey))
    assert users.get("1").passkeys == (PHONE, KEY)
    assert users.get("1").factors == {"webauthn"}


def test_a_passkey_of_es256_takes_at_most_600_bytes(users, redis):
    """The credential id, the key, the longest name in letters of four bytes, and all else that is kept."""
    transports = ("internal", "hybrid")
    longest = Passkey("c" * 43, "1" * 19, "\U0001f511" * 32, b"k" * 77, 2**32 - 1, transports, True, 1764525000)
    users.change("1", Change(add_passkey=replace(longest, last_used_at=1764525000.123456)))
    [(name, value)] = redis.hgetall(keys.passkeys("1")).items()
    assert len(name.encode()) + len(value.encode()) <= 600


def test_adding_renaming_and_removing_are_told_once_each(users, events):
    users.change("1", Change(add_passkey=KEY))
    users.change("1", Change(same_credentials=True, rename_passkey=("cred-2", "Büro")))
    assert users.get("1").passkeys == (replace(KEY, name="Büro"),)
    users.change("1", Change(remove_passkey="cred-2"))
    users.change("1", Change(add_passkey=PHONE))
    users.change("1", Change(forget=["webauthn"]))
    named = [("CREATE", KEY, KEY.name), ("UPDATE", KEY, "Büro"), ("DELETE", KEY, "Büro")]
    named += [("CREATE", PHONE, "Phone"), ("DELETE", PHONE, "Phone")]
    assert events() == [
        (f"AUTHENTICATOR_{act}", "1", {"id": passkey.id, "type": 1, "name": name}) for act, passkey, name in named
    ]


def test_adding_and_removing_change_the_secrets_and_renaming_does_not(users):
    """A proof and a reset that were under way are good no more."""
    versions = []
    for change in (
        Change(add_passkey=PHONE),
        Change(same_credentials=True, rename_passkey=("cred-1", "x")),
        Change(remove_passkey="cred-1"),
    ):
        users.change("1", change)
        versions.append((users.get("1").secrets_version, users.get("1").credentials_version))
    assert versions == [("1", "2"), ("1", "2"), ("2", "3")]
    assert users.get("1").secrets_changed_at > 0


@pytest.mark.parametrize("first", [TOTP, Change(add_passkey=KEY, backup_codes=["x"])], ids=["totp", "passkey"])
def test_backup_codes_go_with_the_last_factor_whichever_that_is(users, first):
    users.change("1", first)
    users.change("1", Change(add_passkey=PHONE))
    users.change("1", Change(forget=["totp"]) if first is TOTP else Change(remove_passkey="cred-2"))
    assert (users.get("1").factors, users.get("1").backup_codes_left) == ({"webauthn"}, 1)
    users.change("1", Change(remove_passkey="cred-1"))
    assert (users.get("1").factors, users.get("1").backup_codes_left) == (set(), 0)


def test_codes_stay_while_totp_stays(users):
    users.change("1", TOTP)
    users.change("1", Change(add_passkey=PHONE))
    users.change("1", Change(remove_passkey="cred-1"))
    assert (users.get("1").factors, users.get("1").backup_codes_left) == ({"totp"}, 1)


def test_the_same_passkey_twice_and_an_eleventh_are_refused(users):
    """Also of eight requests that add the last one at once."""
    users.change("1", Change(add_passkey=PHONE))
    with pytest.raises(PasskeyChangeRefused) as refused:
        users.change("1", Change(add_passkey=replace(PHONE, id="99", public_key=b"another")))
    assert refused.value.reason == "is_there"
    assert users.get("1").passkeys == (PHONE,)
    for number in range(MAX_PASSKEYS - 2):
        users.change("1", Change(add_passkey=replace(KEY, cred_id=f"c{number}")))

    def add(number):
        try:
            users.change("1", Change(add_passkey=replace(KEY, cred_id=f"last{number}")))
        except PasskeyChangeRefused as refused:
            return refused.reason
        return "added"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(add, range(8)))
    assert sorted(outcomes) == ["added"] + ["too_many"] * 7
    assert len(users.get("1").passkeys) == MAX_PASSKEYS


@pytest.mark.parametrize("change", [Change(remove_passkey="cred-9"), Change(rename_passkey=("cred-9", "x"))])
def test_what_is_not_there_is_neither_removed_nor_renamed(users, change):
    users.change("1", Change(add_passkey=PHONE))
    assert users.change("1", change) is None
    assert users.get("1").passkeys == (PHONE,)


def test_a_session_that_is_over_adds_nothing(users, sessions):
    sessions.end("1", [OTHER], "revoked")
    with pytest.raises(CallerGone):
        users.change("1", Change(caller=OTHER, add_passkey=PHONE))
    assert users.get("1").passkeys == ()


@pytest.mark.parametrize(
    ("kept", "counts", "verdicts"),
    [
        (0, [0, 0, 0], ["right"] * 3),
        (0, [1, 1, 2], ["right", "stale_counter", "right"]),
        (5, [5, 4, 0, 6, 2**32 - 1], ["stale_counter"] * 3 + ["right"] * 2),
        (0, [7, 0], ["right", "stale_counter"]),
    ],
)
def test_a_counter_only_grows_or_is_0_for_ever(users, tickets, redis, kept, counts, verdicts):
    """It counts where the answer was judged, so that of two with one counter a single one is right."""
    users.change("1", Change(add_passkey=replace(PHONE, sign_count=kept)))
    seen = []
    for count in counts:
        tickets.open("1", "t", Ticket("step_up", SESSION, "1", ""), 300)
        seen.append(tickets.redeem_step_up("1", "t", answer_of(PHONE, count), SESSION, "proof", 300))
        assert (redis.exists(keys.proof("1", "proof")) == 1) == (seen[-1] == "right")
        redis.delete(keys.proof("1", "proof"))
    assert seen == verdicts
    [passkey] = users.get("1").passkeys
    assert passkey.sign_count == max(kept, *counts)
    assert (passkey.last_used_at is None) == ("right" not in seen)
    assert replace(passkey, sign_count=0, last_used_at=None) == PHONE


def test_a_counter_that_does_not_grow_is_a_wrong_answer_of_its_ticket(users, tickets):
    users.change("1", Change(add_passkey=replace(PHONE, sign_count=5)))
    tickets.open("1", "t", Ticket("step_up", SESSION, "1", ""), 300)
    seen = [tickets.redeem_step_up("1", "t", answer_of(PHONE, 5), SESSION, "proof", 300) for _ in range(6)]
    assert seen == ["stale_counter"] * 5 + ["unknown"]


def test_the_same_credential_id_with_another_key_is_another_passkey(users, tickets):
    """Its answer was judged by the key that the passkey had."""
    users.change("1", Change(add_passkey=PHONE))
    users.change("1", Change(remove_passkey="cred-1"))
    users.change("1", Change(add_passkey=replace(PHONE, id="99", public_key=b"another")))
    tickets.open("1", "t", Ticket("step_up", SESSION, "1", ""), 300)
    assert tickets.redeem_step_up("1", "t", answer_of(PHONE, 1), SESSION, "proof", 300) == "wrong"


def test_a_sign_in_judges_and_opens_in_one_step(users, tickets, sessions):
    users.change("1", Change(add_passkey=replace(PHONE, sign_count=1)))
    assert tickets.sign_in_by_passkey("1", answer_of(PHONE, 1), opening()) == "stale_counter"
    assert tickets.sign_in_by_passkey("1", answer_of(KEY, 9), opening()) == "wrong"
    assert tickets.sign_in_by_passkey("1", JudgedAnswer("password", {}), opening()) == "wrong"
    assert sessions.find([("1", NEW)]) == [None]
    assert tickets.sign_in_by_passkey("1", answer_of(PHONE, 2), opening()) == "right"
    assert sessions.find([("1", NEW)]) != [None]


def test_a_sign_in_that_may_not_open_changes_no_counter(users, tickets):
    users.change("1", Change(add_passkey=PHONE))
    for undone in (Change(set={"disabled": "1"}), Change(unset=["disabled"])):
        users.change("1", undone)
        assert tickets.sign_in_by_passkey("1", answer_of(PHONE, 1), opening()) == "unknown"
        assert users.get("1").passkeys == (PHONE,)


def test_ten_answers_with_one_counter_open_one_session(users, tickets, sessions):
    users.change("1", Change(add_passkey=PHONE))
    with ThreadPoolExecutor(10) as pool:
        verdicts = list(pool.map(lambda _: tickets.sign_in_by_passkey("1", answer_of(PHONE, 1), opening()), range(10)))
    assert sorted(verdicts) == ["right"] + ["stale_counter"] * 9


def test_a_start_is_used_once_also_by_eight_requests_at_once(users, tickets, redis):
    def use(_):
        return tickets.use_start("hash", 300, users.record_of("1"))

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(use, range(8)))
    assert sorted(is_first for is_first, _ in outcomes) == [False] * 7 + [True]
    assert {user.id for _, user in outcomes} == {"1"}
    assert 298 <= redis.ttl(keys.passkey_start("hash")) <= 300
    assert tickets.use_start("another", 300, users.record_of("404")) == (True, None)


def test_a_ticket_for_a_passkey_is_taken_once_and_for_that_alone(tickets):
    tickets.open("1", "t", Ticket("add_passkey", SESSION, "1", "", challenge="c"), 300)
    tickets.open("1", "login", Ticket("login", "", "1", "", challenge="c"), 300)
    assert tickets.redeem_step_up("1", "t", JudgedAnswer("password", {}), SESSION, "proof", 300) == "unknown"
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: tickets.take("1", "t", "add_passkey"), range(8)))
    assert [one for one in taken if one] == [Ticket("add_passkey", SESSION, "1", "", challenge="c")]
    assert tickets.take("1", "login", "add_passkey") is None
    assert tickets.get("1", "login") is not None


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", "null", '{"sign_count":0}', '{"id":5,"name":"x","public_key":"AA","sign_count":0}', "{"],
)
def test_what_another_program_wrote_is_no_passkey_and_lets_nobody_in(users, tickets, redis, text):
    """The user is asked for a factor that nobody has, rather than for none."""
    redis.hset(keys.passkeys("1"), "cred-1", text)
    assert (users.get("1").passkeys, users.get("1").has_mfa) == ((), True)
    tickets.open("1", "t", Ticket("step_up", SESSION, "1", ""), 300)
    for answer in (answer_of(PHONE, 1), JudgedAnswer("password", {})):
        assert tickets.redeem_step_up("1", "t", answer, SESSION, "proof", 300) == "wrong"
    users.change("1", Change(forget=["webauthn"]))
    assert not users.get("1").has_mfa
