"""A WebSocket gateway: a socket lives as long as the session that opened it. This one echoes what it hears.

    pip install redis urllib3 websockets
    KEYRACK_URL=http://127.0.0.1:8000 REDIS_URL=redis://127.0.0.1:6379 GATEWAY_SECRET=... PORT=9001 \
        python websocket_gateway.py

Why each step is where it is: docs/gateway.md, "WebSockets".
"""

import asyncio
import json
import logging
import os
from collections import defaultdict
from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

import urllib3
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

KEYRACK_URL, REDIS_URL = os.environ["KEYRACK_URL"], os.environ["REDIS_URL"]
GATEWAY_SECRET, PORT = os.environ["GATEWAY_SECRET"], int(os.environ["PORT"])
PREFIX = os.environ.get("REDIS_PREFIX")  # as Keyrack has it
CHANNEL = f"{PREFIX}:auth-events" if PREFIX else "auth-events"
PASSED_ON = ("Authorization", "Cookie", "Host", "Origin", "Sec-Fetch-Site", "User-Agent", "X-Super-Properties")
RECONCILE_EVERY_S, MAX_BACKOFF_S = 60, 10

Session = tuple[str, str]  # the user's id and the session's hash

sockets: defaultdict[Session, set[ServerConnection]] = defaultdict(set)
session_of: WeakKeyDictionary[ServerConnection, Session] = WeakKeyDictionary()
keyrack = urllib3.PoolManager(maxsize=32, timeout=5, retries=False)
closing: set[asyncio.Task[None]] = set()


async def ask(path: str, headers: dict[str, str], body: Any = None) -> urllib3.BaseHTTPResponse:
    return await asyncio.to_thread(keyrack.request, "POST", KEYRACK_URL + path, headers=headers, json=body)


async def admit(socket: ServerConnection, request: Request) -> Response | None:
    """Ask Keyrack whose a handshake is, as a POST: with a cookie it then counts from its own origin only."""
    headers = {name: _joined(request.headers, name) for name in PASSED_ON if name in request.headers}
    answer = await ask("/gateway/verify", headers | {"X-Forwarded-For": socket.remote_address[0]})
    if answer.status != 200:
        told = Headers({"Content-Type": "application/json", "Content-Length": str(len(answer.data))})
        return Response(answer.status, answer.reason or "", told, answer.data)
    session_of[socket] = (answer.headers["X-Auth-User-Id"], answer.headers["X-Auth-Session-Id-Hash"])
    return None


def _joined(headers: Headers, name: str) -> str:
    """A header that came more than once as one: cookies by "; ", others by ", " (RFC 9113, 8.2.3; RFC 9110, 5.3)."""
    return ("; " if name == "Cookie" else ", ").join(headers.get_all(name))


async def serve_socket(socket: ServerConnection) -> None:
    sockets[session_of[socket]].add(socket)
    try:
        await close_ended([session_of[socket]])  # it may have ended since the yes, before this socket was known here
        async for message in socket:
            await socket.send(message)
    finally:
        session = session_of[socket]
        sockets[session].discard(socket)
        if not sockets[session]:
            del sockets[session]


def close(session: Session) -> None:
    for socket in sockets.pop(session, ()):
        task = asyncio.create_task(socket.close(4004, "The session has ended"))
        closing.add(task)  # the loop itself holds no task
        task.add_done_callback(closing.discard)


async def close_ended(sessions: Collection[Session]) -> None:
    """Reconcile: close the sockets of those sessions that live no more."""
    named = [{"user_id": user_id, "id_hash": id_hash} for user_id, id_hash in sessions]
    for start in range(0, len(named), 1000):
        body = {"sessions": named[start : start + 1000]}
        answer = await ask("/gateway/reconcile", {"Authorization": f"Bearer {GATEWAY_SECRET}"}, body)
        if answer.status != 200:
            raise urllib3.exceptions.HTTPError(f"reconcile: {answer.status}")
        for ended in answer.json()["ended"]:
            close((ended["user_id"], ended["id_hash"]))


def heed(event: dict[str, str]) -> None:
    session = (event["user_id"], event["auth_session_id_hash"])
    if event["type"] == "AUTH_SESSION_REMOVE":
        close(session)
    elif event["type"] == "AUTH_SESSION_CHANGE":
        for socket in sockets.pop((event["user_id"], event["old_auth_session_id_hash"]), ()):
            session_of[socket] = session
            sockets[session].add(socket)


async def follow_events() -> None:
    backoff_s = 0.1
    while True:
        try:
            async with Redis.from_url(REDIS_URL, decode_responses=True) as redis, redis.pubsub() as events:
                await events.subscribe(CHANNEL)
                async for message in events.listen():
                    if message["type"] == "subscribe":  # told again whenever redis-py has connected anew
                        await close_ended(list(sockets))
                        backoff_s = 0.1
                    else:
                        heed(json.loads(message["data"]))
        except (RedisError, OSError, urllib3.exceptions.HTTPError) as problem:
            logging.warning("following events: %s; again in %s s", problem, backoff_s)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)


async def reconcile_now_and_then() -> None:
    """For what no event tells: sessions that expire, a connection to Redis that is dead and does not know it."""
    while True:
        await asyncio.sleep(RECONCILE_EVERY_S)
        try:
            await close_ended(list(sockets))
        except urllib3.exceptions.HTTPError as problem:
            logging.warning("reconciling: %s", problem)


async def main() -> None:
    async with serve(serve_socket, "127.0.0.1", PORT, process_request=admit):
        await asyncio.gather(follow_events(), reconcile_now_and_then())


if __name__ == "__main__":
    asyncio.run(main())
