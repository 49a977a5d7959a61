"""An ending that no replica has is not told as done, also to who asks again on another connection."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Unconfirmed
from app.stores import keys
from app.stores.connection.connect import connect
from app.stores.connection.node import Wait
from app.stores.scripts import SessionScripts
from app.stores.session_records import Client
from app.stores.sessions import SessionStore
from scripts.faults.stacks import standing_still, valkey
from tests.conftest import LIFETIMES
from tests.servers import wait_until
from tests.sets import Pair


@pytest.fixture(params=["redis", "valkey"])
def pair(request):
    pair = Pair(program=valkey() if request.param == "valkey" else None)
    yield pair
    pair.close()


def test_asking_again_on_another_connection(pair, clock):
    """Valkey confirms at once what a connection has not written; the second script writes, so that it waits, too."""
    with connect(pair.plain_url) as store:
        sessions = SessionStore(store, SessionScripts(store, LIFETIMES, clock, Wait(replicas=1, ms=300)))
        store.write(("HSET", keys.unprefixed.user("1"), "epoch", 1))
        assert sessions.open("1", "phone", int(clock()), Client(), "1", 50)
        with standing_still(pair.replica):
            for _ in range(2):
                with ThreadPoolExecutor(1) as elsewhere, pytest.raises(Unconfirmed):
                    elsewhere.submit(sessions.end, "1", ["phone"], "revoked").result()
        wait_until(lambda: is_confirmed(sessions), "it is never confirmed")


def is_confirmed(sessions):
    try:
        return sessions.end("1", ["phone"], "revoked") == 0
    except Unconfirmed:
        return False
