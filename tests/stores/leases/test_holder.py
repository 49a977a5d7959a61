"""When a worker may answer from memory, on real servers: never after somebody was told that the session is over."""

import select
import time

import pytest

from app.stores.boot_clock import boot_clock
from app.stores.connection.connect import connect
from app.stores.keys import unprefixed as keys
from app.stores.leases.holder import Holder
from app.stores.leases.rounds import Rounds, new_id
from tests.conftest import Clock
from tests.servers import RedisServer, redis_at

LEASE_S = 0.05
PATIENCE_S = 20


class Loop:
    """A worker's loop, one turn at a time."""

    def __init__(self):
        self.socks = []

    def run_apart(self, job, then):
        then(job())

    def watch(self, sock):
        self.socks.append(sock)

    def unwatch(self, sock):
        self.socks.remove(sock)


class Worker:
    """A holder in a loop that tests turn. Its clock is the test's."""

    def __init__(self, url, lease_s=LEASE_S):
        self.client = connect(url)
        self.primary = self.client.nodes()[0]
        self.clock = Clock()
        self.loop = Loop()
        self.rounds = Rounds(new_id(), lease_s)
        self.holder = Holder(self.primary, keys, lease_s, self.rounds, self.loop, self.clock)

    def turn(self, wait_s=0.01):
        """Send what is due, and take what has come. True if something has."""
        self.primary.look_if_due()
        self.holder.tick()
        if not select.select(self.loop.socks, [], [], wait_s)[0]:
            return False
        self.holder.on_readable()
        return True

    def turn_until(self, happened):
        until = time.monotonic() + PATIENCE_S
        while not (found := happened()):
            assert time.monotonic() < until
            self.turn()
        return found

    def settle(self):
        """Take all that Redis has sent so far."""
        while self.turn():
            pass

    def ping(self):
        """Get a new lease."""
        self.clock.advance(LEASE_S / 2)
        self.settle()

    def ask(self, user_id="1", id_hash="a"):
        answers = []
        assert self.holder.ask(user_id, id_hash, answers.append)
        return self.turn_until(lambda: answers)[0]

    def find(self, user_id="1", id_hash="a"):
        return self.holder.find(user_id, id_hash)

    def registration(self):
        return self.client.read(("HGET", keys.leases, self.rounds.own_id))[0]

    def close(self):
        self.holder.close()
        self.client.close()


@pytest.fixture
def redis(redis_server):
    with redis_at(redis_server.url) as client:
        yield client
        client.flushall()


@pytest.fixture
def make_worker(redis, redis_server):
    made = []

    def make(**settings):
        made.append(Worker(redis_server.url, **settings))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker):
    worker = make_worker()
    worker.turn_until(lambda: worker.rounds.is_heard)
    return worker


@pytest.fixture
def session(redis):
    """A session of user 1, last used at 5."""
    redis.zadd(keys.last_used("1"), {"a": 5})


def end(redis):
    redis.zrem(keys.last_used("1"), "a")


@pytest.mark.usefixtures("session")
def test_what_was_read_once_is_told_from_memory(worker):
    assert worker.find() is None
    assert worker.ask() == 5
    assert worker.find() == 5


def test_a_session_that_does_not_exist_is_not_kept(worker):
    assert worker.ask() is None
    assert (worker.find(), len(worker.holder.kept)) == (None, 0)


@pytest.mark.usefixtures("session")
def test_without_an_answer_to_a_ping_the_lease_ends(worker):
    """By a clock that is looked at after the request arrived, so a worker that was stopped does not say yes."""
    worker.ask()
    worker.ping()
    worker.clock.advance(LEASE_S * 0.9)
    assert worker.find() == 5
    worker.clock.advance(LEASE_S * 0.2)
    assert worker.find() is None
    worker.settle()
    assert worker.find() == 5


