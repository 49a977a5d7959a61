"""Users and sessions in Redis for the benchmark: the first by the stores, the others as copies of it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis as RedisPy

from app import tokens
from app.snowflakes import new_snowflake
from app.stores.connection.client import RedisClient
from app.stores.keys import unprefixed as keys
from app.stores.lifetimes import Lifetimes
from app.stores.passkeys import Passkey
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from app.stores.tickets import proof_value
from app.stores.users import Change, UserStore
from tests.authenticator import Credential

SESSIONS_A_USER = 5
_FIREFOX = Client(os="Linux", platform="Firefox", location="Bern, Bern, Switzerland", ip="203.0.113.7")
_KEPT_S = 60 * 86400
_AT_ONCE = 2000
_FIRST_ID, _FIRST_COPY, _FIRST_OF_CROWD = 10**18, 2 * 10**18, 3 * 10**18


@dataclass(frozen=True, slots=True)
class PasskeySize:
    """What passkeys take in Redis.

    Attributes:
        field: The bytes of one, its field and its value.
        memory: The bytes of memory for all of the user.
    """

    field: int
    memory: int


def as_passkey(made: Credential) -> Passkey:
    """Return a passkey, as a service keeps it, of one that a device keeps."""
    return Passkey(
        cred_id=made.cred_id,
        id=new_snowflake(time.time()),
        name="MacBook, Touch ID",
        public_key=made.public_key,
        sign_count=0,
        transports=("internal", "hybrid"),
        backup_eligible=False,
        created_at=int(time.time()),
        last_used_at=time.time(),
    )


class Seeds:
    """
    Attributes:
        last_email: The address of the user that `user` made last.
    """

    def __init__(self, client: RedisClient, raw: RedisPy | None = None) -> None:
        """
        Args:
            raw: A client for copies, which go in pipelines. None if there are none, as in a Cluster.
        """
        self._raw: Any = raw
        scripts = SessionScripts(client, Lifetimes(30 * 86400, 365 * 86400))
        self._users, self._sessions = UserStore(client, scripts), SessionStore(client, scripts)
        self._users_made = self._copies_made = self._crowd = 0
        self.last_email = ""
        self._model = ""

    def user(self, password_hash: str = "$2b$12$" + "x" * 53, sessions: int = SESSIONS_A_USER) -> tuple[str, list[str]]:
        """Make a user with sessions. Return their id and tokens."""
        self._users_made += 1
        now, user_id = int(time.time()), str(_FIRST_ID + self._users_made)
        email = self.last_email = f"user{self._users_made}@example.com"
        named = {"email": email, "username": email, "global_name": None, "password_hash": password_hash}
        self._users.create(user_id, email, **named, created_at=now)
        held = [tokens.issue(user_id, now) for _ in range(sessions)]
        for token in held:
            self._sessions.open(user_id, tokens.id_hash(token), now, _FIREFOX, "1", 50)
        return user_id, held

    def passkey(self, user_id: str, made: Credential) -> "PasskeySize":
        """Give a user a passkey. Return what Redis has then.

        Args:
            made: As a device keeps it.
        """
        passkey = as_passkey(made)
        self._users.change(user_id, Change(add_passkey=passkey))
        field = len(passkey.cred_id) + len(passkey.record())
        return PasskeySize(field, self._raw.memory_usage(keys.passkeys(user_id), samples=0))

    def users(
        self, count: int, sessions: int = SESSIONS_A_USER, used_within_s: float = 0
    ) -> list[tuple[str, list[str]]]:
        """Make many users with sessions as `user` does. Return ids and tokens.

        Args:
            used_within_s: The last uses are spread evenly over so many seconds before now.
        """
        user_id = self._find_model()
        user, record = self._raw.dump(keys.user(user_id)), self._raw.hvals(keys.sessions(user_id))[0]
        made, now = [], time.time()
        for numbers in _batches(count):
            with self._raw.pipeline(transaction=False) as pipe:
                for number in numbers:
                    self._copies_made += 1
                    copy = str(_FIRST_COPY + self._copies_made)
                    held = [tokens.issue(copy, now - used_within_s) for _ in range(sessions)]
                    used_at = [
                        now - used_within_s * (number * sessions + at) / (count * sessions) for at in range(sessions)
                    ]
                    id_hashes = [tokens.id_hash(token) for token in held]
                    pipe.restore(keys.user(copy), 0, user)
                    pipe.zadd(keys.last_used(copy), dict(zip(id_hashes, used_at, strict=True)))
                    pipe.hset(keys.sessions(copy), mapping=dict.fromkeys(id_hashes, record))
                    for key in (keys.last_used(copy), keys.sessions(copy)):
                        pipe.expire(key, _KEPT_S)
                    made.append((copy, held))
                pipe.execute()
        return made

    def tokens(self, count: int, sessions: int = SESSIONS_A_USER, used_within_s: float = 0) -> list[str]:
        """Make users with so many sessions in all. Return their tokens."""
        users = self.users(-(-count // sessions), sessions, used_within_s)
        return [token for _, held in users for token in held][:count]

    def callers(self, count: int = 200) -> list[str]:
        """Return a token each of so many new users with five sessions."""
        return [held[0] for _, held in self.users(count)]

    def proofs(self, users: Sequence[tuple[str, list[str]]]) -> list[str]:
        """Return a proof for the first session of each user."""
        made = []
        with self._raw.pipeline(transaction=False) as pipe:
            for user_id, (session, *_) in users:
                proof = tokens.issue(user_id, time.time())
                value = proof_value("password", tokens.id_hash(session)) + " 0"  # the secrets version of a new user
                pipe.set(keys.proof(user_id, tokens.id_hash(proof)), value, ex=3600)
                made.append(proof)
            pipe.execute()
        return made

    def crowd(self, users: int) -> None:
        """Add more users with five sessions each, to make Redis large. Nobody has their tokens."""
        user_id = self._find_model()
        named = (keys.user, keys.last_used, keys.sessions)
        dumped = [self._raw.dump(key(user_id)) for key in named]
        for numbers in _batches(users):
            with self._raw.pipeline(transaction=False) as pipe:
                for number in numbers:
                    copy = str(_FIRST_OF_CROWD + self._crowd + number)
                    pipe.set(keys.email(f"user{copy}@example.com"), copy)
                    for key, value in zip(named, dumped, strict=True):
                        pipe.restore(key(copy), 0 if key is keys.user else 1000 * _KEPT_S, value)
                pipe.execute()
        self._crowd += users

    def _find_model(self) -> str:
        """Return the id of the user that others are copies of. It has five sessions, and nobody has their tokens."""
        self._model = self._model or self.user()[0]
        return self._model


def _batches(count: int) -> Iterator[range]:
    return (range(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE))
