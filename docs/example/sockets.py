"""The WebSocket of the user API: HELLO, IDENTIFY, READY, heartbeats. A socket lives as long as its session."""

import asyncio
import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from enum import Enum, IntEnum
from typing import Any

from aiohttp import WSMsgType, web
from keyrack import Json, Keyrack, KeyrackAway, Session, identity

HEARTBEAT_EVERY_S, IDENTIFY_WITHIN_S, CLOSE_WITHIN_S = 41.25, 10, 5
MAX_SOCKETS, MAX_SOCKETS_OF_SESSION = 1000, 10
MAX_PAYLOAD_BYTES, MAX_PAYLOADS_PER_MINUTE = 16_384, 120
MAX_UNSENT = 100  # payloads that wait for a reader that is slow


class Op(IntEnum):
    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


# Clients wait for READY_SUPPLEMENTAL.
SUPPLEMENTAL = {"guilds": [], "merged_members": [], "merged_presences": {"guilds": [], "friends": []}}
# An id_hash as the id of its session.
IN_URLS = str.maketrans("+/", "-_", "=")
# Presence, voice, members, and what else the clients of people send.
PASSED_OVER = {3, 4, 5, 8, *range(12, 50)}


class End(Enum):
    """Why a socket is closed: code and reason. After 4004 clients forget their token, else they try again."""

    HUNG_UP = 1000, ""
    GOING_AWAY = 1001, "The application stops"
    FAILED = 1011, "Something failed here, try again"
    SIGN_IN_IS_AWAY = 4000, "Sign-in is away, try again"
    UNKNOWN_OPCODE = 4001, "Unknown opcode"
    DECODE_ERROR = 4002, "Decode error"
    NOT_AUTHENTICATED = 4003, "Not authenticated"
    AUTHENTICATION_FAILED = 4004, "Authentication failed"
    ALREADY_AUTHENTICATED = 4005, "Already authenticated"
    INVALID_SEQUENCE = 4007, "Invalid seq"
    RATE_LIMITED = 4008, "Rate limited"
    TIMED_OUT = 4009, "Session timed out"


class Closed(Exception):
    def __init__(self, end: End) -> None:
        super().__init__(end.value)
        self.end = end


class Sockets:
    """All open sockets, by session.

    make_ready   gives what READY says to a user; None where there is none
    """

    def __init__(self, keyrack: Keyrack, make_ready: Callable[[str], Awaitable[Json | None]]) -> None:
        self.keyrack, self.make_ready = keyrack, make_ready
        self._open: set[Socket] = set()
        self._of: defaultdict[Session, set[Socket]] = defaultdict(set)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        if len(self._open) >= MAX_SOCKETS:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        response = web.WebSocketResponse(max_msg_size=MAX_PAYLOAD_BYTES, timeout=CLOSE_WITHIN_S, compress=False)
        socket = Socket(self, response, identity(request.headers), request.query.get("compress") == "zlib-stream")
        self._open.add(socket)
        try:
            await response.prepare(request)
            await socket.run(request.transport)
        finally:
            self._open.discard(socket)
            self._remove(socket)
        return response

    def add(self, socket: "Socket", session: Session) -> None:
        if len(self._of[session]) >= MAX_SOCKETS_OF_SESSION:
            raise Closed(End.RATE_LIMITED)
        socket.session = session
        self._of[session].add(socket)

    def _remove(self, socket: "Socket") -> None:
        if socket.session:
            self._of[socket.session].discard(socket)
            if not self._of[socket.session]:
                del self._of[socket.session]

    def heed(self, event: Json) -> None:
        """Do what an event of Keyrack means for the sockets of its session, or of its user."""
        if event["type"].startswith("AUTHENTICATOR_"):  # a passkey came, has another name, or went
            for socket in self._of_user(event["user_id"]):
                socket.dispatch(event["type"], event["authenticator"])
            return
        if not event["type"].startswith("AUTH_SESSION_"):  # a later Keyrack may tell of more
            return
        session = Session(event["user_id"], event["auth_session_id_hash"])
        if event["type"] == "AUTH_SESSION_CREATE":
            for socket in self._of_user(session.user_id):
                socket.dispatch("AUTH_SESSION_CREATE", {"auth_session_id_hash": session.id_hash})
        elif event["type"] == "AUTH_SESSION_REMOVE":
            self._close_all(session)
            for former in event.get("former_auth_session_id_hashes", []):  # of a change that was missed
                self._close_all(Session(session.user_id, former))
            for socket in self._of_user(session.user_id) - self._of.get(session, set()):
                socket.dispatch("AUTH_SESSION_REMOVE", {"auth_session_id_hash": session.id_hash})
        elif event["type"] == "AUTH_SESSION_CHANGE":  # its token was replaced: it goes on under a new hash
            for socket in self._of.pop(Session(session.user_id, event["old_auth_session_id_hash"]), set()):
                socket.session = session
                self._of[session].add(socket)
                socket.dispatch("AUTH_SESSION_CHANGE", {"auth_session_id_hash": session.id_hash})

    async def close_ended(self, sessions: Collection[Session] | None = None) -> None:
        """Ask Keyrack which of these sessions (of all, without an argument) live no more, and close their sockets."""
        for session in await self.keyrack.find_ended(list(self._of) if sessions is None else sessions):
            self._close_all(session)

    def _of_user(self, user_id: str) -> "set[Socket]":
        return {socket for session, sockets in self._of.items() if session.user_id == user_id for socket in sockets}

    def _close_all(self, session: Session) -> None:
        for socket in self._of.get(session, ()):
            socket.close(End.AUTHENTICATION_FAILED)

    def dispatch(self, name: str, data: Json) -> None:
        """Tell everybody."""
        for sockets in self._of.values():
            for socket in sockets:
                socket.dispatch(name, data)

    async def close(self, _: web.Application) -> None:
        for socket in self._open:
            socket.close(End.GOING_AWAY)


