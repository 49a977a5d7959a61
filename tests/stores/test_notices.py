"""Which kinds of device a user is known by, and how often something was told."""

import threading

import pytest

from app.stores.connection.connect import connect
from app.stores.keys import unprefixed as keys
from app.stores.notices import NoticeStore
from app.stores.scripts import SessionScripts
from tests.conftest import LIFETIMES


def test_the_first_device_is_known_every_other_kind_is_new_once(notices):
    assert [notices.note_device("1", device) for device in ("a", "a", "b", "b", "a")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert notices.note_device("2", "b") is False


def test_a_user_is_known_by_a_hundred_kinds_of_device(notices, clock, redis):
    """Beyond that the one that was not seen for the longest time is new again."""
    for number in range(101):
        clock.advance(1)
        notices.note_device("1", f"device {number}")
    assert notices.note_device("1", "device 100") is False
    assert notices.note_device("1", "device 0") is True


def test_counting_begins_anew_after_an_hour(notices, clock):
    assert [notices.count("1", "sign_in") for _ in range(3)] == [1, 2, 3]
    assert notices.count("1", "wrong_code") == 1
    assert notices.count("2", "sign_in") == 1
    clock.advance(3599)
    assert notices.count("1", "sign_in") == 4
    clock.advance(1)
    assert notices.count("1", "sign_in") == 1


@pytest.fixture(autouse=True)
def two_users(users):
    for user_id in ("1", "2"):
        users.create(
            user_id, f"{user_id}@example.com", email="", username="", global_name=None, password_hash="", created_at=0
        )


def test_of_nobody_nothing_is_noted(notices, redis):
    """A sign-in that was overtaken by the end of its user leaves nothing behind."""
    assert notices.note_device("3", "a") is False
    assert not redis.exists(keys.known_devices("3"))


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_of_sign_ins_at_once_one_is_new(redis, redis_server, clock, notices):
    notices.note_device("1", "first")
    found = []

    def meet():
        with connect(redis_server.url) as own:
            found.append(NoticeStore(own, SessionScripts(own, LIFETIMES, clock)).note_device("1", "second"))

    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]