@pytest.mark.usefixtures("session")
def test_the_lease_counts_from_the_ping_not_from_its_answer(worker):
    worker.ask()
    worker.clock.advance(LEASE_S)
    worker.holder.tick()  # the ping is sent
    worker.clock.advance(LEASE_S * 0.9)
    select.select(worker.loop.socks, [], [], PATIENCE_S)
    worker.holder.on_readable()
    assert worker.find() == 5
    worker.clock.advance(LEASE_S * 0.2)
    assert worker.find() is None


@pytest.mark.usefixtures("session")
def test_an_ending_is_heard_before_the_next_lease(worker, redis):
    """What the whole rests on: of a session that is over there is no yes with a lease from a later ping."""
    for _ in range(300):
        redis.zadd(keys.last_used("1"), {"a": 5})
        worker.ask()
        end(redis)
        worker.ping()
        assert worker.find() is None


@pytest.mark.usefixtures("session")
def test_a_noted_use_is_read_again_without_a_request(worker, redis):
    worker.ask()
    worker.clock.advance(2)
    worker.settle()
    worker.find()
    worker.ping()
    assert worker.find() == 5
    redis.zadd(keys.last_used("1"), {"a": 6})
    worker.turn_until(lambda: worker.find() == 6)


@pytest.mark.usefixtures("session")
def test_a_noted_use_that_nobody_asked_for_is_forgotten(worker, redis):
    worker.ask()
    worker.clock.advance(200)
    redis.zadd(keys.last_used("1"), {"a": 6})
    worker.ping()
    assert len(worker.holder.kept) == 0


@pytest.mark.parametrize("how", ["FLUSHDB", "FLUSHALL", "SWAPDB 0 1"])
@pytest.mark.usefixtures("session")
def test_when_all_keys_go_the_lease_goes_with_them(worker, redis, how):
    """The registration is gone, too, so nobody who ends a session would wait for this worker."""
    worker.ask()
    redis.execute_command(*how.split())
    worker.ping()
    assert (worker.find(), len(worker.holder.kept)) == (None, 0)
    redis.zadd(keys.last_used("1"), {"a": 5})
    assert worker.ask() == 5
    worker.turn_until(lambda: worker.find() == 5)
    assert worker.registration() == "50 2"


@pytest.mark.usefixtures("session")
def test_a_connection_that_is_killed_takes_all_with_it(worker, redis):
    worker.ask()
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    worker.turn_until(lambda: not worker.rounds.is_heard)
    assert (worker.find(), len(worker.holder.kept)) == (None, 0)
    assert not worker.holder.ask("1", "a", lambda _: None)
    worker.clock.advance(1)
    worker.turn_until(lambda: worker.rounds.is_heard)
    assert worker.ask() == 5


@pytest.mark.usefixtures("session")
def test_who_asks_a_redis_that_is_silent_waits_a_tenth_of_a_second(make_worker):
    server = RedisServer()
    try:
        worker = Worker(server.url)
        worker.turn_until(lambda: worker.rounds.is_heard)
        answers = []
        worker.holder.ask("1", "a", answers.append)
        worker.clock.advance(0.11)
        worker.holder.tick()
        assert answers == [None]
        assert not worker.holder.ask("1", "a", answers.append)
        worker.clock.advance(1)
        worker.holder.tick()
        assert not worker.rounds.is_heard
        worker.close()
    finally:
        server.close()


def test_a_round_is_answered_at_once(worker, redis):
    with redis.pubsub(ignore_subscribe_messages=True) as words:
        words.subscribe(keys.words("ender"))
        words.get_message(timeout=PATIENCE_S)
        redis.publish(keys.leases, "ender 7")
        worker.settle()
        assert words.get_message(timeout=PATIENCE_S)["data"] == f"{worker.rounds.own_id} 7"


