"""A receiver of webhooks, as a process. It writes each one down before it answers 204; some it answers late or not.

The first line of its input is JSON: port, log, seed, and of how many webhooks one is answered too late (late_one_in)
and one not at all (broken_one_in); 0 for none. The process goes on until its input ends.
"""

import asyncio
import os
import sys
import time
from random import Random
from typing import Any

import orjson

LATE_S = 7.0  # later than Keyrack waits


class Receiver:
    def __init__(self, asked: dict[str, Any]) -> None:
        self._log = os.open(asked["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._random = Random(asked["seed"])  # noqa: S311
        self._late_one_in, self._broken_one_in = asked["late_one_in"], asked["broken_one_in"]

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it hung up, or was killed
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request. Return False if the connection is to end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        breaks, comes_late = self._is_one_in(self._broken_one_in), self._is_one_in(self._late_one_in)
        if breaks and self._random.random() < 0.5:
            return False  # before it is done
        known = {name: headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")}
        os.write(self._log, orjson.dumps(known | {"at": time.monotonic(), "body": body.decode()}) + b"\n")
        if breaks:
            return False  # after it is done
        if comes_late:
            await asyncio.sleep(LATE_S)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        return True

    def _is_one_in(self, number: int) -> bool:
        return bool(number) and self._random.random() < 1 / number


async def main() -> None:
    asked = orjson.loads(sys.stdin.readline())
    server = await asyncio.start_server(Receiver(asked).speak, "127.0.0.1", asked["port"])
    async with server:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
