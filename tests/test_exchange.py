"""An exchange with a server: its whole answer in a bounded time, whatever the server does."""

import gzip
import threading
import time

import pycurl
import pytest

from app.exchange import MAX_ANSWER, NoAnswer, exchange
from tests.certificates import Authority
from tests.ports import lasting_port
from tests.raw_server import RawServer, drips, read_request, says

WITHIN_MS = 1000
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: a\r\nx-one: b\r\n\r\nok"


@pytest.fixture
def serve():
    """Starts servers, and stops them at the end."""
    servers = []

    def start(speak, certificate=None, host="127.0.0.1"):
        servers.append(RawServer(speak, certificate, host))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(url, body=b"{}", curl=None, **options):
    return exchange(curl or pycurl.Curl(), "POST", url, ["X-Id: 1"], body, within_ms=WITHIN_MS, **options)


def refused(url, body=b"{}"):
    """Ask a server that gives no whole answer. It is given up in time."""
    began = time.monotonic()
    with pytest.raises(NoAnswer) as problem:
        ask(url, body)
    assert time.monotonic() - began < WITHIN_MS / 1000 + 2
    return problem.value


def test_an_answer_is_its_status_headers_and_body(serve):
    answer = ask(serve(says(WHOLE)).url)
    assert (answer.status, answer.body, answer.is_whole, answer.headers["x-one"]) == (200, b"ok", True, "b")


def test_a_request_is_sent_whole_and_to_the_letter(serve):
    got = []

    def speak(connection):
        got.append(read_request(connection))
        connection.sendall(WHOLE)

    body = "ë".encode() * 100_000
    ask(serve(speak).url + "a/../b/%2E?c=d%2Ce&f", body)
    head, _, sent = got[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a/../b/%2E?c=d%2Ce&f HTTP/1.1\r\n")
    assert b"\r\nX-Id: 1" in head
    assert b"expect" not in head.lower()
    assert sent == body


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, 200, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", 429, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    ],
)
def test_forms_of_an_answer(serve, answer, status, body):
    """Also of HTTP/1.0, after others that are not final, and one that leads elsewhere: nobody goes there."""
    got = ask(serve(says(answer)).url)
    assert (got.status, got.body) == (status, body)
    assert "retry-after" not in got.headers  # that of the answer before


@pytest.mark.parametrize(
    ("size", "is_whole"), [(MAX_ANSWER, True), (MAX_ANSWER + 1, False)], ids=["as long as it may be", "longer"]
)
def test_an_answer_is_read_to_its_bound(serve, size, is_whole):
    answer = ask(serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)).url)
    assert (answer.status, len(answer.body), answer.is_whole) == (200, MAX_ANSWER, is_whole)


def test_an_answer_without_end_is_left(serve):
    answer = ask(serve(drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096)).url)
    assert (answer.status, len(answer.body), answer.is_whole) == (200, MAX_ANSWER, False)


def test_a_packed_answer_is_not_unpacked(serve):
    """It could be of any length."""
    packed = gzip.compress(b"x" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert ask(serve(says(head + packed)).url).body == packed


SLOW = [
    ("nothing", drips(b"", b"", 0.05)),
    ("a byte now and then", drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", 0.05)),
    ("headers now and then", drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.05)),
    ("a header now and then", drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"x", 0.05)),
    ("answers that are not final", drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05)),
    ("chunks now and then", drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.05)),
]


@pytest.mark.parametrize("speak", [speak for _, speak in SLOW], ids=[name for name, _ in SLOW])
def test_whoever_takes_too_long_is_left(serve, speak):
    """However each byte comes in time: the limit is for the whole exchange."""
    problem = refused(serve(speak).url)
    assert (problem.reason, problem.is_late, problem.was_sent) == ("no whole answer in 1000 ms", True, True)


def test_whoever_does_not_shake_hands_is_left(serve):
    problem = refused(serve(drips(b"", b"", 0.05)).url.replace("http", "https"))
    assert (problem.is_late, problem.was_sent) == (True, False)


@pytest.mark.parametrize(
    "speak",
    [
        drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 500),
        drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 4096),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    ],
    ids=["many", "one that is long", "of answers that are not final"],
)
def test_headers_without_end_are_left(serve, speak):
    assert not refused(serve(speak).url).is_late


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"SSH-2.0-x\r\n\r\n"],
)
def test_what_is_no_whole_answer_is_none(serve, answer):
    problem = refused(serve(says(answer)).url)
    assert (problem.was_sent, problem.is_late) == (True, False)


def test_an_answer_before_the_request_is_read_is_one(serve):
    """As of a receiver that does not want such a long body."""

    def speak(connection):
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while connection.recv(65536):
            pass

    assert ask(serve(speak).url, b"x" * 2_000_000).status == 413


def test_who_hangs_up_before_the_request_is_read_has_not_answered(serve):
    problem = refused(serve(lambda connection: connection.recv(10) and None).url, b"x" * 2_000_000)
    assert problem.was_sent


def test_nobody_there_is_told_from_a_bad_answer():
    problem = refused(f"http://127.0.0.1:{lasting_port()}/")
    assert (problem.reason, problem.was_sent) == ("no connection", False)
    problem = refused("http://no-such-host.invalid/")
    assert not problem.was_sent


def test_a_certificate_must_be_known_and_of_that_name(serve, tmp_path, monkeypatch):
    known, unknown = Authority(tmp_path), Authority(tmp_path, "unknown")
    monkeypatch.setenv("SSL_CERT_FILE", str(known.certificate))
    assert ask(serve(says(WHOLE), known.issue("right")).url).status == 200
    for issued, host in ((known.issue("other"), "127.0.0.2"), (unknown.issue("made up"), "127.0.0.1")):
        problem = refused(serve(says(WHOLE), issued, host).url)
        assert (problem.reason, problem.was_sent) == ("its certificate is not right", False)
    plain = serve(lambda connection: connection.sendall(WHOLE))
    assert refused(plain.url.replace("http", "https")).reason == "TLS fails"


def test_no_proxy_is_asked(serve, monkeypatch):
    proxy, server = serve(says(WHOLE)), serve(says(WHOLE))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert ask(server.url).status == 200
    assert (proxy.connections, server.connections) == (0, 1)


def answers_all(connection):
    while read_request(connection):
        connection.sendall(WHOLE)


def test_a_connection_is_kept(serve):
    server, curl = serve(answers_all), pycurl.Curl()
    assert [ask(server.url, curl=curl).status for _ in range(3)] == [200] * 3
    assert server.connections == 1
    ask(server.url, curl=curl, may_be_sent_twice=False)
    ask(server.url, curl=curl)
    assert server.connections == 2  # that one was closed, and the kept one goes on


def test_a_kept_connection_that_has_ended_meanwhile_is_no_failure(serve):
    """Servers close what is idle."""
    server, curl = serve(says(WHOLE)), pycurl.Curl()
    assert [ask(server.url, curl=curl).status for _ in range(5)] == [200] * 5
    assert server.connections == 5


def test_threads_ask_at_the_same_time(serve):
    server, got = serve(answers_all), []

    def many():
        curl = pycurl.Curl()
        got.extend(ask(server.url, str(number).encode(), curl).status for number in range(50))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [200] * 200
