"""Tickets of sign-ins by a passkey that have begun without a user."""

import pytest

from app.rules.passkey_starts import PasskeyStarts

TTL_S = 300
NOW = 1_800_000_000.0
CHALLENGE = "c" * 43


def starts(*keys, now=NOW):
    return PasskeyStarts([key.encode() * 32 for key in keys], TTL_S, lambda: now)


def test_a_ticket_gives_its_challenge_back_until_it_expires():
    ticket = starts("a").ticket_of(CHALLENGE)
    assert starts("a", now=NOW + TTL_S).read(ticket) == CHALLENGE
    assert starts("a", now=NOW + TTL_S + 1).read(ticket) is None


def test_a_ticket_of_a_machine_whose_clock_is_ahead_is_good():
    assert starts("a", now=NOW - 5).read(starts("a").ticket_of(CHALLENGE)) == CHALLENGE


def test_a_ticket_of_a_former_key_is_good_while_that_key_is_there():
    ticket = starts("a").ticket_of(CHALLENGE)
    assert starts("b", "a").read(ticket) == CHALLENGE
    assert starts("b").read(ticket) is None
    assert starts("a").read(starts("b", "a").ticket_of(CHALLENGE)) is None, "the first key signs"


@pytest.mark.parametrize("made_up", ["", ".", "x", "a.b.c", "\ud800", "é.é.é", "." * 20_000])
def test_what_was_not_issued_is_none(made_up):
    assert starts("a").read(made_up) is None


def test_no_other_challenge_and_no_later_time_can_be_put_into_a_ticket():
    challenge, at, signature = starts("a").ticket_of(CHALLENGE).split(".")
    _, later, _ = starts("b", now=NOW + 1).ticket_of(CHALLENGE).split(".")
    assert starts("a").read(f"{'d' * 43}.{at}.{signature}") is None
    assert starts("a").read(f"{challenge}.{later}.{signature}") is None


def test_it_is_known_that_a_ticket_was_used_for_longer_than_it_is_good():
    """Also where the clocks of two machines differ."""
    assert starts("a").remembered_s >= TTL_S + 60
