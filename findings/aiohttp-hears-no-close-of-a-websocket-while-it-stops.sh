#!/usr/bin/env bash
# aiohttp 3.14.5 as the server, websockets 17.4 as the client (PyPI).
#
# One would guess: a WebSocket that its handler closes at a stop is closed in moments, where the client answers the close
# at once, as RFC 6455 asks. It is so while the server runs.
#
# What happens: the runner marks every connection as closing before it calls on_shutdown, and drops whatever arrives on a
# connection that is marked. The client hears the close with its code, and answers; the server never reads the answer. So
# close() waits for the whole timeout of the WebSocketResponse, 10 seconds by default. A client that ends the connection
# itself, as aiohttp's does, ends the wait; others leave that to the server (RFC 6455, 7.1.1). Where another task waits
# in receive() meanwhile, as in the example of aiohttp's documentation, close() does not wait for the client at all.
#
# Seen, with a timeout of 2 seconds:
#   closed while it runs                    0.0 s  the client heard 1001
#   closed at the stop                      2.0 s  the client heard 1001
#   closed at the stop, in a receive()      0.0 s  the client heard 1001
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 websockets==17.4

timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import asyncio
import time

import aiohttp
from aiohttp import web
from websockets.asyncio.client import connect

TIMEOUT_S = 2


async def look(name, *, at_the_stop, receives):
    sockets, took, over = [], [], asyncio.Event()

    async def serve(request):
        socket = web.WebSocketResponse(timeout=TIMEOUT_S)
        await socket.prepare(request)
        sockets.append(socket)
        await (socket.receive() if receives else over.wait())
        return socket

    async def close(_=None):
        began = time.monotonic()
        await sockets[0].close(code=aiohttp.WSCloseCode.GOING_AWAY, message=b"Server shutdown")
        took.append(time.monotonic() - began)
        over.set()

    async def listen():
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None, close_timeout=20) as socket:
            await socket.wait_closed()  # the close is answered at once; then it is the server's to end the connection
            return socket.close_code

    application = web.Application()
    application.router.add_get("/", serve)
    if at_the_stop:
        application.on_shutdown.append(close)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    listening = asyncio.create_task(listen())
    while not sockets:
        await asyncio.sleep(0.01)
    if not at_the_stop:
        await close()
    await runner.cleanup()
    code = await listening
    print(f"{name:38}  {took[0]:.1f} s  the client heard {code}")
    assert code == 1001
    return took[0]


running = asyncio.run(look("closed while it runs", at_the_stop=False, receives=False))
stopping = asyncio.run(look("closed at the stop", at_the_stop=True, receives=False))
receiving = asyncio.run(look("closed at the stop, in a receive()", at_the_stop=True, receives=True))
assert max(running, receiving) < TIMEOUT_S, "the machine is busy, or the behaviour has changed"
assert stopping >= TIMEOUT_S, "the behaviour has changed"
PYTHON
