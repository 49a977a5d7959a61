"""A client process: several people, and readers that check their tokens as a gateway does.

The first line of its input is JSON with port, journal, seed, and the numbers of people and readers. The process goes on
until its input ends.
"""

import sys
import threading
import time
from collections import deque
from pathlib import Path
from random import Random

import orjson

from scripts.faults.api import Api
from scripts.faults.journal import Journal
from scripts.faults.people import Known, Person

_LATEST = 200  # tokens that readers look at
_LONGEST_S = 3600  # it ends then, even if its parent is gone and its input stays open
_PAUSE_S = 0.02  # at most, between two questions


def read_tokens(api: Api, random: Random, known: Known, stop: threading.Event) -> None:
    """Check known tokens, live and ended, until stop is set."""
    while not stop.is_set():
        if known:
            account, token = random.choice(list(known))
            operation = api.call(random.choice(["verify", "verify", "introspect"]), account, token=token)
            if operation.is_unknown or operation.is_unsent:
                time.sleep(_PAUSE_S)
        time.sleep(random.uniform(0, _PAUSE_S))


def main() -> None:
    asked = orjson.loads(sys.stdin.readline())
    path = Path(asked["journal"])
    journal, stop = Journal(path), threading.Event()
    known: Known = deque(maxlen=_LATEST)
    people = [
        Person(Api(asked["port"], journal), Random(f"{asked['seed']}/{number}"), known, f"{path.stem}.{number}")  # noqa: S311
        for number in range(asked["people"])
    ]
    readers = [
        (Api(asked["port"], journal), Random(f"{asked['seed']}/reader {number}"), known, stop)  # noqa: S311
        for number in range(asked["readers"])
    ]
    threads = [threading.Thread(target=person.live, args=[stop]) for person in people]
    threads += [threading.Thread(target=read_tokens, args=reader) for reader in readers]
    for thread in threads:
        thread.start()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    stop.wait(_LONGEST_S)
    stop.set()
    for thread in threads:
        thread.join()
    taking_stock = [threading.Thread(target=person.take_stock) for person in people]
    for thread in taking_stock:
        thread.start()
    for thread in taking_stock:
        thread.join()


if __name__ == "__main__":
    main()
