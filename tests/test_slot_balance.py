"""The simulation of slot balance: it counts as a Cluster does, and docs/scaling.md has what it prints."""

import random
from pathlib import Path

import pytest

from app.snowflakes import new_snowflake
from app.stores.keys import unprefixed as keys
from scripts import slot_balance
from scripts.slot_balance import SLOTS, busiest, by_primary, count, dispersion, draw, slot, user, zipf

PAGE = Path("docs/scaling.md").read_text(encoding="utf-8")


def test_a_known_key_has_its_slot():
    """123456789 is the example of Redis Cluster's specification: CRC16 0x31C3."""
    assert slot("123456789") == 0x31C3
    named = (keys.user, keys.last_used, keys.sessions, keys.ended, keys.backup_codes, keys.passkeys, keys.links)
    assert {slot(key("123456789")) for key in named} == {0x31C3}
    assert {slot(key) for key in (keys.mail.waiting, keys.mail_later, keys.mail.dead)} == {slot("mail")}


def test_ids_are_as_the_service_makes_them():
    """As long, and of the years that are looked at."""
    ids = [slot_balance.snowflake(random.Random(seed)) for seed in range(100)]
    first, last = (int(new_snowflake(at)) for at in (1_640_995_200, 1_750_000_001))
    assert all(first >> 22 <= int(made) >> 22 <= last >> 22 for made in ids)
    assert len(set(ids)) == 100


@pytest.mark.parametrize("seed", [1, 2])
def test_ids_fall_on_slots_by_chance(seed):
    """Variance and mean are one, within five standard errors: no slot draws users, none is avoided."""
    counts = count(user, 400_000, seed)
    assert sum(counts) == 400_000
    assert abs(dispersion(counts) - 1) < 5 * (2 / SLOTS) ** 0.5
    assert busiest(by_primary(counts, 48)) < 1.04


def test_what_crowds_is_seen():
    """The same measure finds keys that share slots."""
    crowded = count(lambda rng: keys.user(str(rng.randrange(1000))), 100_000)
    assert dispersion(crowded) > 50


def test_drawn_counts_are_like_made_ones():
    made, drawn = count(user, 400_000), draw(400_000)
    assert sum(drawn) == pytest.approx(400_000, rel=0.01)
    assert dispersion(drawn) == pytest.approx(dispersion(made), abs=0.1)


@pytest.mark.parametrize("primaries", slot_balance.PRIMARIES)
def test_every_slot_has_one_primary(primaries):
    assert sum(by_primary([1] * SLOTS, primaries)) == SLOTS
    assert busiest(by_primary([1] * SLOTS, primaries)) < 1.01


@pytest.mark.parametrize(("exponent", "heaviest"), [(0.6, 0.000253), (1.0, 0.0526)])
def test_heavy_users(exponent, heaviest):
    """All use is somebody's; that of the heaviest of 100 million is 1 / sum(1 / n**exponent), and in one slot."""
    shares, share = zipf(exponent, 100_000_000)
    assert sum(shares) == pytest.approx(1)
    assert share == pytest.approx(heaviest, rel=0.01)
    assert max(shares) >= share


def test_the_page_has_what_is_printed():
    for table in slot_balance.tables().split("\n\n"):
        assert table in PAGE
