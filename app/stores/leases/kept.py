"""The sessions that a worker keeps in memory, to answer for them without a trip to Redis. When it may: holder.py."""

MOST = 200_000  # sessions; one takes some 350 bytes
_LATELY_S = 180  # what was asked for in this time is read again when it has changed
_READ_EVERY_S = 1  # a server with few tracking-table-max-keys says of each key that it has changed


class _Session:
    """
    Attributes:
        last_used_at: As Redis has it, in Unix seconds.
        asked_at, read_at: Seconds of the holder's clock.
    """

    __slots__ = ("asked_at", "id_hash", "last_used_at", "read_at")

    def __init__(self, id_hash: str, last_used_at: float, asked_at: float, read_at: float) -> None:
        self.id_hash = id_hash
        self.last_used_at = last_used_at
        self.asked_at = asked_at
        self.read_at = read_at


class Kept:
    """The last use of each kept session. A session that Redis does not have is not kept. Times are of any one clock."""

    def __init__(self, most: int = MOST) -> None:
        self._of_user: dict[str, tuple[_Session, ...]] = {}  # the users who were read longest ago come first
        self._most = most
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, user_id: str, id_hash: str, now: float) -> float | None:
        """Return when a session was last used (Unix s), and note that it was asked for; None if it is not kept."""
        for session in self._of_user.get(user_id, ()):
            if session.id_hash == id_hash:
                session.asked_at = now
                return session.last_used_at
        return None

    def put(self, user_id: str, id_hash: str, last_used_at: float, asked_at: float, now: float) -> None:
        """Keep a session that was read now. If there are too many, those that were read longest ago are forgotten."""
        others = (one for one in self.forget(user_id) if one.id_hash != id_hash)
        self._of_user[user_id] = (*others, _Session(id_hash, last_used_at, asked_at, now))
        self._count += len(self._of_user[user_id])
        while self._count > self._most:
            self.forget(next(iter(self._of_user)))

    def take_changed(self, user_id: str, now: float) -> list[tuple[str, float]]:
        """Forget the sessions of a user. Return id_hash and `asked_at` of those that are worth to be read again."""
        return [
            (session.id_hash, session.asked_at)
            for session in self.forget(user_id)
            if now - session.asked_at < _LATELY_S and now - session.read_at >= _READ_EVERY_S
        ]

    def forget(self, user_id: str) -> tuple[_Session, ...]:
        forgotten = self._of_user.pop(user_id, ())
        self._count -= len(forgotten)
        return forgotten

    def forget_all(self) -> None:
        self._of_user.clear()
        self._count = 0
