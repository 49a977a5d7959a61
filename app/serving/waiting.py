"""The connections on which a worker waits for a request, in the order in which it will give them up."""

from collections import OrderedDict
from typing import Any


class Waiting(OrderedDict[Any, None]):
    """Connections in order, with those methods of a deque that gunicorn calls. None takes longer if more wait."""

    append = OrderedDict.setdefault
    remove = OrderedDict.__delitem__

    def __getitem__(self, index: int) -> Any:
        """Return the first one, whatever the index: gunicorn asks for no other than 0."""
        return next(iter(self))

    def popleft(self) -> Any:
        conn = next(iter(self))
        del self[conn]
        return conn
