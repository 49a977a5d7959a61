"""A chat behind Keyrack: rooms and messages over HTTP, told to all over WebSockets. README.md says how to run it.

Rooms, messages and profiles are in memory, and end with the process.
"""

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from keyrack import Forged, Json, Keyrack, KeyrackAway, Remembered, Session, Webhooks, identity
from sockets import Sockets

SOCKET_URL = os.environ.get("SOCKET_URL", "ws://127.0.0.1:8081")  # what clients of the user API are told
PAGE = Path(__file__).parent / "page"
API, GUILD_ID, ROOMS = "/api/v9", "1", ("general", "off-topic")
MAX_BODY_BYTES, MAX_CONTENT, MAX_BIO = 32_768, 2000, 190
MAX_MESSAGES_OF_ROOM, MAX_PEOPLE, MAX_UNASKED = 200, 1000, 100
# Everybody may see rooms, write, and read what was written before.
EVERYONE = {"id": GUILD_ID, "name": "@everyone", "position": 0, "permissions": "68608"}
# What people see of each other.
PUBLIC = ("id", "username", "global_name", "discriminator", "avatar")
# What webhooks have and the channel has not, in an event that comes by both.
OF_WEBHOOKS = ("id", "former_auth_session_id_hashes")
# What clients look for in each message.
PLAIN_MESSAGE: Json = {
    "type": 0,
    "attachments": [],
    "edited_timestamp": None,
    "embeds": [],
    "mention_everyone": False,
    "mention_roles": [],
    "mentions": [],
    "pinned": False,
    "tts": False,
}
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'"
SAFE = {
    "Content-Security-Policy": f"{CSP}; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_numbers = count()


def new_id() -> str:
    """Return a snowflake: the milliseconds since 2015, then a number."""
    return str((int(time.time() * 1000) - 1_420_070_400_000) << 22 | next(_numbers) & 0x3FFFFF)


class Refused(Exception):
    """A refusal in the form of the user API."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message} | more


def invalid(field: str, problem: str) -> Refused:
    errors = {field: {"_errors": [{"code": "BASE_TYPE_BAD_VALUE", "message": problem}]}}
    return Refused(400, 50035, "Invalid Form Body", errors=errors)


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        answer = await handler(request)
    except Refused as refusal:
        answer = web.json_response(refusal.body, status=refusal.status)
    except KeyrackAway:
        answer = web.json_response({"code": 0, "message": "503: Service Unavailable"}, status=503)
        answer.headers["Retry-After"] = "1"
    except web.HTTPError as error:
        answer = web.json_response({"code": 0, "message": f"{error.status}: {error.reason}"}, status=error.status)
    if not answer.prepared:
        answer.headers.update(SAFE)
        if answer.content_type == "application/json":  # some clients compare the whole header
            answer.headers["Content-Type"] = "application/json"
    return answer


def caller(request: web.Request) -> Session:
    """Return whose request this is. Whoever comes past the gateway without an identity is refused."""
    session = identity(request.headers)
    if session is None:
        raise Refused(401, 0, "401: Unauthorized")
    return session


async def read_fields(request: web.Request) -> Json:
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise Refused(400, 50109, "The request body contains invalid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, 50035, "Invalid Form Body")
    return body


class Chat:
    def __init__(self, keyrack: Keyrack, webhook_secrets: Sequence[str]) -> None:
        self._keyrack = keyrack
        self._webhooks = Webhooks(webhook_secrets, self.heed)
        self._heeded = Remembered()
        self.sockets = Sockets(keyrack, self._make_ready)
        self._people: dict[str, Json] = {}  # what Keyrack said of them
        self._profiles: dict[str, Json] = {}  # what only this application knows of them
        self._unasked: asyncio.Queue[str] = asyncio.Queue(MAX_UNASKED)  # users whom Keyrack is to be asked about
        self._guild = {"id": GUILD_ID, "name": "Keyrack's example"}
        self._messages: dict[str, deque[Json]] = {new_id(): deque(maxlen=MAX_MESSAGES_OF_ROOM) for _ in ROOMS}
        self._rooms = [
            {"id": room_id, "type": 0, "guild_id": GUILD_ID, "name": name, "position": position}
            for position, (room_id, name) in enumerate(zip(self._messages, ROOMS, strict=True))
        ]

    def routes(self) -> list[web.RouteDef]:
        messages = f"{API}/channels/{{id}}/messages"
        return [
            web.get("/", self.show_home),
            web.get("/chat/", self.show_page),
            web.get("/chat/{name:(chat.js|chat.css)}", self.show_page),
            web.get("/socket", self.sockets.serve),
            web.post("/hooks/keyrack", self.take_webhook),
            web.get(f"{API}/gateway", self.show_gateway),
            web.get(f"{API}/users/@me", self.show_profile),
            web.patch(f"{API}/users/@me", self.change_profile),
            web.get(f"{API}/users/@me/guilds", self.list_guilds),
            web.get(f"{API}/guilds/{GUILD_ID}/channels", self.list_rooms),
            web.get(messages, self.list_messages),
            web.post(messages, self.send_message),
        ]

    # Who is there

    async def take_webhook(self, request: web.Request) -> web.Response:
        """Answer at once, because Keyrack waits 5 seconds: what takes longer comes after the answer."""
        if identity(request.headers):  # it came through the gateway, and Keyrack does not
            raise web.HTTPNotFound
        try:
            self._webhooks.take(request.headers, await request.read())
        except Forged:
            raise web.HTTPUnauthorized from None
        return web.Response(status=204)

    def heed(self, event: Json) -> None:
        """Hear an event of Keyrack, once where it comes by the channel and by webhook."""
        told = json.dumps({name: event[name] for name in sorted(event) if name not in OF_WEBHOOKS})
        if told in self._heeded:
            return
        self.sockets.heed(event)
        user_id = event["user_id"]
        if event["type"] == "user.deleted":
            self._profiles.pop(user_id, None)
        is_newcomer = event["type"] == "AUTH_SESSION_CREATE" and user_id not in self._people
        if event["type"].startswith("user.") or is_newcomer:
            self._ask_about(user_id)
        self._heeded.add(told)

    def _ask_about(self, user_id: str) -> None:
        try:
            self._unasked.put_nowait(user_id)
        except asyncio.QueueFull:
            self._people.pop(user_id, None)  # they are met at their next request

    async def meet_people(self) -> None:
        while True:
            user_id = await self._unasked.get()
            try:
                await self._meet(user_id)
            except Exception as problem:  # whatever it is, the next one is met
                self._people.pop(user_id, None)
                logging.warning("somebody waits for their next request: %r", problem)

    async def _meet(self, user_id: str) -> Json | None:
        """Ask Keyrack who somebody is, and tell the others if they are new here, or others than before."""
        user = await self._keyrack.find_user(user_id)
        former = self._people.pop(user_id, None)
        if user is None or user["disabled"]:
            if former:
                self.sockets.dispatch("GUILD_MEMBER_REMOVE", {"guild_id": GUILD_ID, "user": former})
            return None
        person = self._people[user_id] = {name: user[name] for name in PUBLIC}
        if len(self._people) > MAX_PEOPLE:
            del self._people[next(iter(self._people))]
        if person != former:
            name = "GUILD_MEMBER_UPDATE" if former else "GUILD_MEMBER_ADD"
            self.sockets.dispatch(name, {"guild_id": GUILD_ID, "user": person, "roles": []})
        return user | self._profiles.get(user_id, {})

    async def _make_ready(self, user_id: str) -> Json | None:
        user = await self._meet(user_id)
        members = [{"user": person, "roles": []} for person in self._people.values()]
        guild = self._guild | {"roles": [EVERYONE], "channels": self._rooms, "members": members}
        return user and {"v": 9, "user": user, "guilds": [guild], "resume_gateway_url": SOCKET_URL}

    # What a user says of themselves: Keyrack asks for it where APPLICATION_URL names this application

    async def show_profile(self, request: web.Request) -> web.Response:
        return web.json_response(self._profiles.get(caller(request).user_id, {}))

    async def change_profile(self, request: web.Request) -> web.Response:
        user_id, fields = caller(request).user_id, await read_fields(request)
        bio, color = fields.get("bio", ""), fields.get("accent_color")
        if not isinstance(bio, str) or len(bio) > MAX_BIO:
            raise invalid("bio", f"Must be {MAX_BIO} or fewer in length.")
        if color is not None and not (type(color) is int and 0 <= color <= 0xFFFFFF):
            raise invalid("accent_color", "Must be a number between 0 and 16777215, or null.")
        kept = {name: fields[name] for name in ("bio", "accent_color") if name in fields}
        self._profiles[user_id] = self._profiles.pop(user_id, {}) | kept
        if len(self._profiles) > MAX_PEOPLE:
            del self._profiles[next(iter(self._profiles))]
        return web.json_response(self._profiles[user_id])

    # Rooms and messages

    async def show_gateway(self, request: web.Request) -> web.Response:
        caller(request)
        return web.json_response({"url": SOCKET_URL})

    async def list_guilds(self, request: web.Request) -> web.Response:
        caller(request)
        return web.json_response([self._guild])

    async def list_rooms(self, request: web.Request) -> web.Response:
        caller(request)
        return web.json_response(self._rooms)

    def _messages_of_room(self, request: web.Request) -> deque[Json]:
        messages = self._messages.get(request.match_info["id"])
        if messages is None:
            raise Refused(404, 10003, "Unknown Channel")
        return messages

    async def list_messages(self, request: web.Request) -> web.Response:
        """Newest first, as clients expect."""
        caller(request)
        return web.json_response(list(reversed(self._messages_of_room(request))))

    async def send_message(self, request: web.Request) -> web.Response:
        user_id, messages = caller(request).user_id, self._messages_of_room(request)
        content = (await read_fields(request)).get("content")
        if not isinstance(content, str) or not content.strip() or len(content) > MAX_CONTENT:
            raise invalid("content", f"Must be between 1 and {MAX_CONTENT} in length.")
        if user_id not in self._people and await self._meet(user_id) is None:
            raise Refused(401, 0, "401: Unauthorized")
        message = PLAIN_MESSAGE | {
            "id": new_id(),
            "channel_id": request.match_info["id"],
            "author": self._people[user_id],
            "content": content,
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        messages.append(message)
        self.sockets.dispatch("MESSAGE_CREATE", message)
        return web.json_response(message)

    # The page

    async def show_home(self, _: web.Request) -> web.Response:
        raise web.HTTPFound("/chat/")

    async def show_page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / request.match_info.get("name", "chat.html"))


async def make_application() -> web.Application:
    secret, prefix = os.environ["GATEWAY_SECRET"], os.environ.get("REDIS_PREFIX", "")
    redis_url = os.environ.get("REDIS_URL", "")
    webhook_secrets = os.environ.get("WEBHOOK_SECRETS", "").replace(",", " ").split()
    keyrack = Keyrack(os.environ["KEYRACK_URL"], secret, redis_url, prefix)
    chat = Chat(keyrack, webhook_secrets)

    async def listen(_: web.Application) -> AsyncIterator[None]:
        followers = [
            asyncio.create_task(keyrack.reconcile_now_and_then(chat.sockets.close_ended)),
            asyncio.create_task(chat.meet_people()),
        ]
        if redis_url:
            followers.append(asyncio.create_task(keyrack.follow(chat.heed, chat.sockets.close_ended)))
        yield
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await keyrack.close()

    application = web.Application(middlewares=[answer_refusals], client_max_size=MAX_BODY_BYTES)
    application.add_routes(chat.routes())
    application.cleanup_ctx.append(listen)
    application.on_shutdown.append(chat.sockets.close)
    return application


if __name__ == "__main__":
    web.run_app(
        make_application(),
        host="127.0.0.1",  # for the gateway alone: whoever else could come here would say who they are themselves
        port=int(os.environ.get("PORT", "9000")),
        print=None,
        access_log=None,
        shutdown_timeout=2,
    )
