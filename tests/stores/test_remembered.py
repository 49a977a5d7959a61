"""Remembered devices in Redis: each spares a code to its own user alone, in its time, and goes with any change of
credentials."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from app.stores.activities import Activity
from app.stores.factors import JudgedAnswer
from app.stores.keys import unprefixed as keys
from app.stores.links import Link
from app.stores.passkeys import Passkey
from app.stores.remembered import RememberedStore
from app.stores.remembered_records import MAX_REMEMBERED, NewRemembered
from app.stores.session_records import Client, NewSession, Place
from app.stores.sessions import CallerGone
from app.stores.tickets import Ticket
from app.stores.users import Change, Deletion

DAY = 24 * 3600
TTL = 30 * DAY
SESSION, OTHER = "A" * 43 + "=", "B" * 43 + "="
LAPTOP = Client(
    os="Linux",
    platform="Firefox",
    ip="192.0.2.1",
    place=Place("CH", "Switzerland", None, "Bern"),
)
PASSKEY = Passkey("cred-1", "11", "Phone", b"\x01key", 0, (), True, 7)
TOLD = Activity("devices_forgotten", LAPTOP)
NUMBERS = count(1)


@pytest.fixture
def remembered(store, scripts):
    return RememberedStore(store, scripts)


@pytest.fixture(autouse=True)
def alice(users, sessions, clock):
    """Alice has TOTP, one backup code, and is signed in on two devices."""
    users.create(
        "1",
        "a@x.example",
        email="a@x.example",
        username="a",
        global_name=None,
        password_hash="h",
        created_at=7,
    )
    users.change("1", Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=["x"]))
    for id_hash in (SESSION, OTHER):
        sessions.open("1", id_hash, int(clock()), LAPTOP, "2", 50)


@pytest.fixture
def opening(users, clock):
    def make(**more):
        new = NewSession(f"{next(NUMBERS):043}=", int(clock()), LAPTOP, 50, amr=("pwd", "remembered"))
        version = users.get("1").credentials_version
        return Change(credentials_version=version, same_credentials=True, opens=new, **more)

    return make


@pytest.fixture
def remember(users, opening, clock):
    def one(name, client=LAPTOP, ttl_s=TTL):
        now = int(clock())
        assert users.change(
            "1",
            opening(remembers=NewRemembered(name, f"id of {name}", now, now + ttl_s, client)),
        )

    return one


@pytest.fixture
def sign_in(remembered, opening):
    def one(name, renewed="renewed", user_id="1", client=LAPTOP, ttl_s=TTL, change=None):
        return remembered.sign_in(user_id, name, renewed, client, ttl_s, change or opening())

    return one


def names(remembered):
    return [device.id_hash for device in remembered.list("1")]


def test_a_device_is_remembered_by_the_login_that_answered_the_code(tickets, users, remembered, opening, clock):
    """In the step that opens its session, and only where the answer is right."""
    tickets.open("1", "login", Ticket("login", "", "2", ""), 300)
    now = int(clock())
    change = opening(remembers=NewRemembered("cookie", "77", now, now + TTL, LAPTOP))
    assert tickets.redeem_login("1", "login", JudgedAnswer("totp"), change) == "wrong"
    assert names(remembered) == []
    assert tickets.redeem_login("1", "login", JudgedAnswer("backup", {"code_hashes": ["x"]}), change) == "last_code"
    [device] = remembered.list("1")
    assert (device.id_hash, device.id, device.client.place) == (
        "cookie",
        "77",
        LAPTOP.place,
    )
    assert (device.began_at, device.last_used_at, device.ends_at) == (
        now,
        now,
        now + TTL,
    )


def test_a_remembered_device_opens_a_session_and_has_another_value(sign_in, remember, remembered, sessions, clock):
    """The same device, with the same end; its former value is good no more."""
    remember("cookie")
    clock.advance(3 * DAY)
    phone = Client(os="Android", platform="Firefox", ip="192.0.2.9")
    before = len(sessions.list("1"))
    assert sign_in("cookie", "next", client=phone)
    [device] = remembered.list("1")
    assert (device.id_hash, device.id, device.client) == ("next", "id of cookie", phone)
    assert device.last_used_at == pytest.approx(clock(), abs=0.001)
    assert device.ends_at == int(clock()) - 3 * DAY + TTL
    assert len(sessions.list("1")) == before + 1
    assert not sign_in("cookie")
    assert sign_in("next")


def test_of_logins_at_once_with_one_value_one_is_spared_the_code(sign_in, remember, remembered, sessions, opening):
    remember("cookie")
    before = len(sessions.list("1"))
    changes = [opening() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda n: sign_in("cookie", f"next {n}", change=changes[n]), range(4)))
    assert sorted(outcomes) == [False, False, False, True]
    assert names(remembered) == [f"next {outcomes.index(True)}"]
    assert len(sessions.list("1")) == before + 1


@pytest.mark.parametrize(
    ("after_s", "ttl_s", "is_remembered"),
    [
        (TTL - 1, TTL, True),
        (TTL, TTL, False),
        (DAY, DAY, False),  # the operator has shortened the time
        (
            TTL,
            2 * TTL,
            False,
        ),  # a longer one counts for devices that are remembered from now on
    ],
)
def test_a_device_has_its_time(sign_in, remember, remembered, clock, after_s, ttl_s, is_remembered):
    remember("cookie")
    clock.advance(after_s)
    assert sign_in("cookie", ttl_s=ttl_s) is is_remembered
    assert names(remembered) == ["renewed" if is_remembered else "cookie"]


def test_a_use_makes_the_time_no_longer(sign_in, remember, clock):
    remember("cookie")
    clock.advance(TTL - 1)
    assert sign_in("cookie", "next")
    clock.advance(1)
    assert not sign_in("next")


def test_what_a_clock_that_was_ahead_has_remembered_is_not_used(sign_in, remember, clock):
    clock.advance(DAY)
    remember("cookie")
    clock.advance(-DAY)
    assert not sign_in("cookie")


def test_a_device_of_another_user_spares_nothing(sign_in, remember, users, clock):
    users.create(
        "2",
        "b@x.example",
        email="b@x.example",
        username="b",
        global_name=None,
        password_hash="h",
        created_at=7,
    )
    remember("cookie")
    new = NewSession(f"{next(NUMBERS):043}=", int(clock()), LAPTOP, 50)
    change = Change(credentials_version="1", same_credentials=True, opens=new)
    assert not sign_in("cookie", user_id="2", change=change)
    assert sign_in("cookie")


CREDENTIALS = {
    "password": Change(set={"password_hash": "new"}),
    "TOTP off": Change(forget=["totp"]),
    "new TOTP": Change(set={"totp_secret": "other"}),
    "passkey added": Change(add_passkey=PASSKEY),
    "backup codes": Change(backup_codes=["y"]),
    "all others ended": Change(caller=SESSION, end_others="revoked"),
    "all others ended, logins go on": Change(caller=SESSION, end_others="revoked", same_credentials=True),
    "by an operator": Change(end_others="admin"),
    "disabled": Change(set={"disabled": "1"}, end_others="admin"),
    "enabled again": Change(unset=["disabled"]),
}


@pytest.mark.parametrize("change", CREDENTIALS.values(), ids=list(CREDENTIALS))
def test_a_change_of_credentials_forgets_all_devices(sign_in, remember, remembered, users, change):
    for name in ("one", "two"):
        remember(name)
    assert users.change("1", change)
    assert names(remembered) == []
    assert not sign_in("one")


def test_a_passkey_that_is_removed_takes_all_devices_along(remember, remembered, users):
    users.change("1", Change(add_passkey=PASSKEY))
    remember("cookie")
    users.change("1", Change(remove_passkey=PASSKEY.cred_id))
    assert names(remembered) == []


@pytest.mark.parametrize(
    "change",
    [
        Change(same_credentials=True, set={"username": "b"}),
        Change(same_credentials=True, set={"password_hash": "renewed"}),
    ],
)
def test_what_leaves_the_credentials_leaves_the_devices(sign_in, remember, users, change):
    """Names, and a hash of another cost."""
    remember("cookie")
    users.change("1", change)
    assert sign_in("cookie")


def test_a_reset_by_link_forgets_all_devices(remember, remembered, users, links, clock):
    links.open("1", "link", Link("reset", "", "0", clock() + 300))
    remember("cookie")
    assert users.change(
        "1",
        Change(set={"password_hash": "n"}, end_others="password_change", link="link"),
    )
    assert names(remembered) == []


def test_the_link_of_a_foreign_sign_in_forgets_all_devices(remember, remembered, links, clock):
    """Whoever signed in then may have had the device remembered."""
    links.open("1", "link", Link("not_me", SESSION, "", clock() + 300))
    remember("cookie")
    assert links.end_session("1", "link")
    assert names(remembered) == []


def test_ending_a_session_from_elsewhere_forgets_the_device_that_it_was_opened_on(
    sign_in, remembered, sessions, users, opening, clock
):
    """The owner of a stolen laptop ends its session. Whoever has it, and the password that it keeps, is asked again.

    The session that was opened with a code counts, and each that a later login opened. Logging out oneself is no loss.
    """
    now = int(clock())
    for name in ("one", "two", "three"):
        change = opening(remembers=NewRemembered(name, f"id of {name}", now, now + TTL, LAPTOP))
        change = replace(change, opens=replace(change.opens, remembered=f"id of {name}"))
        assert users.change("1", change)
        if name == "one":
            sessions.end("1", [change.opens.id_hash], "revoked", SESSION)
    assert sorted(names(remembered)) == ["three", "two"]
    change = opening()
    assert sign_in("two", "next", change=change)
    by_itself = opening()
    assert sign_in("next", "last", change=by_itself)
    sessions.end("1", [by_itself.opens.id_hash], "logout", by_itself.opens.id_hash)
    assert sorted(names(remembered)) == ["last", "three"]
    sessions.end("1", [change.opens.id_hash], "admin")
    assert names(remembered) == ["three"]


def test_a_change_by_the_release_before_counts_too(sign_in, remember, redis):
    """It knows of no devices, but the credentials version grows."""
    remember("cookie")
    redis.hincrby(keys.user("1"), "epoch", 1)
    assert not sign_in("cookie")


def test_a_login_with_former_credentials_or_of_a_disabled_user_is_refused(sign_in, remember, opening, users, redis):
    remember("cookie")
    stale = opening()
    redis.hset(keys.user("1"), "disabled", "1")
    assert not sign_in("cookie", change=stale)
    redis.hdel(keys.user("1"), "disabled")
    assert sign_in("cookie", "next", change=stale)
    users.change("1", Change(set={"password_hash": "new"}))
    assert not sign_in("next", change=stale)


def test_of_many_devices_the_least_recently_used_one_goes(sign_in, remember, remembered, clock):
    for number in range(MAX_REMEMBERED):
        remember(f"{number}")
        clock.advance(1)
    assert sign_in("0", "0 again")
    clock.advance(1)
    remember("new")
    assert names(remembered) == [
        "new",
        "0 again",
        *(f"{number}" for number in range(MAX_REMEMBERED - 1, 1, -1)),
    ]


def test_what_is_over_makes_room_and_goes_with_the_last(remember, remembered, redis, clock):
    remember("short", ttl_s=DAY)
    remember("long")
    clock.advance(DAY)
    remember("new")
    assert sorted(names(remembered)) == ["long", "new"]
    assert TTL - 5 <= redis.ttl(keys.remembered("1")) <= TTL + 1


def test_devices_are_forgotten_by_id_all_or_by_their_own_value(remember, remembered, sessions):
    for name in ("one", "two", "three", "four"):
        remember(name)
    assert remembered.forget("1", "id of one", SESSION, TOLD)
    assert not remembered.forget("1", "id of one", SESSION, TOLD)
    remembered.forget_own("1", "two")
    assert sorted(names(remembered)) == ["four", "three"]
    sessions.end("1", [SESSION], "revoked")
    with pytest.raises(CallerGone):
        remembered.forget("1", "id of three", SESSION, TOLD)
    with pytest.raises(CallerGone):
        remembered.forget_all("1", SESSION, TOLD)
    assert remembered.forget_all("1", OTHER, TOLD) == 2
    assert remembered.forget_all("1", None, TOLD) == 0
    assert names(remembered) == []


@pytest.mark.parametrize(
    "raw",
    ["", "[]", "{}", '{"ends_at": 1}', '{"ends_at": "x", "began_at": "y"}', "nil"],
)
def test_what_is_none_of_ours_spares_nothing(sign_in, remember, remembered, redis, raw):
    redis.hset(keys.remembered("1"), "foreign", raw)
    assert not sign_in("foreign")
    assert names(remembered) == []
    remember("cookie")
    assert sign_in("cookie")


def test_a_user_who_is_written_anew_has_no_remembered_device(remember, remembered, users, redis):
    """As by an import after Redis has lost the record: the credentials version begins again, with other credentials."""
    remember("cookie")
    redis.delete(keys.user("1"), keys.email("a@x.example"))
    assert users.create(
        "1", "a@x.example", email="a@x.example", username="a", global_name=None, password_hash="other", created_at=7
    )
    assert names(remembered) == []


def test_a_deleted_user_leaves_no_device(remember, users, redis):
    remember("cookie")
    users.change("1", Change(set={"disabled": "1"}, end_others="admin"))
    redis.hset(keys.remembered("1"), "late", "{}")
    users.delete(Deletion("1", ["a@x.example"], "digest"))
    assert list(redis.scan_iter("user:{1}*")) == []
