"""A small model of leases: what may happen, one step after the other, in any order. What it stands for: docs/leases.md.

Some processes keep one session and answer for it from memory, some processes end it, and all of them talk with one
Redis. Messages of one connection arrive in order and may take any time. A process that is paused, or hangs, is one that
takes no step while the others do. One that crashed takes none any more. Time passes by ticks, at any point. So clocks
run at one rate here; the 1 % that an ending waits longer is for clocks that do not.

A reply of Redis to the process that ends something is read at once: to read it later is to wait longer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

GONE, FLUSHED, YES, NO = ("gone",), ("flushed",), ("yes",), ("no",)
PING, READ = ("ping",), ("read",)
Message = tuple[str | int, ...]
WORKER, OPERATOR = "worker", "operator"


@dataclass(frozen=True)
class Rules:
    """What takes part, how much of it happens, and the faults of the protocol.

    Attributes:
        leases: Ticks, for each process that may hold a lease. Its number is that process.
        enders: Who ends sessions: a WORKER, which is registered itself, or an OPERATOR, who hears no words.
        own_lease: The VERIFY_LEASE of who ends sessions.
        hears_words: If not, all words are lost.
        is_own: The process that holds a lease is also the one that ends, and needs no message for its word.
        others: How many endings of other sessions there are. They may find a silent process and remove it.
        changes, losses, cuts, flushes, registry_losses, registrations: How often it happens at most: a change of the
            session, such as a note of a use; a process gives its connection up; Redis closes one; FLUSHDB after which
            the session is there again; the registry is lost, and nobody is told; a process registers.
        fault: The name of a planted fault; see `FAULTS`.
    """

    leases: tuple[int, ...] = (2,)
    enders: tuple[str, ...] = (WORKER,)
    own_lease: int = 2
    hears_words: bool = True
    is_own: bool = False
    others: int = 0
    changes: int = 0
    losses: int = 0
    cuts: int = 0
    flushes: int = 0
    registry_losses: int = 0
    registrations: int = 2
    fault: str = ""


class Process(NamedTuple):
    """A process that may hold a lease. All that it knows is from what it has received.

    Attributes:
        sent, coming: What is on the way to Redis, and from it, on its connection.
        former: What is on the way to Redis on a connection that it has given up.
        is_cut: Redis has closed the connection, and this process has not noticed.
        kept: It has the session in memory.
        left: The ticks for which it may answer from memory.
        left_when_run: Those at its last step, by a clock that it looked at then.
        count: Of its registrations.
        pinged_for: The ticks since its ping was sent; -1 if none is on its way.
        read: A read on its way: "asked", or "late" if somebody waits for it who has asked after the ending was told.
        elsewhere: The reply to a read on another connection, which is on its way.
    """

    is_open: bool = False
    is_cut: bool = False
    sent: tuple[Message, ...] = ()
    coming: tuple[Message, ...] = ()
    former: tuple[Message, ...] = ()
    kept: bool = False
    left: int = 0
    left_when_run: int = 0
    count: int = 0
    pinged_for: int = -1
    read: str = ""
    elsewhere: tuple[Message, ...] = ()


class Ender(NamedTuple):
    """One that ends sessions, one after the other.

    Attributes:
        doing: "", "looked" (a fault: the list was read before), "waits", "cleans" (after a full wait).
        is_ours: It ends the session that is kept, or did so again; else another one.
        round: The number of its last round.
        list: The registry as its script saw it. A number is a count; below 0 the process is marked as leaving.
        needs_all: It waits in full, whatever words come.
        waited: Ticks.
        words: Of which processes it has heard.
        is_listed: Its own process is in the registry.
        registered_for: The ticks since its own process has known that; it begins as one that has for long.
    """

    doing: str = ""
    is_ours: bool = False
    round: int = 0
    list: tuple[int, ...] = ()
    needs_all: bool = False
    waited: int = 0
    words: tuple[int, ...] = ()
    is_listed: bool = True
    registered_for: int = 0


class State(NamedTuple):
    """
    Attributes:
        is_there: Redis has the session.
        tracked: The processes that Redis tells of the next change. pending: a change that they were not told of yet
            (a fault).
        registry: For each process its count; below 0 it is marked as leaving; 0 is none.
        is_told: Somebody was told that the session is over.
        is_wrong: A request that was sent after that got a yes.
        left: What may still happen: others, changes, losses, cuts, flushes, registry_losses.
    """

    processes: tuple[Process, ...]
    enders: tuple[Ender, ...]
    is_there: bool
    tracked: frozenset[int]
    pending: frozenset[int]
    registry: tuple[int, ...]
    is_told: bool
    is_wrong: bool
    left: tuple[int, ...]


OTHERS, CHANGES, LOSSES, CUTS, FLUSHES, REGISTRY_LOSSES = range(6)
Step = tuple[str, State]

FAULTS = {
    "bcast": "Redis may answer a ping before it tells of a change that came first",
    "from_pong": "the lease counts from the answer to the ping",
    "no_wait": "an ending does not wait",
    "other_connection": "an entry is read on another connection",
    "removed_at_once": "a silent process is removed without being marked first",
    "no_count": "a registration does not say how often the process has registered",
    "round_first": "Redis may tell of a round before it tells of the change that came first",
    "repeat_at_once": "who ends what is over already does not wait",
    "own_absence": "who ends something does not care whether it is in the list itself",
    "young_registration": "who has just registered believes the list",
    "joins_read": "a request waits for a read that was sent before it arrived",
    "old_clock": "the lease is judged by a time from before the request",
    "list_before": "the list is read before the script runs",
    "waits_from_sending": "the wait counts from when the script was sent",
    "own_lease": "an ending waits its own lease, not that of the silent process",
}


def first_state(rules: Rules) -> State:
    """Return the state before anything happened: the session is there, and nobody is connected."""
    return State(
        processes=tuple(Process() for _ in rules.leases),
        enders=tuple(Ender(registered_for=_longest(rules)) for _ in rules.enders),
        is_there=True,
        tracked=frozenset(),
        pending=frozenset(),
        registry=(0,) * len(rules.leases),
        is_told=False,
        is_wrong=False,
        left=(rules.others, rules.changes, rules.losses, rules.cuts, rules.flushes, rules.registry_losses),
    )


def is_wrong(state: State, rules: Rules) -> bool:
    """Tell whether a request that is sent now, or was sent since the ending was told, gets a yes."""
    by_old_clock = rules.fault == "old_clock"
    return state.is_wrong or (
        state.is_told
        and any(one.kept and (one.left or (by_old_clock and one.left_when_run)) for one in state.processes)
    )


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """Yield all that may happen next, each with its name and the state after it."""
    for i, process in enumerate(state.processes):
        if _has_own_round(process, rules):
            first, *rest = process.coming
            after = _with(state, i, process._replace(coming=tuple(rest)))
            yield f"process {i}: takes {first}, and its own word", _hear(after, i, first)
        for name, after, told in _steps_of(process, i, state, rules):
            ran = after._replace(left_when_run=after.left) if rules.fault == "old_clock" else after
            yield f"process {i}: {name}", _with(state, i, ran)._replace(is_wrong=state.is_wrong or told)
        yield from _steps_at_redis(state, i, rules)
    if not state.is_told:  # afterwards they could only shorten leases
        yield from _faults_outside(state, rules)
        for e in range(len(state.enders)):
            yield from _steps_of_ender(state, e, rules)
    yield "a tick", _tick(state, rules)


def merge(state: State) -> State:
    """Return the same state for all in which only the numbers of those who end sessions differ."""
    return state._replace(enders=tuple(sorted(state.enders)))


def _with(state: State, i: int, process: Process) -> State:
    return state._replace(processes=_put(state.processes, i, process))


def _put(row: tuple, i: int, value: object) -> tuple:
    return (*row[:i], value, *row[i + 1 :])


def _spend(state: State, what: int) -> State:
    return state._replace(left=_put(state.left, what, state.left[what] - 1))


def _longest(rules: Rules) -> int:
    return max((*rules.leases, rules.own_lease))


def _tick(state: State, rules: Rules) -> State:
    longest = _longest(rules)
    processes = tuple(
        one._replace(
            left=max(0, one.left - 1),
            pinged_for=min(longest, one.pinged_for + 1) if one.pinged_for >= 0 else -1,
        )
        for one in state.processes
    )
    enders = tuple(
        one._replace(
            waited=min(longest, one.waited + 1) if one.doing == "waits" else 0,
            registered_for=min(longest, one.registered_for + 1),
        )
        for one in state.enders
    )
    return state._replace(processes=processes, enders=enders)


# -- A process that may hold a lease


def _steps_of(process: Process, i: int, state: State, rules: Rules) -> Iterator[tuple[str, Process, bool]]:
    """Yield name, process after the step, and whether somebody got a yes that is wrong."""
    if not process.is_open:
        if process.count < rules.registrations:
            yield "connects and registers", _register(process._replace(is_open=True), rules), False
        return
    if process.pinged_for < 0:
        yield "pings", _ping(process), False
    if not process.read:
        asked = process._replace(read="late" if state.is_told else "asked")
        yield "reads", asked._replace(sent=(*process.sent, READ)), False
    elif rules.fault == "joins_read" and state.is_told and process.read == "asked":
        yield "lets a request wait for the read", process._replace(read="late"), False
    if process.coming and not _has_own_round(process, rules):
        first, *rest = process.coming
        yield f"takes {first}", *_take(process._replace(coming=tuple(rest)), first, i, rules)
    if process.elsewhere:
        yield "takes the reply of the other connection", *_take(process._replace(elsewhere=()), YES, i, rules)
    if process.is_cut:
        yield "notices that its connection is closed", _lose(process), False


def _has_own_round(process: Process, rules: Rules) -> bool:
    return rules.is_own and bool(process.coming) and process.coming[0][0] == "round"


def _register(process: Process, rules: Rules) -> Process:
    count = process.count + 1
    word = ("register", 1 if rules.fault == "no_count" else count)
    return _ping(process._replace(count=count, sent=(*process.sent, word)))


def _ping(process: Process) -> Process:
    return process._replace(pinged_for=0, sent=(*process.sent, PING))


def _lose(process: Process) -> Process:
    """Give the connection up. What was sent on it may still arrive, unless Redis has closed it."""
    return Process(count=process.count, former=() if process.is_cut else process.sent)


def _take(process: Process, message: Message, i: int, rules: Rules) -> tuple[Process, bool]:
    match message:
        case ("gone",):
            return process._replace(kept=False), False
        case ("flushed",):
            return process._replace(kept=False, left=0), False
        case ("yes",):
            return process._replace(kept=True, read=""), process.read == "late"
        case ("no",):
            return process._replace(read=""), False
        case ("round", int(ender), int(number)):
            return process._replace(sent=(*process.sent, ("word", ender, number))), False
        case ("pong", int(registration)):
            return _take_pong(process, registration, i, rules), False
    raise ValueError(message)


def _take_pong(process: Process, registration: int, i: int, rules: Rules) -> Process:
    age = process.pinged_for
    process = process._replace(pinged_for=-1)
    if registration == (1 if rules.fault == "no_count" else process.count):
        lease = rules.leases[i] if rules.fault == "from_pong" else max(0, rules.leases[i] - age)
        return process._replace(left=lease)
    process = process._replace(kept=False, left=0)
    if process.count < rules.registrations:
        return _register(process, rules)
    return _lose(process)


# -- Redis


def _steps_at_redis(state: State, i: int, rules: Rules) -> Iterator[Step]:
    process = state.processes[i]
    if process.former:
        first, *rest = process.former
        after = _with(state, i, process._replace(former=tuple(rest)))
        for name, then in _execute(after, i, first, rules, is_former=True):
            yield f"Redis: {first} of a former connection of {i}{name}", then
    if process.sent and not process.is_cut:
        first, *rest = process.sent
        after = _with(state, i, process._replace(sent=tuple(rest)))
        for name, then in _execute(after, i, first, rules):
            yield f"Redis: {first} of {i}{name}", then
    if i in state.pending:
        yield f"Redis tells {i} of the change", _push(state, i, GONE)._replace(pending=state.pending - {i})


def _push(state: State, i: int, message: Message) -> State:
    process = state.processes[i]
    if not process.is_open or process.is_cut:
        return state
    return _with(state, i, process._replace(coming=(*process.coming, message)))


def _hear(state: State, i: int, word: Message) -> State:
    """Let who ends something take the word of a process."""
    _, ender, number = word
    waiting = state.enders[ender]
    if waiting.doing != "waits" or waiting.round > number or i in waiting.words:
        return state
    heard = waiting._replace(words=tuple(sorted((*waiting.words, i))))
    return state._replace(enders=_put(state.enders, ender, heard))


def _execute(state: State, i: int, command: Message, rules: Rules, *, is_former: bool = False) -> Iterator[Step]:
    match command:
        case ("word", int(), int()):
            yield ", which is lost", state
            if (heard := _hear(state, i, command)) != state:
                yield "", heard
        case ("register", int(count)):
            yield "", state._replace(registry=_put(state.registry, i, count))
        case _ if is_former:  # nobody hears the reply
            yield "", state
        case ("ping",):
            yield "", _push(state, i, ("pong", state.registry[i]))
        case ("read",):
            reply = YES if state.is_there else NO
            after = state._replace(tracked=state.tracked | {i}) if state.is_there else state
            if rules.fault == "other_connection" and state.is_there:
                yield "", _with(after, i, after.processes[i]._replace(elsewhere=(YES,)))
            else:
                yield "", _push(after, i, reply)


def _tell_of_change(state: State, rules: Rules) -> State:
    """Send the invalidations of the session, which each process gets once for what it has read."""
    if rules.fault == "bcast":
        return state._replace(pending=state.pending | state.tracked, tracked=frozenset())
    for i in state.tracked:
        state = _push(state, i, GONE)
    return state._replace(tracked=frozenset())


def _faults_outside(state: State, rules: Rules) -> Iterator[Step]:
    if state.left[CHANGES] and state.tracked:
        yield "the session changes", _spend(_tell_of_change(state, rules), CHANGES)
    if state.left[FLUSHES] and any(state.registry):
        flushed = _spend(_lose_registry(state)._replace(tracked=frozenset()), FLUSHES)
        for i in range(len(state.processes)):
            flushed = _push(flushed, i, FLUSHED)
        yield "FLUSHDB, and the session is made again", flushed
    if state.left[REGISTRY_LOSSES] and any(state.registry):
        yield "the registry is lost", _spend(_lose_registry(state), REGISTRY_LOSSES)
    for i, process in enumerate(state.processes):
        if process.is_open and not process.is_cut and state.left[CUTS]:
            cut = _with(state, i, process._replace(is_cut=True, sent=()))
            yield f"Redis closes the connection of {i}", _spend(cut._replace(tracked=state.tracked - {i}), CUTS)
        if process.is_open and not process.former and state.left[LOSSES]:
            lost = _with(state, i, _lose(process))._replace(tracked=state.tracked - {i})
            yield f"process {i} gives its connection up", _spend(lost, LOSSES)


def _lose_registry(state: State) -> State:
    enders = tuple(one._replace(is_listed=False) for one in state.enders)
    return state._replace(registry=(0,) * len(state.registry), enders=enders)


# -- Who ends sessions


def _steps_of_ender(state: State, e: int, rules: Rules) -> Iterator[Step]:
    ender = state.enders[e]
    if not ender.is_listed and rules.enders[e] == WORKER:
        registered = ender._replace(is_listed=True, registered_for=0)
        yield f"ender {e}: registers again", state._replace(enders=_put(state.enders, e, registered))
    if ender.doing in ("", "looked"):
        if rules.fault == "list_before" and ender.doing == "":
            looked = ender._replace(doing="looked", list=state.registry)
            yield f"ender {e}: reads the list", state._replace(enders=_put(state.enders, e, looked))
            return
        yield from _begin(state, e, rules, is_ours=True)
        if state.left[OTHERS] and state.is_there:
            yield from _begin(_spend(state, OTHERS), e, rules, is_ours=False)
    elif ender.doing == "waits":
        yield from _finish(state, e, rules)
    elif ender.doing == "cleans":
        yield from _clean(state, e, rules)


def _begin(state: State, e: int, rules: Rules, *, is_ours: bool) -> Iterator[Step]:
    """Run the script: end, publish the round, return the list."""
    ender = state.enders[e]
    is_repeated = is_ours and not state.is_there
    if is_repeated and rules.fault == "repeat_at_once":
        yield f"ender {e}: is told that the session is over, and says so", state._replace(is_told=True)
        return
    listed = ender.list if ender.doing == "looked" else state.registry
    number = ender.round + rules.hears_words
    needs_all = _needs_all(ender, rules.enders[e], rules)
    begun = ender._replace(doing="waits", is_ours=is_ours, round=number, list=listed, needs_all=needs_all, words=())
    what = "ends the session" if is_ours else "ends another session"
    # What the script pushes comes in its order: the change, then the round.
    for round_first in (False, True) if rules.fault == "round_first" else (False,):
        after = state._replace(enders=_put(state.enders, e, begun), is_there=state.is_there and not is_ours)
        if is_ours and not round_first:
            after = _tell_of_change(after, rules)
        for i in range(len(state.processes) if rules.hears_words else 0):
            after = _push(after, i, ("round", e, number))
        if is_ours and round_first:
            after = _tell_of_change(after, rules)
        for waited in range(3) if rules.fault == "waits_from_sending" else (0,):
            started = begun._replace(waited=waited)
            yield f"ender {e}: {what}", after._replace(enders=_put(after.enders, e, started))


def _needs_all(ender: Ender, kind: str, rules: Rules) -> bool:
    """Tell whether the list may lack somebody, because the registry may have been lost lately."""
    is_young = ender.registered_for < rules.own_lease and rules.fault != "young_registration"
    is_absent = not ender.is_listed and rules.fault != "own_absence"
    return kind == OPERATOR or is_young or is_absent


def _finish(state: State, e: int, rules: Rules) -> Iterator[Step]:
    ender = state.enders[e]
    is_operator = rules.enders[e] == OPERATOR
    silent = [i for i, count in enumerate(ender.list) if count and (is_operator or i not in ender.words)]
    leases = [rules.own_lease if rules.fault == "own_lease" else rules.leases[i] for i in silent]
    if ender.needs_all:
        leases.append(rules.own_lease)
    if ender.waited < max(leases, default=0) and rules.fault != "no_wait":
        return
    is_full = bool(silent) and not is_operator
    after = _ready(ender)
    if is_full:
        after = after._replace(doing="cleans", list=ender.list, words=ender.words)
    told = state.is_told or ender.is_ours
    what = "says that it is over" if ender.is_ours else "has waited"
    yield f"ender {e}: {what}", state._replace(enders=_put(state.enders, e, after), is_told=told)


def _ready(ender: Ender) -> Ender:
    return Ender(round=ender.round, is_listed=ender.is_listed, registered_for=ender.registered_for)


def _clean(state: State, e: int, rules: Rules) -> Iterator[Step]:
    """Mark one silent process, or remove it if it was marked when the script ran. A step for each, at any time."""
    ender = state.enders[e]
    i, *others = (i for i, count in enumerate(ender.list) if count and i not in ender.words)
    seen = ender.list[i]
    after = ender._replace(list=_put(ender.list, i, 0)) if others else _ready(ender)
    registry = state.registry
    if registry[i] == seen:
        left = 0 if seen < 0 or rules.fault == "removed_at_once" else -seen
        registry = _put(registry, i, left)
    name = f"ender {e}: {'removes' if seen < 0 else 'marks'} {i} if it is unchanged"
    yield name, state._replace(enders=_put(state.enders, e, after), registry=registry)
