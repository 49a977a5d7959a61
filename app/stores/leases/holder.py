"""The connection by which a worker may answer from memory, and its lease. Why that is never wrong: docs/leases.md.

All of it happens in one thread, the worker's loop (serving/workers.py), and nothing here waits for Redis. On the one
connection the worker reads what it keeps, pings, and hears what has changed (CLIENT TRACKING). Redis writes all of it
in the order in which it came true. So the answer to a ping says that what is kept was right when the ping was sent, and
from then on, for VERIFY_LEASE, the worker may answer from memory.
"""

import logging
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import hiredis
from redis import RedisError

from app.stores.connection.node import RedisCommand, why_not_primary
from app.stores.connection.primary import Primary
from app.stores.keys import Keys
from app.stores.leases.kept import Kept
from app.stores.leases.rounds import Rounds, boot_clock
from app.watch import metrics

log = logging.getLogger(__name__)

_PINGS_A_LEASE = 4
_PING_AGAIN_S = 0.001  # many endings at once share a ping
_IN_USE_S = 1.0  # a worker that nobody asks does not ping
_ROLE_EVERY_S = 1.0
_LATE_S = 0.1  # who waits for a reply this long is answered by a thread
_LOST_S = 1.0  # a connection without a reply for this long is given up
_CONNECT_AGAIN_S = 0.25
_REFUSED_AGAIN_S = 30.0
_MOST_AT_ONCE = 10_000  # commands without a reply
_READ_SIZE = 256 * 1024
_NO_DATA_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Answer = Callable[[float | None], None]


