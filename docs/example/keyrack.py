"""What an application asks Keyrack and hears from it. Made to be copied."""

import asyncio
import base64
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
from redis.asyncio import Redis

ANSWER_WITHIN_S = 5
KEEPALIVE_S = 10  # less than the 15 s of Keyrack, so that the application is the one to hang up
RECONCILE_EVERY_S, RECONCILE_AT_MOST, MAX_BACKOFF_S = 60, 1000, 10
WEBHOOK_AGE_S, REMEMBERED = 300, 10_000
# Webhooks tell of passkeys under other names than the channel.
CHANNEL_NAMES = {
    "authenticator.created": "AUTHENTICATOR_CREATE",
    "authenticator.updated": "AUTHENTICATOR_UPDATE",
    "authenticator.deleted": "AUTHENTICATOR_DELETE",
}

Json = dict[str, Any]


class Session(NamedTuple):
    user_id: str
    id_hash: str


class KeyrackAway(Exception):
    """Keyrack does not answer, or not as it should. Nobody is let in then."""


class Forged(Exception):
    """No secret of ours has signed this, or not within the last minutes."""


def identity(headers: Mapping[str, str]) -> Session | None:
    """Return whose request this is. Only the gateway can reach the application, and it sets both headers itself."""
    user_id, id_hash = headers.get("X-Auth-User-Id"), headers.get("X-Auth-Session-Id-Hash")
    return Session(user_id, id_hash) if user_id and id_hash else None


class Keyrack:
    def __init__(self, url: str, secret: str, redis_url: str, prefix: str = "") -> None:
        """redis_url: for `follow` alone. prefix: REDIS_PREFIX, as Keyrack has it."""
        self._redis_url = redis_url
        self._channel = f"{prefix}:auth-events" if prefix else "auth-events"
        self._http = aiohttp.ClientSession(
            url,
            headers={"Authorization": f"Bearer {secret}"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            connector=aiohttp.TCPConnector(keepalive_timeout=KEEPALIVE_S),
        )

    async def close(self) -> None:
        await self._http.close()

    async def introspect(self, token: str) -> Session | None:
        """Return the session of a token, None if it has none that lives."""
        if not token.isascii():
            return None
        told = await self._ask("POST", "/gateway/introspect", data={"token": token})
        return Session(told["sub"], told["sid"]) if told["active"] else None

    async def find_user(self, user_id: str) -> Json | None:
        """Return what `GET /users/@me` says of a user, and `disabled`; None if there is no such user."""
        told = await self._ask("GET", f"/gateway/users/{user_id}")
        return told if "id" in told else None

    async def find_ended(self, sessions: Collection[Session]) -> list[Session]:
        """Return which of these sessions live no more."""
        named, ended = [session._asdict() for session in sessions], []
        for start in range(0, len(named), RECONCILE_AT_MOST):
            body = {"sessions": named[start : start + RECONCILE_AT_MOST]}
            ended += (await self._ask("POST", "/gateway/reconcile", json=body))["ended"]
        return [Session(**one) for one in ended]

    async def _ask(self, method: str, path: str, **body: Any) -> Json:
        try:
            async with self._http.request(method, path, allow_redirects=False, **body) as answer:
                told: Any = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            raise KeyrackAway(f"{path}: {problem!r}") from problem
        if not isinstance(told, dict):
            raise KeyrackAway(f"{path}: no object")
        is_unknown_user = answer.status == 404 and told.get("code") == 10013
        if answer.status != 200 and not is_unknown_user:
            raise KeyrackAway(f"{path}: {answer.status}")
        return told

    async def follow(self, heed: Callable[[Json], None], catch_up: Callable[[], Awaitable[None]]) -> None:
        """Hear every event; after each subscription catch up, because Redis keeps no events for who is away."""
        backoff_s = 0.1
        while True:
            try:
                async with Redis.from_url(self._redis_url) as redis, redis.pubsub() as events:
                    await events.subscribe(self._channel)
                    async for message in events.listen():
                        if message["type"] == "subscribe":  # told again whenever redis-py has connected anew
                            await catch_up()
                            backoff_s = 0.1
                        else:
                            heed_one(message["data"], heed)
            except Exception as problem:  # whatever it is, following goes on
                logging.warning("following events: %r; again in %s s", problem, backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def reconcile_now_and_then(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        """For what no event tells: sessions that expire, a connection to Redis that is dead and does not know it."""
        while True:
            await asyncio.sleep(RECONCILE_EVERY_S)
            try:
                await catch_up()
            except Exception as problem:  # whatever it is, the next time may be better
                logging.warning("reconciling: %r", problem)


class Remembered:
    """What was added last. An application that keeps things in a database keeps the ids of events there, too."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > REMEMBERED:
            del self._keys[next(iter(self._keys))]


class Webhooks:
    """The events that Keyrack posts, each heeded once.

    secrets   WEBHOOK_SECRETS, as Keyrack has them
    """

    def __init__(self, secrets: Sequence[str], heed: Callable[[Json], None]) -> None:
        self._keys = [base64.b64decode(secret.removeprefix("whsec_") + "==") for secret in secrets]
        self._heed = heed
        self._heeded = Remembered()

    def take(self, headers: Mapping[str, str], body: bytes) -> None:
        """Heed what was posted, unless it was before. Where `heed` fails, Keyrack sends it again.

        body: the bytes as they came, because they are what is signed

        Raises Forged.
        """
        event_id = verify_webhook(headers, body, self._keys)
        if event_id in self._heeded:
            return
        if json.loads(body)["type"] != "test":  # which `flask events send-test` sends; it is of no user
            self._heed(read_event(body))
        self._heeded.add(event_id)


def verify_webhook(headers: Mapping[str, str], body: bytes, keys: Sequence[bytes]) -> str:
    """Return the id of the event, the same however often it is sent. Raises Forged."""
    event_id, sent_at, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (re.fullmatch("[0-9]{1,12}", sent_at) and abs(time.time() - int(sent_at)) <= WEBHOOK_AGE_S):
        raise Forged
    signed = f"{event_id}.{sent_at}.".encode(errors="replace") + body
    rights = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    said = [one.encode(errors="replace") for one in signatures.split()]
    if not any(hmac.compare_digest(right, one) for right in rights for one in said):
        raise Forged
    return event_id


def heed_one(data: bytes, heed: Callable[[Json], None]) -> None:
    """Hand an event on. What is none, or what `heed` fails at, is logged and passed over."""
    try:
        heed(read_event(data))
    except Exception:
        logging.exception("an odd event: %r", data[:200])


def read_event(data: bytes) -> Json:
    event: Json = json.loads(data)
    of_session = ["auth_session_id_hash"] if event["type"].startswith("AUTH_SESSION_") else []
    if not all(isinstance(event[name], str) for name in ("type", "user_id", *of_session)):
        raise TypeError("a field is no text")
    return event | {"type": CHANNEL_NAMES.get(event["type"], event["type"])}
