"""A client process that asks about sessions over many connections without a pause, and ends them meanwhile.

Its input has a line of JSON for each session, "watch", or each ending, "end"; see `Hammer`. When its input ends, it
prints what it found as JSON, and ends. All times are of the machine's monotonic clock, so that the findings of several
processes can be put together. The time of a request is noted before it is sent, that of an answer after it was read:
what counts as later was later.
"""

import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from random import Random

import orjson

from app.tokens import id_hash

_FRESH_S = 0.2
_OF_FRESH = 0.2  # this part of the checks is of what was ended in that time, beside bursts right after an ending
_BURST_S = 0.06
_OF_ENDED = 0.05  # this part of the others is of what was ended before
_GOES_ON_S = 2.0  # a session is asked about so long after its end was told
_AGAIN_S = 0.05  # until a refused ending is tried again, or a broken connection is made anew
_TRIES = 40
_LONGEST_S = 3600  # it ends then, even if its parent is gone and its input stays open
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Seen:
    """
    Attributes:
        last_yes_at: When the last check was sent that was answered by yes.
        first_no_at: When the first no had come; infinity if none came.
        asked_at: When its ending was first sent; infinity if it was not.
        told_at: When the ending was answered by success; infinity if it was not.
        ending: The way in which it was ended.
        is_foreign: A yes named another session.
    """

    last_yes_at: float = 0.0
    first_no_at: float = 1e18
    asked_at: float = 1e18
    told_at: float = 1e18
    ending: str = ""
    is_foreign: bool = False


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, and lets the next one be chosen.

    Attributes:
        is_for_bursts: It is kept free for what was ended just now. While a worker is stopped, the others wait for
            answers to what they asked before.
    """

    def __init__(self, port: int, on_idle, *, is_for_bursts: bool) -> None:
        self.is_for_bursts = is_for_bursts
        self.transport: asyncio.Transport | None = None
        self._port = port
        self._on_idle = on_idle
        self._on_answer = None
        self._raw = b""

    async def connect(self) -> None:
        while self.transport is None:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(_AGAIN_S)

    def connection_made(self, transport) -> None:
        self.transport, self._raw = transport, b""
        self._on_idle(self)

    def ask(self, request: bytes, on_answer) -> None:
        """Send a request. `on_answer` gets status and head; (0, b"") if the connection broke."""
        self._on_answer = on_answer
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._raw += data
        head, end, body = self._raw.partition(_END_OF_HEAD)
        if not end or len(body) < _length_of(head):
            return
        self._raw = b""
        self._finish(int(head[9:12]), head)
        if b"onnection: close" in head:
            self.transport.close()
        elif self.transport is not None:
            self._on_idle(self)

    def connection_lost(self, _) -> None:
        self.transport = None
        self._finish(0, b"")
        _keep(asyncio.ensure_future(self.connect()))

    def _finish(self, status: int, head: bytes) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer:
            on_answer(status, head)


class Hammer:
    """Asks about sessions by chance, above all about those that were ended just now.

    watch   {"watch": token}: ask about it from now on
    end     {"end": [tokens], "way": its name, "request": what is sent, "after_s": when}
    told    {"told": [tokens], "way": its name, "asked_at", "told_at"}: somebody else has ended them
    """

    def __init__(self, port: int, connections: int, seed: str) -> None:
        self.seen: dict[str, Seen] = {}
        self.checks = 0
        self.unanswered = 0
        self._random = Random(seed)  # noqa: S311 - no secret
        self._live: list[str] = []
        self._fresh: list[str] = []
        self._ended: list[str] = []
        self._due: list[dict] = []  # endings to be sent on the next connection that is free
        self._idle: list[Connection] = []
        self._burst_until = 0.0
        self._connections = [Connection(port, self.use, is_for_bursts=n % 2 == 1) for n in range(connections)]

    async def start(self) -> None:
        for connection in self._connections:
            await connection.connect()

    def take(self, line: dict) -> None:
        if "watch" in line:
            self.seen[line["watch"]] = Seen()
            self._live.append(line["watch"])
        elif "end" in line:
            asyncio.get_running_loop().call_later(line["after_s"], self._end, line | {"tries": 0})
        else:
            self._note_told(line["told"], line["way"], line["asked_at"], line["told_at"])
        self._wake()

    def _wake(self) -> None:
        for connection in self._idle[:]:
            self.use(connection)

    def use(self, connection: Connection) -> None:
        """Let a connection that is free send the next request."""
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.transport is None:
            return
        if connection.is_for_bursts:
            self._use_in_burst(connection)
        elif self._due:
            self._send_ending(connection, self._due.pop())
        elif self._live or self._fresh or self._ended:
            self._check(connection)
        else:
            self._idle.append(connection)

    def _use_in_burst(self, connection: Connection) -> None:
        if self._fresh and time.monotonic() < self._burst_until:
            self._check(connection, self._fresh[-1])
        else:
            self._idle.append(connection)

    def _check(self, connection: Connection, token: str = "") -> None:
        token = token or self._random.choice(self._choose())
        seen, sent_at = self.seen[token], time.monotonic()

        def note(status: int, head: bytes) -> None:
            self.checks += 1
            if status == 200:
                seen.last_yes_at = max(seen.last_yes_at, sent_at)
                seen.is_foreign |= id_hash(token).encode() not in head
            elif status == 401:
                seen.first_no_at = min(seen.first_no_at, time.monotonic())
            else:
                self.unanswered += 1

        connection.ask(f"GET /gateway/verify HTTP/1.1\r\nHost: chaos\r\nAuthorization: {token}\r\n\r\n".encode(), note)

    def _choose(self) -> list[str]:
        if self._fresh and self._random.random() < _OF_FRESH:
            return self._fresh
        if self._ended and (not self._live or self._random.random() < _OF_ENDED):
            return self._ended
        return self._live or self._fresh

    def _end(self, line: dict) -> None:
        self._due.append(line)
        for connection in self._idle:
            if not connection.is_for_bursts:
                self.use(connection)
                return

    def _send_ending(self, connection: Connection, line: dict) -> None:
        tokens, sent_at = line["end"], time.monotonic()
        for token in tokens:
            self.seen[token].asked_at = min(self.seen[token].asked_at, sent_at)

        def note(status: int, _: bytes) -> None:
            told_at = time.monotonic()
            if 200 <= status < 300:
                self._note_told(tokens, line["way"], sent_at, told_at)
            elif status in (0, 503) and line["tries"] < _TRIES:
                asyncio.get_running_loop().call_later(_AGAIN_S, self._end, line | {"tries": line["tries"] + 1})
            else:
                self._drop(tokens)

        connection.ask(line["request"].encode(), note)

    def _note_told(self, tokens: list[str], way: str, asked_at: float, told_at: float) -> None:
        for token in tokens:
            seen = self.seen[token]
            seen.told_at, seen.ending = min(seen.told_at, told_at), way
            seen.asked_at = min(seen.asked_at, asked_at)
        self._drop(tokens)
        self._fresh += tokens
        self._burst_until = time.monotonic() + _BURST_S
        self._wake()
        loop = asyncio.get_running_loop()
        loop.call_later(_FRESH_S, self._put_by, tokens)
        loop.call_later(_GOES_ON_S, self._drop, tokens)

    def _put_by(self, tokens: list[str]) -> None:
        self._drop(tokens)
        self._ended += tokens

    def _drop(self, tokens: list[str]) -> None:
        """Ask no more about sessions."""
        for watched in (self._live, self._fresh, self._ended):
            watched[:] = [token for token in watched if token not in tokens]


_kept: set[asyncio.Future] = set()


def _keep(task: asyncio.Future) -> None:
    """Hold a task, as the loop itself does not."""
    _kept.add(task)
    task.add_done_callback(_kept.discard)


def _length_of(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def run() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    asked = orjson.loads(await lines.readline())
    hammer = Hammer(asked["port"], asked["connections"], asked["seed"])
    await hammer.start()
    while line := await lines.readline():
        hammer.take(orjson.loads(line))
    seen = {token: asdict(one) for token, one in hammer.seen.items()}
    print(orjson.dumps({"checks": hammer.checks, "unanswered": hammer.unanswered, "seen": seen}).decode())


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(run(), _LONGEST_S))
