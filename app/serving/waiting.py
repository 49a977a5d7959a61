"""The connections on which a worker waits for a request, in the order in which it will give them up."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any


class Waiting:
    """Connections in order, with those methods of a deque that gunicorn calls. None takes longer if more wait."""

    def __init__(self) -> None:
        self._connections: OrderedDict[Any, None] = OrderedDict()
        self.append = self._connections.setdefault
        self.remove = self._connections.__delitem__
        self.move_to_end = self._connections.move_to_end

    def __getitem__(self, first: int) -> Any:
        """Return the first one; no other is asked for."""
        return next(iter(self._connections))

    def popleft(self) -> Any:
        return self._connections.popitem(last=False)[0]

    def __contains__(self, conn: object) -> bool:
        return conn in self._connections

    def __iter__(self) -> Iterator[Any]:
        return iter(self._connections)

    def __len__(self) -> int:
        return len(self._connections)
