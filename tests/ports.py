"""Where servers of tests listen."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_given: set[int] = set()  # by the function below; whoever has one may not listen there yet


def lasting_port() -> int:
    """For a server that is killed and started again: below the ports that the system gives to outgoing connections.

    Of those one might be taken in between; and whoever asks again and again for one on which nobody listens is, once
    in a while, connected to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):  # taken
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
