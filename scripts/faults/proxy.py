"""A network between the service and Redis that can stall, break, or be slow."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from random import Random

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing a socket resets its connection
_SHORT_S = (0.001, 0.02)  # delay of a packet, one way
_LAG_S = (0.0, 0.03)
_TOO_LONG_S = (0.8, 2.0)  # delay of one in 100: longer than the service waits


class Proxy:
    """A proxy from a port to a server's socket in the file system, or to its port.

    stall()     holds all data, in both directions. It arrives after restore(), even if the service gave up meanwhile
    reset()     breaks every connection, and each new one at once
    delay()     delays data, now and then for longer than the service waits
    lag()       delays data, never for long
    restore()   lets all data pass
    lead_to()   leads new connections to another server; those that are open stay
    """

    def __init__(self, target: str | int, seed: int = 0) -> None:
        self._target = target
        self._random = Random(seed)  # noqa: S311 - no secret
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._moves = asyncio.Event()
        self._server = self._run(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.restore()

    def stall(self) -> None:
        self._run(self._set("stall"))

    def reset(self) -> None:
        self._run(self._set("reset"))

    def delay(self) -> None:
        self._run(self._set("delay"))

    def lag(self) -> None:
        self._run(self._set("lag"))

    def restore(self) -> None:
        self._run(self._set("pass"))

    def lead_to(self, target: str | int) -> None:
        self._target = target

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _set(self, mode: str) -> None:
        self._mode = mode
        (self._moves.clear if mode == "stall" else self._moves.set)()
        if mode == "reset":
            for writer in list(self._open):
                _break(writer)

    async def _end(self) -> None:
        self._server.close()
        await self._set("reset")
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._mode == "reset":
                raise ConnectionResetError
            far_reader, far_writer = await _open(self._target)
        except OSError:
            _break(writer)
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._open.add(sink)
        try:
            with suppress(OSError):  # broken
                while data := await source.read(65_536):
                    await self._pass()
                    sink.write(data)
                    await sink.drain()
                await self._pass()  # the end of a stream is held up, too
        finally:
            self._open.discard(sink)
            sink.close()

    async def _pass(self) -> None:
        if self._mode == "delay":
            await asyncio.sleep(self._random.uniform(*(_TOO_LONG_S if self._random.random() < 0.01 else _SHORT_S)))
        elif self._mode == "lag":
            await asyncio.sleep(self._random.uniform(*_LAG_S))
        await self._moves.wait()


async def _open(target: str | int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, int):
        return await asyncio.open_connection("127.0.0.1", target)
    return await asyncio.open_unix_connection(target)


def _break(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
