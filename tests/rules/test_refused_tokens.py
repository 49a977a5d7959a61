"""What is remembered of refused tokens: for a minute, and so many."""

import tracemalloc

from app import tokens
from app.rules.refused_tokens import KEPT_FOR_S, MOST, RefusedTokens
from tests.conftest import Clock


def test_a_refusal_is_remembered_for_a_minute():
    clock = Clock()
    refused = RefusedTokens(clock)
    refused.remember("a")
    assert (refused.has("a"), refused.has("b")) == (True, False)
    clock.advance(KEPT_FOR_S - 1)
    assert refused.has("a")
    clock.advance(1)
    assert not refused.has("a")


def test_a_clock_that_was_ahead_keeps_no_refusal():
    clock = Clock()
    clock.advance(3600)
    refused = RefusedTokens(clock)
    refused.remember("a")
    clock.advance(-3600)
    assert not refused.has("a")


def test_a_hundred_thousand_made_up_tokens_take_bounded_memory():
    """The newest are known; what all of them take is what the most that are kept take."""
    refused = RefusedTokens(Clock())
    tracemalloc.start()
    for number in range(100_000):
        refused.remember(tokens.id_hash(str(number)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(refused) == MOST
    assert taken < 4_000_000
    assert refused.has(tokens.id_hash("99999"))
    assert not refused.has(tokens.id_hash("0"))