def test_the_own_round_is_answered_without_redis(worker, redis):
    """Who ends something in this process waits for no message that this process sends to itself."""
    n = worker.rounds.begin()
    holders = {worker.rounds.own_id: worker.registration()}
    with redis.pubsub(ignore_subscribe_messages=True) as words:
        words.subscribe(keys.words(worker.rounds.own_id))
        words.get_message(timeout=PATIENCE_S)
        redis.publish(keys.leases, f"{worker.rounds.own_id} {n}")
        worker.settle()
        assert worker.rounds.wait(n, holders, worker.rounds.clock()) == {}, "it counts as silent"
        redis.publish(keys.words(worker.rounds.own_id), "over")
        assert words.get_message(timeout=PATIENCE_S)["data"] == "over"


ENDS = """
redis.call("ZREM", KEYS[1], "a")
redis.call("PUBLISH", ARGV[1], ARGV[2])
"""


@pytest.mark.usefixtures("session")
def test_an_ending_is_heard_before_its_round(worker, redis):
    """What the word rests on: when the word has come, the worker that gave it has forgotten the session."""
    with redis.pubsub(ignore_subscribe_messages=True) as words:
        words.subscribe(keys.words("ender"))
        words.get_message(timeout=PATIENCE_S)
        for number in range(300):
            redis.zadd(keys.last_used("1"), {"a": 5})
            worker.turn_until(lambda: worker.ask() == 5)
            redis.eval(ENDS, 1, keys.last_used("1"), keys.leases, f"ender {number}")
            word = worker.turn_until(words.get_message)
            assert word["data"] == f"{worker.rounds.own_id} {number}"
            assert worker.find() is None


def test_what_is_no_round_and_no_word_is_passed_over(worker, redis):
    """Whoever may publish in Redis can write what they like."""
    for text in ("", " ", "ender", "ender x", f"ender {'9' * 5000}", f"ender -1 {'1' * 17}"):
        redis.publish(keys.leases, text)
        redis.publish(keys.words(worker.rounds.own_id), text)
    worker.settle()
    worker.ping()
    assert worker.rounds.is_heard


def test_a_marked_registration_ends_the_lease_and_is_made_anew(worker, redis):
    """Who waited for this worker in vain has marked it. It may be removed, so it must not hold a lease by then."""
    redis.hset(keys.leases, worker.rounds.own_id, "50 1 leaving")
    worker.ping()
    worker.turn_until(lambda: worker.registration() == "50 2")


def test_a_removed_registration_is_made_anew(worker, redis):
    redis.delete(keys.leases)
    worker.ping()
    worker.turn_until(lambda: worker.registration() == "50 2")


def test_a_worker_that_ends_leaves_no_registration(worker):
    worker.holder.close()
    assert worker.registration() is None


@pytest.mark.usefixtures("session")
def test_there_is_no_lease_while_it_is_unknown_which_server_is_the_primary(worker):
    worker.ask()
    worker.primary._look_at = 0.0  # as if the last look were long ago
    worker.clock.advance(LEASE_S * 2)
    worker.holder.tick()
    select.select(worker.loop.socks, [], [], PATIENCE_S)
    worker.holder.on_readable()
    assert worker.find() is None
    assert not worker.holder.ask("1", "a", lambda _: None)


@pytest.mark.parametrize(("looked_s_ago", "holds"), [(0.5, True), (1.2, False)])
@pytest.mark.usefixtures("session")
def test_a_long_lease_is_over_before_anything_changes_at_another_primary(make_worker, looked_s_ago, holds):
    """That is two seconds after a look at the earliest."""
    worker = make_worker(lease_s=1.0)
    worker.turn_until(lambda: worker.rounds.is_heard)
    worker.ask()
    worker.primary._known_at = boot_clock() - looked_s_ago  # as if the last look had been then
    worker.clock.advance(2.0)
    worker.holder.tick()
    assert worker.find() is None
    worker.holder.tick()
    select.select(worker.loop.socks, [], [], PATIENCE_S)
    worker.holder.on_readable()
    assert (worker.find() is not None) == holds


@pytest.mark.usefixtures("session")
def test_another_primary_ends_the_lease(worker):
    worker.ask()
    worker.primary.renew()
    worker.holder.tick()
    assert (worker.find(), worker.rounds.is_heard) == (None, False)