class Socket:
    """vouched: whose handshake it was, as the gateway says; None where it did not ask."""

    def __init__(
        self, sockets: Sockets, response: web.WebSocketResponse, vouched: Session | None, is_compressed: bool
    ) -> None:
        self.session: Session | None = None
        self._sockets, self._response, self._vouched = sockets, response, vouched
        self._stream = zlib.compressobj() if is_compressed else None
        self._unsent: asyncio.Queue[str] = asyncio.Queue(MAX_UNSENT)
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._sequence = 0  # until READY

    async def run(self, transport: asyncio.BaseTransport | None) -> None:
        self._send(Op.HELLO, {"heartbeat_interval": int(HEARTBEAT_EVERY_S * 1000)})
        tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._write())]
        awaited: list[asyncio.Future[Any]] = [*tasks, self._end]
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            for problem in (task.exception() for task in tasks if task.done()):
                if isinstance(problem, Closed):
                    self.close(problem.end)
                elif problem and not isinstance(problem, ConnectionError):
                    logging.error("a socket failed", exc_info=problem)
                    self.close(End.FAILED)
            code, reason = (self._end.result() if self._end.done() else End.HUNG_UP).value
            if isinstance(transport, asyncio.WriteTransport):  # a peer that reads nothing would not hear of the close
                asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, transport.abort)
            await self._response.close(code=code, message=reason.encode(), drain=False)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)

    def dispatch(self, name: str, data: Json) -> None:
        if self._sequence or name == "READY":
            self._sequence += 1
            self._send(Op.DISPATCH, data, self._sequence, name)

    def _send(self, op: Op, data: Any = None, sequence: int | None = None, name: str | None = None) -> None:
        try:
            self._unsent.put_nowait(json.dumps({"op": op, "d": data, "s": sequence, "t": name}))
        except asyncio.QueueFull:
            self.close(End.TIMED_OUT)

    async def _write(self) -> None:
        while True:
            text = await self._unsent.get()
            if self._stream is None:
                await self._response.send_str(text)
            else:
                packed = self._stream.compress(text.encode()) + self._stream.flush(zlib.Z_SYNC_FLUSH)
                await self._response.send_bytes(packed)

    async def _hear(self) -> None:
        """Answer the client until it hangs up. Raises Closed for what it may not do."""
        clock = asyncio.get_running_loop().time
        patient_until, minute, heard = clock() + IDENTIFY_WITHIN_S, clock(), 0
        while True:
            try:
                async with asyncio.timeout_at(patient_until):
                    message = await self._response.receive()
            except TimeoutError:
                raise Closed(End.TIMED_OUT if self.session else End.NOT_AUTHENTICATED) from None
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if clock() > minute + 60:
                minute, heard = clock(), 0
            heard += 1
            if heard > MAX_PAYLOADS_PER_MINUTE:
                raise Closed(End.RATE_LIMITED)
            op = await self._answer(message.data)
            if op in (Op.IDENTIFY, Op.HEARTBEAT) and self.session:
                patient_until = clock() + 1.5 * HEARTBEAT_EVERY_S

    async def _answer(self, text: str | bytes) -> int:
        try:
            payload = json.loads(text)
            op, data = payload["op"], payload.get("d")
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Closed(End.DECODE_ERROR) from None
        if type(op) is not int:  # True is one to isinstance, and a float may be no number at all
            raise Closed(End.DECODE_ERROR)
        if op == Op.HEARTBEAT:
            self._send(Op.HEARTBEAT_ACK)
        elif op in (Op.IDENTIFY, Op.RESUME) and self.session:
            raise Closed(End.ALREADY_AUTHENTICATED)
        elif op == Op.IDENTIFY:
            await self._identify(data)
        elif op == Op.RESUME:  # nothing is kept for who comes back: it has to identify anew
            if not isinstance(data, dict) or type(data.get("seq")) is not int:
                raise Closed(End.INVALID_SEQUENCE)
            self._send(Op.INVALID_SESSION, data=False)
        elif not self.session:
            raise Closed(End.NOT_AUTHENTICATED)
        elif op not in PASSED_OVER:
            raise Closed(End.UNKNOWN_OPCODE)
        return op

    async def _identify(self, data: Any) -> None:
        token = data.get("token") if isinstance(data, dict) else 0
        if not isinstance(token, str | None):
            raise Closed(End.DECODE_ERROR)
        try:
            session = await self._sockets.keyrack.introspect(token) if token else self._vouched
            if session is None:
                raise Closed(End.AUTHENTICATION_FAILED)
            self._sockets.add(self, session)
            # It may have ended after the yes, when this socket was not known under it yet. So ask once more.
            await self._sockets.close_ended([session])
            ready = await self._sockets.make_ready(session.user_id)
        except KeyrackAway as problem:
            logging.warning("nobody can identify: %s", problem)
            raise Closed(End.SIGN_IN_IS_AWAY) from None
        if ready is None:
            raise Closed(End.AUTHENTICATION_FAILED)
        id_hash = (self.session or session).id_hash  # another one, if its token was replaced meanwhile
        named = {"session_id": id_hash.translate(IN_URLS), "auth_session_id_hash": id_hash}
        self.dispatch("READY", ready | named)
        self.dispatch("READY_SUPPLEMENTAL", SUPPLEMENTAL)
