"""A connection to Redis in a worker's loop. It waits for nothing, and hears of each change of what it has read.

Redis writes replies, and what it tells (RESP3 pushes), in the order in which they came true. What is asked: holder.py.
"""

import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Protocol

import hiredis
from redis import RedisError

from app.stores.connection.primary import Primary

log = logging.getLogger(__name__)

LATE_S = 0.1  # who waits for a reply this long is told that there is none
_LOST_S = 1.0  # a connection without a reply for this long is given up
_CONNECT_AGAIN_S = 0.25
_REFUSED_AGAIN_S = 30.0
_REFUSED_NOW_AGAIN_S = 1.0
_MOST_AT_ONCE = 10_000  # commands without a reply
_READ_SIZE = 256 * 1024
_FOR_GOOD = ("NOPERM", "ERR", "WRONGTYPE", "NOAUTH", "NOPROTO")  # all else passes: READONLY, OOM, LOADING ...
_NO_DATA_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Command = tuple[Any, ...]
Answer = Callable[[float | None], None]


class Loop(Protocol):
    """What a connection needs of the worker's loop."""

    def run_apart(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run a job in a thread, then hand its result to `then` in the loop."""

    def watch(self, sock: Any) -> None:
        """Call on_readable() whenever this socket is readable, from now on."""

    def unwatch(self, sock: Any) -> None: ...


class Owner(Protocol):
    """Who uses a connection."""

    def on_open(self) -> None:
        """Take a new connection."""

    def on_push(self, kind: str, *told: Any) -> None:
        """Take what Redis tells unasked."""

    def on_lost(self, reason: str) -> None:
        """Forget all that was read. No reply comes to what was sent."""


class _Sent:
    """A command without a reply so far.

    Attributes:
        handle: Takes the reply.
        at: When it was sent.
        answer: Takes what `handle` returns; None if nobody waits for it.
    """

    __slots__ = ("answer", "at", "handle")

    def __init__(self, handle: Callable[[Any], Any], at: float, answer: Answer | None) -> None:
        self.handle = handle
        self.at = at
        self.answer = answer


class TrackedConnection:
    """All methods are called in the loop.

    Attributes:
        now: The time of the last turn of the loop, by `clock`.
        problem: Why there is no connection, as far as is known; "" if nothing is wrong.
    """

    def __init__(
        self,
        primary: Primary,
        channels: Sequence[str],
        owner: Owner,
        loop: Loop,
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            channels: What to listen to.
        """
        self.now = clock()
        self.problem = ""
        self._primary = primary
        self._channels = channels
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._connection: Any = None
        self._sock: Any = None
        self._is_connecting = False
        self._connect_at = 0.0
        self._generation = -1  # that of the primary to which the connection leads
        self._replies = hiredis.Reader()
        self._unsent = b""
        self._sent: deque[_Sent] = deque()

    @property
    def is_open(self) -> bool:
        return self._sock is not None

    @property
    def is_free(self) -> bool:
        """Tell whether a reply to one more command is likely to come soon."""
        return self._sock is not None and len(self._sent) < _MOST_AT_ONCE and not self._is_late()

    def send(self, command: Command, handle: Callable[[Any], Any], answer: Answer | None = None) -> None:
        """Send a command at the end of this turn.

        Args:
            handle: Takes the reply, which may be an error.
            answer: Called after 0.1 s at the latest, with what `handle` returns; with None if there is no reply yet.
        """
        self._unsent += hiredis.pack_command(command)
        self._sent.append(_Sent(handle, self.now, answer))

    def tick(self) -> float:
        """Do what is due. Call this in each turn of the loop.

        Returns:
            In how many seconds it must be called again at the latest.
        """
        self.now = self._clock()
        if self._sock is None:
            self._connect_if_due()
            return _CONNECT_AGAIN_S
        if self._generation != self._primary.generation:
            self.lose("primary", "another server is the primary now")
            return 0.0
        if self._is_late():
            self._answer_the_waiting()
            if self.now - self._sent[0].at > _LOST_S:
                self.lose("late", "Redis does not answer")
                return _CONNECT_AGAIN_S
        return LATE_S if self._sent or self._unsent else inf

    def flush(self) -> None:
        """Send what has gathered. What the socket does not take is sent in a later turn."""
        if not self._unsent or self._sock is None:
            return
        try:
            count = self._sock.send(self._unsent)
        except OSError as problem:
            if not isinstance(problem, _NO_DATA_YET):
                self.lose("connection", problem)
            return
        self._unsent = self._unsent[count:]

    def on_readable(self) -> None:
        """Take what Redis sent."""
        sock = self._sock
        try:
            raw = sock.recv(_READ_SIZE)
        except OSError as problem:
            if not isinstance(problem, _NO_DATA_YET):
                self.lose("connection", problem)
            return
        if not raw:
            self.lose("connection", "Redis closed it")
            return
        self.now = self._clock()
        try:
            self._replies.feed(raw)
            while self._sock is sock and (reply := self._replies.gets()) is not False:
                self._take(reply)
        except hiredis.HiredisError as odd:
            self.lose("connection", odd)
        if self._sock is sock and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self.on_readable()  # TLS has read more than it gave, and the poller does not know

    def require(self, reply: Any) -> None:
        """Give up if Redis cannot do what is needed, or this user may not. Try again soon if it may be over then."""
        if isinstance(reply, hiredis.ReplyError):
            again_s = _REFUSED_AGAIN_S if str(reply).startswith(_FOR_GOOD) else _REFUSED_NOW_AGAIN_S
            self.give_up(f"Redis refuses what that needs: {reply}", again_s)

    def give_up(self, problem: str, again_s: float = _REFUSED_AGAIN_S) -> None:
        """Close the connection, and try again later."""
        if problem != self.problem:
            log.warning("no check is answered from memory: %s", problem)
        self._connect_at = self.now + again_s
        self.lose("refused", problem)

    def lose(self, reason: str, problem: object = "") -> None:
        """Close the connection. Another one is made soon.

        Args:
            reason: For metrics.
            problem: For people.
        """
        sock, connection = self._sock, self._connection
        self._sock = self._connection = None
        self.problem = str(problem)
        self._owner.on_lost(reason)
        self._answer_the_waiting()
        self._sent.clear()
        self._unsent = b""
        self._connect_at = max(self._connect_at, self.now + _CONNECT_AGAIN_S)
        if sock is not None:
            self._loop.unwatch(sock)
            connection.disconnect()

    def close(self) -> None:
        """Close the connection for good."""
        self.lose("stop")
        self._connect_at = inf

    def _connect_if_due(self) -> None:
        if not self._is_connecting and self.now >= self._connect_at:
            self._is_connecting = True
            self._loop.run_apart(self._connect, partial(self._on_connected, self._primary.generation))

    def _connect(self) -> Any:
        """Return an open connection of redis-py, or the error. This waits, so it runs in a thread."""
        try:
            connection = self._primary.make_connection()
            connection.connect()
        except (RedisError, OSError) as problem:
            return problem
        return connection

    def _on_connected(self, generation: int, connection: Any) -> None:
        self._is_connecting = False
        self._connect_at = max(self._connect_at, self.now + _CONNECT_AGAIN_S)
        if isinstance(connection, Exception):
            self.problem = str(connection)
            return
        if self._connect_at == inf:  # closed meanwhile
            connection.disconnect()
            return
        self._connection, self._generation = connection, generation
        self._sock = connection._sock  # redis-py would wait for each reply, and nothing here may wait
        self._sock.setblocking(False)
        self._replies = hiredis.Reader(encoding="utf-8", errors="replace")
        self._loop.watch(self._sock)
        self.send(("HELLO", 3), self.require)
        self.send(("CLIENT", "TRACKING", "ON"), self.require)
        *others, last = self._channels  # one at a time, so that each has one reply
        for channel in others:
            self.send(("SUBSCRIBE", channel), self.require)
        self.send(("SUBSCRIBE", last), self._on_subscribed)

    def _on_subscribed(self, reply: Any) -> None:
        self.require(reply)
        if self.is_open:
            self._owner.on_open()

    def _take(self, reply: Any) -> None:
        # SUBSCRIBE is answered by a push, but refused as any command is. A reply that is taken for that to another
        # command would tell the last use of another session.
        if isinstance(reply, hiredis.PushNotification) and reply[0] != "subscribe":
            self._owner.on_push(*reply)
        elif self._sent:
            sent = self._sent.popleft()
            result = sent.handle(reply)
            if sent.answer is not None:
                sent.answer(result)
        else:
            self.lose("connection", "a reply to no command")

    def _is_late(self) -> bool:
        return bool(self._sent) and self.now - self._sent[0].at > LATE_S

    def _answer_the_waiting(self) -> None:
        """Tell those who wait that there is no reply. It may still come, and is then kept."""
        for sent in tuple(self._sent):
            answer, sent.answer = sent.answer, None
            if answer is not None:
                answer(None)