def test_a_worker_that_nobody_asks_does_not_ping(worker, redis):
    worker.clock.advance(2)
    worker.settle()
    before = redis.info("commandstats")["cmdstat_hget"]["calls"]
    for _ in range(10):
        worker.clock.advance(LEASE_S)
        worker.settle()
    assert redis.info("commandstats")["cmdstat_hget"]["calls"] == before


RIGHTS = ["~user:*", "~leases", "+@all", "&leases", "&leases:*"]


@pytest.fixture
def limited_worker(redis, redis_server):
    """Makes a worker whose user of Redis has certain rights."""
    made = []

    def make(*rights):
        redis.execute_command("ACL", "SETUSER", "nolease", "reset", "on", ">PASSWORD", *rights)
        made.append(Worker(redis_server.url.replace("unix://", "unix://nolease:PASSWORD@")))
        return made[-1]

    yield make
    for worker in made:
        worker.close()
    redis.execute_command("ACL", "DELUSER", "nolease")


def test_a_user_of_redis_with_the_rights_holds_a_lease(limited_worker):
    worker = limited_worker(*RIGHTS)
    worker.turn_until(lambda: worker.rounds.is_heard)


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ({"+@all": "+@all -client|tracking"}, "client|tracking"),
        ({"+@all": "+@all -subscribe"}, "subscribe"),
        ({"&leases": ""}, "channel"),
        ({"&leases:*": ""}, "channel"),
        ({"&leases": "", "&leases:*": ""}, "channel"),
        ({"~leases": ""}, "key"),
    ],
)
@pytest.mark.usefixtures("session")
def test_a_user_of_redis_without_the_rights_answers_by_round_trips(limited_worker, redis, caplog, without, named):
    """One line in the log says so, and names the command. Nobody is told the last use of another session."""
    redis.zadd(keys.last_used("2"), {"b": 7})
    worker = limited_worker(*(right for one in RIGHTS for right in without.get(one, one).split()))
    told = {("1", "a"): set(), ("2", "b"): set(), ("2", "gone"): set()}
    for _ in range(5):
        worker.clock.advance(40)
        for _ in range(10):
            for name, answers in told.items():
                worker.holder.ask(*name, answers.add)
            worker.turn()
    assert not worker.rounds.is_heard
    assert told[("1", "a")] <= {None, 5}
    assert told[("2", "b")] <= {None, 7}
    assert told[("2", "gone")] <= {None}
    [line] = [record.message for record in caplog.records if "no check is answered from memory" in record.message]
    assert named in line


@pytest.mark.parametrize(
    ("refuse", "take"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ],
)
def test_what_redis_refuses_for_a_while_is_tried_again_soon(worker, redis, refuse, take):
    """As during a failover, or while Redis is full."""
    redis.execute_command(*refuse.split())
    try:
        redis.client_kill_filter(_type="pubsub")
        worker.turn_until(lambda: not worker.rounds.is_heard)
        worker.clock.advance(1)
        worker.turn_until(lambda: "refuses" in worker.holder.problem)
    finally:
        redis.execute_command(*take.split())
    worker.clock.advance(1)
    worker.turn_until(lambda: worker.rounds.is_heard)


def test_a_server_that_remembers_few_keys_is_not_asked_for_ever(worker, redis):
    """It says of each key that it has changed as soon as others are read."""
    redis.config_set("tracking-table-max-keys", 10)
    try:
        for user_id in range(200):
            redis.zadd(keys.last_used(str(user_id)), {"a": 5})
        for user_id in range(200):
            assert worker.ask(str(user_id)) == 5
        for _ in range(20):
            worker.ping()
        before = redis.info("commandstats")["cmdstat_zscore"]["calls"]
        for _ in range(20):
            worker.ping()
        assert redis.info("commandstats")["cmdstat_zscore"]["calls"] == before
    finally:
        redis.config_set("tracking-table-max-keys", 1_000_000)
