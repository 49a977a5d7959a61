"""No process says yes of a session after somebody was told that it is over, in whatever order things happen.

Each planted fault is found, by the shortest way to it. docs/leases.md says why the rules are as they are.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.stores.leases.explorer import Walk, walk
from tests.stores.leases.model import FAULTS, OPERATOR, WORKER, Rules, State, first_state, is_wrong, merge, steps

SHORT = {"leases": (1,), "own_lease": 1}
# Words only shorten waits. What is about registrations goes on through more endings without them.
SILENT = SHORT | {"hears_words": False, "enders": (WORKER, WORKER), "others": 3}

SCENARIOS = {
    "a process and an ending": Rules(),
    "a process that ends something itself": Rules(is_own=True, changes=1),
    "a process that ends something itself, and its connection is lost": Rules(**SHORT, is_own=True, losses=1),
    "a note of a use": Rules(changes=1),
    "Redis closes a connection": Rules(cuts=1),
    "a process gives its connection up": Rules(**SHORT, losses=1),
    "an ending of another session before": Rules(**SHORT, others=1),
    "two who end the same": Rules(**SHORT, enders=(WORKER, WORKER), registrations=1),
    "an operator": Rules(enders=(OPERATOR,), own_lease=1),
    "an operator and a worker": Rules(**SHORT, enders=(OPERATOR, WORKER)),
    "another lease than that of who ends": Rules(leases=(2,), own_lease=1, cuts=1),
    "FLUSHDB": Rules(**SHORT, flushes=1),
    "the registry is lost": Rules(**SHORT, registry_losses=1),
    "two silent processes": Rules(leases=(1, 1), own_lease=1, registrations=1, hears_words=False),
    "a silent process is removed": Rules(**SILENT),
}

WHERE_FOUND = {
    "removed_at_once": "an ending of another session before",
    "no_count": "a silent process is removed",
    "repeat_at_once": "two who end the same",
    "own_absence": "the registry is lost",
    "young_registration": "the registry is lost",
    "own_lease": "another lease than that of who ends",
}


def explore(rules: Rules) -> Walk:
    def after(state: State) -> Iterator[tuple[str, State]]:
        for name, then in steps(state, rules):
            yield name, then if rules.hears_words else merge(then)

    return walk(first_state(rules), after, lambda state: is_wrong(state, rules))


@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_says_yes_after_an_ending_was_told(name):
    """All states are looked at, and none is wrong."""
    found = explore(SCENARIOS[name])
    assert found.trace == (), "\n".join(found.trace)
    assert found.states > 1000


@pytest.mark.parametrize("fault", ["round_first", "bcast", "other_connection"])
def test_the_own_word_rests_on_the_same_order(fault):
    """A process that takes its own word says yes too late if it hears of the round before it hears of the change."""
    assert explore(Rules(is_own=True, fault=fault)).trace


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found(name):
    """In a scenario that is right without it, it lets somebody say yes too late."""
    found = explore(replace(SCENARIOS[WHERE_FOUND.get(name, "a process and an ending")], fault=name))
    print(f"{FAULTS[name]}, after {found.states} states:", *found.trace, sep="\n  ")
    assert found.trace, f"{FAULTS[name]}, and nothing is wrong in {found.states} states"


def test_a_fault_is_told_by_the_shortest_way():
    """Without a wait nine steps lead to a yes that is wrong."""
    assert explore(Rules(fault="no_wait")).trace == (
        "process 0: connects and registers",
        "process 0: reads",
        "Redis: ('register', 1) of 0",
        "Redis: ('ping',) of 0",
        "process 0: takes ('pong', 1)",
        "Redis: ('read',) of 0",
        "process 0: takes ('yes',)",
        "ender 0: ends the session",
        "ender 0: says that it is over",
    )
