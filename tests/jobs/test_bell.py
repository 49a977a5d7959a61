"""Who rings wakes one worker; nobody sits out a pause although the bell rang."""

import threading
import time

from app.jobs.bell import Bell

LONG_S = 30


def waiting(bell, woken):
    def wait():
        bell.wait(LONG_S)
        woken.release()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_each_ring_wakes_one():
    bell, woken = Bell(), threading.Semaphore(0)
    threads = [waiting(bell, woken) for _ in range(3)]
    for left in (2, 1):
        bell.ring()
        assert woken.acquire(timeout=10)
        assert not woken.acquire(timeout=0.1)
        assert sum(thread.is_alive() for thread in threads) == left
    bell.end()
    for thread in threads:
        thread.join(10)
    assert sum(thread.is_alive() for thread in threads) == 0


def test_a_ring_while_all_work_is_for_the_next_who_waits():
    bell = Bell()
    for _ in range(500):
        bell.ring()
    began = time.monotonic()
    bell.wait(LONG_S)
    assert time.monotonic() - began < LONG_S / 2
    bell.wait(0.01)  # the rings were one: what one worker finds is all that there is, or it goes on
    assert not bell._is_rung


def test_after_the_end_nobody_waits():
    bell = Bell()
    bell.end()
    began = time.monotonic()
    for _ in range(3):
        bell.wait(LONG_S)
    assert time.monotonic() - began < LONG_S
