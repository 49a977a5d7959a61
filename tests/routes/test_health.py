"""What those who run it ask: whether the process lives, whether it can serve."""

from redis import ResponseError

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from tests.conftest import ENVIRONMENT
from tests.servers import RedisServer, redis_at, wait_until

UNAVAILABLE = {"code": 0, "message": "503: Service Unavailable"}


def without_redis():
    """The service on an address where nothing listens."""
    return create_app(load_settings(ENVIRONMENT), connect("redis://127.0.0.1:1")).test_client()


def test_a_service_with_its_redis_is_alive_and_ready(app):
    client = app.test_client()
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})
        assert answer.headers["Cache-Control"] == "no-store"


def test_looking_leaves_nothing_in_redis(app, redis):
    for path in ("/healthz", "/readyz"):
        app.test_client().get(path)
    assert redis.dbsize() == 0


def test_without_redis_the_process_is_alive_but_not_ready():
    client = without_redis()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, UNAVAILABLE)
    assert answer.headers["Retry-After"] == "1"


def test_a_redis_that_fails_to_write_its_snapshot_still_serves(tmp_path):
    """It refuses a PING then, and every write; who is signed in it can still tell, so the gateway may go on asking."""
    data = tmp_path / "data"
    data.mkdir()
    server = RedisServer("--save", "3600 1", "--dir", str(data))
    try:
        with redis_at(server.url) as redis:
            data.rmdir()
            redis.bgsave()
            wait_until(lambda: refuses_ping(redis), "the snapshot was written")
            client = create_app(load_settings(ENVIRONMENT), redis).test_client()
            assert client.get("/readyz").status_code == 200
    finally:
        server.close()


def refuses_ping(redis):
    try:
        return not redis.ping()
    except ResponseError:
        return True