class Loop(Protocol):
    """What a holder needs of the worker's loop."""

    def run_apart(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run a job in a thread, then hand its result to `then` in the loop."""

    def watch(self, sock: Any) -> None:
        """Call on_readable() whenever this socket is readable, from now on."""

    def unwatch(self, sock: Any) -> None: ...


class _Sent:
    """A command without a reply so far.

    Attributes:
        handle: Takes the reply.
        at: When it was sent.
        answer: Takes what `handle` returns; None if nobody waits for it.
    """

    __slots__ = ("answer", "at", "handle")

    def __init__(self, handle: Callable[[Any], Any], at: float, answer: Answer | None = None) -> None:
        self.handle = handle
        self.at = at
        self.answer = answer


class Holder:
    """Tells when a session was last used: from memory within the lease, else by its connection."""

    def __init__(
        self,
        primary: Primary,
        keys: Keys,
        lease_s: float,
        rounds: Rounds,
        loop: Loop,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.kept = Kept()
        self._primary = primary
        self._keys = keys
        self._lease_s = lease_s
        self._rounds = rounds
        self._loop = loop
        self._clock = clock
        self._now = clock()  # of the last turn of the loop
        self._asked_at = self._now  # when anybody asked last
        self._until = 0.0  # the end of the lease
        self._is_holding = False
        self._connection: Any = None
        self._sock: Any = None
        self._is_connecting = False
        self._connect_at = 0.0
        self._generation = -1  # that of the primary to which the connection leads
        self._replies = hiredis.Reader()
        self._unsent = b""
        self._sent: deque[_Sent] = deque()
        self._registration = ""
        self._registrations = 0
        self._ping_at = 0.0  # when the next ping is due
        self._pinged_at = 0.0
        self._ask_role_at = 0.0
        self._heard: dict[str, list[str]] = {}  # the rounds of each process that ended something since the last ping
        self._is_told = False  # this connection has heard of a change
        self.problem = ""  # why there is no lease, as far as is known

    def find(self, user_id: str, id_hash: str) -> float | None:
        """Return the last use of a session, in Unix seconds, if it can be told from memory now; else None.

        Call this after the request has arrived.
        """
        self._asked_at = self._now
        last_used_at = self.kept.find(user_id, id_hash, self._now)
        if last_used_at is None or self._clock() >= self._until:
            return None
        return last_used_at

    def ask(self, user_id: str, id_hash: str, answer: Answer) -> bool:
        """Ask Redis for the last use of a session. Return False if that cannot be done now.

        Args:
            answer: Called in the loop, after 0.1 s at the latest, with the last use, in Unix seconds. It gets None if
                there is no such session, or no reply.
        """
        if self._sock is None or len(self._sent) >= _MOST_AT_ONCE or self._is_late():
            return False
        self._asked_at = self._now
        self._read(user_id, id_hash, self._now, answer)
        return True

    def on_readable(self) -> None:
        """Take what Redis sent."""
        sock = self._sock
        try:
            raw = sock.recv(_READ_SIZE)
        except OSError as problem:
            if not isinstance(problem, _NO_DATA_YET):
                self._lose("connection", problem)
            return
        if not raw:
            self._lose("connection", "Redis closed it")
            return
        self._now = self._clock()
        try:
            self._replies.feed(raw)
            while self._sock is sock and (reply := self._replies.gets()) is not False:
                self._take(reply)
        except hiredis.HiredisError as odd:
            self._lose("connection", odd)
        if self._sock is sock and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self.on_readable()  # TLS has read more than it gave, and the poller does not know

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            self._on_push(*reply)
        elif self._sent:
            sent = self._sent.popleft()
            result = sent.handle(reply)
            if sent.answer is not None:
                sent.answer(result)
        else:
            self._lose("connection", "a reply to no command")

    @property
    def is_holding(self) -> bool:
        """Tell whether there is a lease, as of the last turn of the loop."""
        return self._is_holding

    def tick(self) -> float:
        """Do what is due, and send what has gathered. Call this in each turn of the loop.

        Returns:
            In how many seconds it must be called again at the latest.
        """
        self._now = now = self._clock()
        if self._sock is None:
            self._connect_if_due()
            return _CONNECT_AGAIN_S
        if self._generation != self._primary.generation:
            self._lose("primary", "another server is the primary now")
            return 0.0
        if self._is_late():
            self._answer_the_waiting()
            if now - self._sent[0].at > _LOST_S:
                self._lose("late", "Redis does not answer")
                return _CONNECT_AGAIN_S
        is_in_use = now - self._asked_at < _IN_USE_S
        if now >= self._until and self._is_holding:
            self._stop_holding("late" if is_in_use else "idle")
        if now >= self._ping_at and (is_in_use or self._heard):
            self._ping()
        self._flush()
        if is_in_use or self._heard or self._unsent:
            return max(0.0, min(self._ping_at - now, _LATE_S))
        return _IN_USE_S

    def close(self) -> None:
        """Give the lease back, so that no ending waits for this worker."""
        self._until = 0.0
        if self._sock is not None:
            self._send(("HDEL", self._keys.leases, self._rounds.own_id), _ignore)
            self._flush()
            self._lose("stop")
        self._connect_at = float("inf")

    # -- The connection

    def _connect_if_due(self) -> None:
        if not self._is_connecting and self._now >= self._connect_at:
            self._is_connecting = True
            generation = self._primary.generation
            self._loop.run_apart(self._connect, partial(self._on_connected, generation))

    def _connect(self) -> Any:
        """Return a connection that is open, or the error. This waits, so it runs in a thread."""
        try:
            connection = self._primary.make_connection()
            connection.connect()
        except (RedisError, OSError) as problem:
            return problem
        return connection

    def _on_connected(self, generation: int, connection: Any) -> None:
        self._is_connecting = False
        self._connect_at = max(self._connect_at, self._now + _CONNECT_AGAIN_S)
        if isinstance(connection, Exception):
            self.problem = str(connection)
            return
        if self._connect_at == float("inf"):  # closed meanwhile
            connection.disconnect()
            return
        self._connection, self._generation = connection, generation
        self._sock = connection._sock  # redis-py would wait for each reply, and nothing here may wait
        self._sock.setblocking(False)
        self._replies = hiredis.Reader(encoding="utf-8", errors="replace")
        self._ask_role_at = 0.0
        self._is_told = False
        self._loop.watch(self._sock)
        self._send(("HELLO", 3), self._require)
        self._send(("CLIENT", "TRACKING", "ON"), self._require)
        # The replies to this are pushes.
        self._queue(("SUBSCRIBE", self._keys.leases, self._keys.words(self._rounds.own_id)))
        self._register()

    def _require(self, reply: Any) -> None:
        """Give up for some time if Redis cannot do what a lease needs, or this user may not."""
        if isinstance(reply, hiredis.ReplyError):
            self._give_up(f"Redis refuses what that needs: {reply}")

    def _give_up(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("no check is answered from memory: %s", problem)
        self._connect_at = self._now + _REFUSED_AGAIN_S
        self._lose("refused", problem)

    def _lose(self, reason: str, problem: object = "") -> None:
        """Forget all, and answer whoever waits."""
        sock, connection = self._sock, self._connection
        self._sock = self._connection = None
        self._rounds.is_heard = False
        self._stop_holding(reason)
        self.kept.forget_all()
        self._answer_the_waiting()
        self._sent.clear()
        self._heard.clear()
        self._unsent = b""
        self._connect_at = max(self._connect_at, self._now + _CONNECT_AGAIN_S)
        if sock is not None:
            self._loop.unwatch(sock)
            connection.disconnect()
        self.problem = str(problem)

    # -- What is sent

    def _queue(self, command: tuple[Any, ...]) -> None:
        self._unsent += hiredis.pack_command(command)

    def _send(self, command: RedisCommand, handle: Callable[[Any], Any], answer: Answer | None = None) -> None:
        self._queue(command)
        self._sent.append(_Sent(handle, self._now, answer))

    def _flush(self) -> None:
        if not self._unsent or self._sock is None:
            return
        try:
            count = self._sock.send(self._unsent)
        except OSError as problem:
            if not isinstance(problem, _NO_DATA_YET):
                self._lose("connection", problem)
            return
        self._unsent = self._unsent[count:]

    def _register(self) -> None:
        """Tell all who end sessions that this worker may hold a lease. The count tells registrations apart."""
        # Read first, it is tracked: this connection must hear of its own change, as it will of all others.
        self._send(("HGET", self._keys.leases, self._rounds.own_id), _ignore)
        self._registrations += 1
        self._registration = f"{round(self._lease_s * 1000)} {self._registrations}"
        self._send(("HSET", self._keys.leases, self._rounds.own_id, self._registration), self._require)
        self._ping()

    def _ping(self) -> None:
        """Ask whether this worker is still registered. The reply renews the lease."""
        at = self._pinged_at = self._clock()  # the lease counts from before the ping is sent
        self._ping_at = at + self._lease_s / _PINGS_A_LEASE
        if at >= self._ask_role_at:
            self._ask_role_at = at + _ROLE_EVERY_S
            self._send(("ROLE",), self._on_role)
        heard, self._heard = self._heard, {}
        command = ("HGET", self._keys.leases, self._rounds.own_id)
        self._send(command, partial(self._on_ping, at, self._registration, heard))

    def _read(self, user_id: str, id_hash: str, asked_at: float, answer: Answer | None = None) -> None:
        command = ("ZSCORE", self._keys.last_used(user_id), id_hash)
        self._send(command, partial(self._on_read, user_id, id_hash, asked_at), answer)

    # -- What Redis sends

    def _on_role(self, reply: Any) -> None:
        if reason := why_not_primary(reply):
            self._lose("primary", reason)

    def _on_ping(self, at: float, registration: str, heard: dict[str, list[str]], reply: Any) -> None:
        """Renew the lease, and give the word to those whose rounds were heard before the ping."""
        if registration == self._registration:  # else this worker has registered anew meanwhile
            if reply != registration:
                self._forget_all("registration")
                self._register()
            elif not self._is_told:
                self._give_up("Redis does not tell this connection of changes, or a proxy in between does not")
                return
            elif self._primary.is_known():
                self._until = at + self._lease_s
                self._hold()
        for ender, numbers in heard.items():
            self._send(("PUBLISH", self._keys.words(ender), " ".join((self._rounds.own_id, *numbers))), _ignore)

    def _on_read(self, user_id: str, id_hash: str, asked_at: float, reply: Any) -> float | None:
        if not isinstance(reply, float):  # no such session, or the key is another application's
            return None
        self.kept.put(user_id, id_hash, reply, asked_at, self._now)
        return reply

    def _on_push(self, kind: str, *told: Any) -> None:
        if kind == "invalidate":
            self._on_change(told[0])
        elif kind == "message":
            name, *numbers = told[1].split(" ")
            if told[0] == self._keys.leases:
                self._heard.setdefault(name, []).extend(numbers)
                self._ping_at = min(self._ping_at, self._pinged_at + _PING_AGAIN_S)
            else:
                for number in filter(str.isdecimal, numbers):
                    self._rounds.note_word(name, int(number))

    def _on_change(self, names: list[str] | None) -> None:
        """Forget what has changed. What was asked for lately is read again; it changes each minute, by its use."""
        if names is None:  # all keys are gone, the registration too
            self._forget_all("flush")
            self._ping_at = self._now
            return
        for name in names:
            user_id = self._keys.user_id_in(name)
            if user_id is None:  # the registrations
                self._is_told = True
                continue
            for id_hash, asked_at in self.kept.take_changed(user_id, self._now):
                if len(self._sent) < _MOST_AT_ONCE:
                    self._read(user_id, id_hash, asked_at)

    # -- The lease

    def _hold(self) -> None:
        self._rounds.is_heard = True
        self.problem = ""
        if not self._is_holding:
            self._is_holding = True
            metrics.LEASES_HELD.inc()

    def _forget_all(self, reason: str) -> None:
        """End the lease, because nobody who ends a session waits for this worker now, or because the data are others.

        SWAPDB is noticed by this alone: it tells of no change.
        """
        self._rounds.is_heard = False
        self._stop_holding(reason)
        self.kept.forget_all()

    def _stop_holding(self, reason: str) -> None:
        self._until = 0.0
        if self._is_holding:
            self._is_holding = False
            metrics.LEASES_HELD.dec()
            metrics.LEASES_LOST.labels(reason).inc()

    def _is_late(self) -> bool:
        return bool(self._sent) and self._now - self._sent[0].at > _LATE_S

    def _answer_the_waiting(self) -> None:
        """Let threads answer those who wait. The replies may still come, and are then kept."""
        for sent in tuple(self._sent):
            answer, sent.answer = sent.answer, None
            if answer is not None:
                answer(None)


def _ignore(reply: Any) -> None:
    """Take a reply that tells nothing."""
