"""Reloads, upgrades and stops under load: whoever was let in is answered."""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from app.serving.listeners import loopback_addresses
from tests.live.server import Service
from tests.servers import wait_until

VERIFY = b"GET /gateway/verify HTTP/1.1\r\nHost: localhost\r\n\r\n"
LOGIN_BODY = b'{"login": "nobody@example.com", "password": "none of theirs"}'
LOGIN = (
    b"POST /api/v9/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(LOGIN_BODY), LOGIN_BODY)
)


class Client(threading.Thread):
    """Sends one request over again, on connections that it keeps or on new ones, until told to stop.

    failures  for each: when its connection was made (or was not), how many requests it had answered, what happened
    """

    def __init__(self, address: tuple[str, int], request: bytes, *, keeps: bool) -> None:
        super().__init__(daemon=True)
        self._address, self._request, self.keeps = address, request, keeps
        self._over = threading.Event()
        self.answers = self.asked_to_close = 0
        self.failures: list[tuple[float, int, str]] = []
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            answered, made = 0, None
            try:
                with socket.create_connection(self._address, timeout=30) as connection:
                    made = time.monotonic()
                    for closes in self._ask(connection):
                        answered += 1
                        self.answers += 1
                        self.asked_to_close += closes
            except (OSError, http.client.HTTPException) as problem:
                self.failures.append((made or time.monotonic(), answered, repr(problem)))
                time.sleep(0.01)

    def _ask(self, connection: socket.socket) -> Iterator[bool]:
        while not self._over.is_set():
            connection.sendall(self._request)
            with http.client.HTTPResponse(connection) as answer:
                answer.begin()
                answer.read()
                assert answer.status in (400, 401)
                yield answer.will_close
                if answer.will_close or not self.keeps:
                    return

    def stop(self) -> None:
        self._over.set()
        self.join(30)
        assert not self.is_alive()


class Load:
    """Clients of either kind at each address, all of which were answered before anything happens to the service."""

    def __init__(self, service: Service) -> None:
        kinds = product(loopback_addresses(), (VERIFY, LOGIN), (True, False))
        self.clients = [Client((host, service.port), request, keeps=keeps) for host, request, keeps in kinds]
        self.wait_for_answers()

    def wait_for_answers(self) -> None:
        """Each client has been answered once more since."""
        for client, before in [(client, client.answers) for client in self.clients]:
            wait_until(lambda client=client, before=before: client.answers > before, "nobody answers", within_s=60)

    def stop(self) -> list[tuple[float, int, str]]:
        for client in self.clients:
            client.stop()
        assert all(client.answers for client in self.clients)
        return [failure for client in self.clients for failure in client.failures]


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.fixture
def notified(tmp_path):
    """A socket that stands for systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        yield systemd


@pytest.fixture
def own_service(live_server, notified):
    """A service that this test alone stops; its hashes take some hundredths of a second.

    Its workers have two listeners each, where there is IPv6.
    """
    service = Service(live_server.url, HOST="localhost", BCRYPT_ROUNDS="9", NOTIFY_SOCKET=notified.getsockname())
    yield service
    service.close()


def reload(service, _notified):
    before = children(service.process.pid)
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not before & children(service.process.pid), "the workers before go on", within_s=60)


def grow_and_shrink(service, _notified):
    """A listener that nobody serves any more would hold those it was given for ever."""
    for told, count in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTIN, 2)):
        service.process.send_signal(told)
        wait_until(lambda count=count: len(children(service.process.pid)) == count, "as many as before", within_s=60)


def upgrade(service, notified):
    """The new master says who it is, and the one before ends by itself."""
    service.process.send_signal(signal.SIGUSR2)
    while not (said := notified.recv(1000).decode()).startswith("MAINPID="):
        pass
    service.process.wait(60)
    service.process = Adopted(int(said.removeprefix("MAINPID=")))


class Adopted:
    """A process that this one did not start, in the place of one that it did."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> None:
        wait_until(lambda: not Path(f"/proc/{self.pid}/fd/0").exists(), "it does not end", within_s=seconds)


@pytest.mark.parametrize("happens", [reload, grow_and_shrink, upgrade])
def test_nobody_is_dropped_while_it_goes_on(own_service, notified, happens):
    load = Load(own_service)
    happens(own_service, notified)
    load.wait_for_answers()
    assert load.stop() == []


def test_a_reload_that_finds_a_broken_database_goes_on_without(live_server, notified, city_database, tmp_path):
    """A copy that broke off is no reason to end the service; the next whole one is read again."""
    database, broken = tmp_path / "city.mmdb", tmp_path / "broken"
    whole = Path(city_database).read_bytes()
    database.write_bytes(whole)
    service = Service(live_server.url, GEOIP_DATABASE=str(database))
    broken.write_bytes(whole[: len(whole) // 2])
    broken.replace(database)
    reload(service, notified)
    assert service.device().register("alice@example.com").token
    assert "the settings became bad" in service.logged()
    assert "no location is known" in service.logged()
    broken.write_bytes(whole)
    broken.replace(database)
    told = service.logged().count("no location is known")
    reload(service, notified)
    assert service.device().register("bob@example.com").token
    assert service.logged().count("no location is known") == told
    service.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_all_addresses_are_those_of_either_kind(live_server):
    """The image's health check, for one, asks 127.0.0.1."""
    service = Service(live_server.url, HOST="::")
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, service.port), timeout=30) as connection:
            connection.sendall(VERIFY)
            assert connection.recv(12) == b"HTTP/1.1 401"
    service.close()


def test_a_stop_answers_whoever_was_let_in(own_service):
    """Later ones are refused; who comes in the very moment in which the port is closed may find it closed on them."""
    load = Load(own_service)
    told_at = time.monotonic()
    own_service.process.send_signal(signal.SIGTERM)
    assert own_service.process.wait(60) == 0
    failures = load.stop()
    assert [failure for failure in failures if failure[0] < told_at or failure[1]] == []
    assert any("refused" in what for _, _, what in failures)
    assert all(client.asked_to_close for client in load.clients if client.keeps)


def test_a_request_under_way_is_finished(live_server):
    """A slow one is answered; a connection without a request is closed, and holds nobody up for long."""
    service = Service(live_server.url, BCRYPT_ROUNDS="12", WEB_CONCURRENCY="1")
    idle = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    idle.request("GET", "/gateway/verify")
    idle.getresponse().read()
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as login:
        login.sendall(LOGIN)
        service.process.send_signal(signal.SIGTERM)
        answer = http.client.HTTPResponse(login)
        answer.begin()
        assert answer.status == 400
        assert b"INVALID_LOGIN" in answer.read()
    assert service.process.wait(60) == 0
    with idle.sock:
        assert idle.sock.recv(1) == b""
    service.close()


def test_workers_of_a_master_that_was_killed_make_way_for_the_next(own_service):
    """Whoever keeps a connection busy is told to close it, and holds nobody's port."""
    connection = http.client.HTTPConnection("127.0.0.1", own_service.port, timeout=30)
    assert not asks_to_close(connection)
    own_service.process.kill()
    own_service.process.wait()
    wait_until(lambda: asks_to_close(connection), "the connection goes on", within_s=10)
    connection.close()
    wait_until(lambda: is_free(own_service.port), "nobody else can listen", within_s=10)
    own_service.start()


def asks_to_close(connection):
    connection.request("GET", "/gateway/verify")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 401
    return answer.will_close


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
