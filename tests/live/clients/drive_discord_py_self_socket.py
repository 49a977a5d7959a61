"""Drives discord.py-self and its socket against docs/example: a message, both devices, and the end of each."""

import asyncio
from contextlib import suppress

from driver import PROXY, TASK, does, tell

import discord  # isort: skip - the driver watches what it imports
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(TASK["socket_url"])


async def main() -> None:
    client = discord.Client(proxy=PROXY, chunk_guilds_at_startup=False)
    ready, heard = asyncio.Event(), asyncio.Queue()

    @client.event
    async def on_ready() -> None:
        ready.set()

    @client.event
    async def on_message(message: discord.Message) -> None:
        heard.put_nowait((message.author.name, message.content))

    running = asyncio.create_task(client.start(TASK["token"]))
    with does("be ready"):
        await asyncio.wait_for(ready.wait(), 20)
        assert str(client.user.id) == TASK["user_id"]
    with does("send and hear a message"):
        [room, _] = client.guilds[0].text_channels
        assert (await room.send("hello")).content == "hello"
        assert await asyncio.wait_for(heard.get(), 20) == ("alice", "hello")
    with does("end the other device"):
        listed = await client.http.request(Route("GET", "/auth/sessions"))
        assert TASK["phone"] in [session["id_hash"] for session in listed["user_sessions"]]
        body = {"session_id_hashes": [TASK["phone"]], "password": TASK["password"]}
        await client.http.request(Route("POST", "/auth/sessions/logout"), json=body)
    with does("hear of its own end"):
        with suppress(discord.HTTPException):  # the socket may close first, and the client then drops the answer
            await client.http.request(Route("POST", "/auth/logout"), json={})
        [end] = await asyncio.gather(asyncio.wait_for(running, 20), return_exceptions=True)
        assert (type(end), end.code) == (discord.ConnectionClosed, 4004)


asyncio.run(main())
tell()
