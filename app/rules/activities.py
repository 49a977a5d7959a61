"""What happened to an account lately, in one list: sign-ins, refused ones, step-ups, changes and endings of sessions.

Where it is kept, and how something gets into it: stores/activities.py. In words: languages/activity.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.rules.devices import Devices
from app.stores.activities import Activity, ActivityStore
from app.stores.lifetimes import Lifetimes
from app.stores.session_records import Ended
from app.stores.sessions import SessionStore

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Endings:
    """Sessions that ended in one moment for one reason, in `ended`: one at least."""

    ended: Sequence[Ended]

    @property
    def at(self) -> float:
        """Return when they ended, in Unix seconds."""
        return self.ended[0].ended_at


Happened = Activity | Endings


class Activities:
    def __init__(
        self,
        store: ActivityStore,
        sessions: SessionStore,
        devices: Devices,
        lifetimes: Lifetimes,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._devices = devices
        self._lifetimes = lifetimes
        self._clock = clock

    def list(self, user_id: str) -> Sequence[Happened]:
        """Return what happened to an account, newest first, a hundred entries at most."""
        endings = _by_moment(self._devices.list_ended(user_id))
        [others] = self._sessions.look_up(self._store.all_of(user_id, self._clock() - self._lifetimes.retention_s))
        found: list[Happened] = [*endings, *others]  # of one moment, what ended is told as the newest
        return sorted(found, key=lambda one: one.at, reverse=True)[:SHOWN]


def _by_moment(ended: Sequence[Ended]) -> Iterator[Endings]:
    for _, group in groupby(ended, key=lambda one: (one.ended_at, one.reason, one.by)):
        yield Endings(list(group))
