"""The id of this process, known without asking the system, also after a fork."""

import os

_own_id = os.getpid()


def own_id() -> int:
    return _own_id


def _ask() -> None:
    global _own_id  # noqa: PLW0603 - a process has one
    _own_id = os.getpid()


os.register_at_fork(after_in_child=_ask)
