"""docs/example behind nginx with the documented file: who chats, whose socket closes, and what it refuses."""

import json
import os
import signal
import socket
import time
import zlib
from contextlib import ExitStack, suppress

import pytest
from redis.exceptions import NoPermissionError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_websocket

from tests.authenticator import Authenticator
from tests.device import PASSWORD
from tests.live.example import FOLDER, SECRET, Client, Example, OddKeyrack, listeners
from tests.live.gateways import Gateway, Relay, require
from tests.live.outside import Outside
from tests.live.server import Service
from tests.live.test_clients import ENVIRONMENTS, run
from tests.live.test_clients import HERE as CLIENTS
from tests.passkeys import CREDENTIALS, add, prove
from tests.servers import RedisServer, missing, redis_at, wait_until

README = (FOLDER / "README.md").read_text()
DEAD = "MQ.AAAA.AAAA"
SESSION_ENDED = 4004
NOBODY = {"X_Auth_User_Id": "1", "X_Auth_Session_Id_Hash": "A" * 43 + "="}
UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}


@pytest.fixture(scope="module")
def keyrack(live_server):
    service = Service(live_server.url, TRUSTED_PROXIES="127.0.0.1", GATEWAY_SECRET=SECRET)
    yield service
    service.close()


@pytest.fixture(scope="module")
def service(keyrack):
    """Where the devices of these tests sign in."""
    return keyrack


@pytest.fixture(scope="module")
def example(keyrack, live_server):
    example = Example(keyrack.url, live_server.url, "sockets.CLOSE_WITHIN_S = 1")
    yield example
    example.close()


@pytest.fixture(scope="module")
def impatient(keyrack, live_server):
    """The example, which waits for nobody."""
    example = Example(
        keyrack.url, live_server.url, "sockets.HEARTBEAT_EVERY_S = 0.5", "sockets.IDENTIFY_WITHIN_S = 1.5"
    )
    yield example
    example.close()


@pytest.fixture(scope="module")
def small(keyrack, live_server):
    """The example, with room for few, which asks every moment who is still signed in."""
    bounds = ("sockets.MAX_SOCKETS = 4", "sockets.MAX_SOCKETS_OF_SESSION = 2", "keyrack.RECONCILE_EVERY_S = 0.2")
    example = Example(keyrack.url, live_server.url, *bounds)
    yield example
    example.close()


@pytest.fixture(scope="module")
def gateway(keyrack, example):
    require("nginx")
    gateway = Gateway("nginx", keyrack.port, example.port, example.entrance_port)
    yield gateway
    gateway.close()


@pytest.fixture
def phone(service, alice):
    return service.device().log_in(alice)


@pytest.fixture
def entrance(gateway, example):
    """Where clients of the user API open their socket: without a word of who they are."""
    return lambda **headers: Client(f"{example.entrance_url}/?encoding=json&v=9", **headers)


@pytest.fixture
def own(gateway):
    """The socket of pages: nginx has asked whose the handshake is."""
    return lambda **headers: Client(f"ws://127.0.0.1:{gateway.port}/socket", **headers)


def ask(http, method, path, json=None, **headers):
    return http.open(f"/api/v9{path}", method, {name.replace("_", "-"): value for name, value in headers.items()}, json)


def first_room(http, **headers):
    return ask(http, "GET", "/guilds/1/channels", **headers).json[0]["id"]


def said_by(device):
    """The identity headers of a device, as the gateway sends them."""
    return {"X_Auth_User_Id": device.user_id, "X_Auth_Session_Id_Hash": device.id_hash}


def test_a_client_of_the_user_api_from_its_token_to_a_message(gateway, example, entrance, service, alice):
    """HELLO, IDENTIFY, READY, heartbeats; what one says the other hears, and nobody hears another's address."""
    bob = service.device().register("bob@example.com")
    with entrance() as one, entrance() as another:
        assert one.hello == {"heartbeat_interval": 41_250}
        ready = one.identify(alice.token)
        [session] = alice.get("/auth/sessions?extended=true").json["user_sessions"]
        assert (ready["auth_session_id_hash"], ready["session_id"]) == (session["id_hash"], session["id"])
        me = alice.get("/users/@me").json
        assert {name: ready["user"][name] for name in me} == me
        [guild] = another.identify(bob.token)["guilds"]
        assert {member["user"]["username"] for member in guild["members"]} >= {"alice", "bob"}
        assert "@example.com" not in json.dumps(guild)
        assert one.is_open
        said = {"content": "hello <b>there</b>"}
        messages = f"/channels/{guild['channels'][0]['id']}/messages"
        sent = ask(gateway.http, "POST", messages, said, Authorization=alice.token)
        assert sent.status_code == 200
        assert one.dispatched("MESSAGE_CREATE") == another.dispatched("MESSAGE_CREATE") == sent.json
        assert (sent.json["author"]["id"], sent.json["content"]) == (alice.user_id, said["content"])
        assert ask(gateway.http, "GET", messages, Authorization=bob.token).json[0] == sent.json
    assert ask(gateway.http, "GET", "/gateway", Authorization=alice.token).json == {"url": example.entrance_url}
    assert [one["id"] for one in ask(gateway.http, "GET", "/users/@me/guilds", Authorization=alice.token).json] == ["1"]


def test_a_real_client_chats_and_ends_a_device(gateway, example, entrance, alice, phone, tmp_path):
    """discord.py-self as it is, through nginx and the entrance: it is ready, and the ended device's socket closes."""
    name, driver = "discord.py-self", CLIENTS / "drive_discord_py_self_socket.py"
    if not (ENVIRONMENTS / name).is_dir():
        missing(name, "in var/clients, see .ci/clients")
    outside = Outside(gateway.port, tmp_path)
    task = {
        **{"token": alice.token, "user_id": alice.user_id, "password": PASSWORD, "phone": phone.id_hash},
        "socket_url": f"{example.entrance_url}/",
    }
    with entrance() as client:
        client.identify(phone.token)
        told = run(name, outside, driver, task)
        assert client.closed_with == SESSION_ENDED
    outside.close()
    assert told == {
        "worked": dict.fromkeys(
            ("be ready", "send and hear a message", "end the other device", "hear of its own end"), "yes"
        ),
        "left": [],
    }
    assert not alice.is_signed_in


def test_a_client_that_asks_for_it_is_sent_one_compressed_stream(example, alice):
    """As most clients of the user API do."""
    url = f"{example.socket_url}?compress=zlib-stream"
    with open_websocket(url, proxy=None) as websocket:
        stream = zlib.decompressobj()
        websocket.send(json.dumps({"op": 2, "d": {"token": alice.token}}))
        heard = [json.loads(stream.decompress(websocket.recv(timeout=10))) for _ in range(3)]
    assert [(one["op"], one["t"]) for one in heard] == [(10, None), (0, "READY"), (0, "READY_SUPPLEMENTAL")]


def test_a_page_names_no_token(own, gateway, alice):
    """The cookie of the handshake is enough, from its own origin alone."""
    cookie = {"Cookie": f"__Host-session={alice.token}"}
    with own(Origin=gateway.url, **cookie) as page:
        assert page.identify()["user"]["id"] == alice.user_id
    for refused, status in ((cookie | {"Origin": "https://evil.example"}, 403), ({}, 401)):
        with pytest.raises(InvalidStatus) as answer, own(**refused):
            pass
        assert answer.value.response.status_code == status


def test_who_is_new_is_met_at_once(entrance, service, alice):
    with entrance() as client:
        client.identify(alice.token)
        carol = service.device().register("carol@example.com")
        assert client.dispatched("GUILD_MEMBER_ADD")["user"] == {
            **{"id": carol.user_id, "username": "carol", "global_name": None, "discriminator": "0", "avatar": None}
        }


def test_a_token_that_is_over_is_refused(entrance, alice, phone):
    ended = phone.token
    assert phone.post("/auth/logout").status_code == 204
    for token in (DEAD, ended, "x", "\ud800", "", None):
        with entrance() as client:
            client.send(2, {"token": token})
            assert client.closed_with == 4004


def test_an_identity_that_a_client_claims_is_not_believed(gateway, entrance, own, alice):
    """Through nginx. Where the application itself listens nobody but this machine comes."""
    room = first_room(gateway.http, Authorization=alice.token)
    said = ask(
        gateway.http, "POST", f"/channels/{room}/messages", {"content": "me"}, Authorization=alice.token, **NOBODY
    )
    assert said.json["author"]["id"] == alice.user_id
    refused = ask(gateway.http, "GET", "/users/@me/guilds", **NOBODY)
    assert (refused.status_code, refused.json) == (401, UNAUTHORIZED)
    with own(Authorization=alice.token, **NOBODY) as client:
        assert client.identify()["user"]["id"] == alice.user_id
    with entrance(**NOBODY) as client:
        client.send(2, {})
        assert client.closed_with == 4004


def test_it_listens_on_loopback_alone_and_refuses_who_has_no_identity(example, alice):
    """Past the gateway one may claim to be anybody: hence loopback."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", example.port)) != 0
    room = first_room(example.http, **said_by(alice))
    routes = [("GET", "/gateway"), ("GET", "/guilds/1/channels"), ("GET", f"/channels/{room}/messages")]
    routes += [("GET", "/users/@me"), ("PATCH", "/users/@me"), ("GET", "/users/@me/guilds")]
    for method, path in [*routes, ("POST", f"/channels/{room}/messages")]:
        assert ask(example.http, method, path, {"content": "x"}).json == UNAUTHORIZED
        half = ask(example.http, method, path, {"content": "x"}, X_Auth_User_Id=alice.user_id)
        assert half.json == UNAUTHORIZED
    with Client(example.socket_url) as client:
        client.send(2, {})
        assert client.closed_with == 4004


def test_the_sockets_of_a_session_close_when_it_ends_and_no_others(entrance, gateway, service, alice, phone):
    tablet = service.device().log_in(alice)
    with entrance() as kept, entrance() as one, entrance() as another, entrance() as left:
        for client, device in ((kept, alice), (one, phone), (another, phone), (left, tablet)):
            assert client.identify(device.token)["auth_session_id_hash"] == device.id_hash
        assert alice.end([phone.id_hash]).status_code == 204
        assert [client.closed_with for client in (one, another)] == [SESSION_ENDED] * 2
        assert ask(gateway.http, "GET", "/users/@me/guilds", Authorization=phone.token).status_code == 401
        assert tablet.post("/auth/logout").status_code == 204
        assert left.closed_with == SESSION_ENDED
        assert kept.is_open


def test_a_socket_follows_its_session_to_a_new_hash(entrance, alice, phone):
    """Turning TOTP on gives Alice's session a new token: her socket hears of it, and stays until that session ends."""
    with entrance() as client:
        client.identify(alice.token)
        alice.enable_totp(time.time())
        assert client.dispatched("AUTH_SESSION_CHANGE") == {"auth_session_id_hash": alice.id_hash}
        assert client.is_open
        assert alice.post("/auth/logout").status_code == 204
        assert client.closed_with == SESSION_ENDED


def test_every_socket_of_a_user_hears_of_their_passkeys(entrance, alice, phone):
    """Whichever session has added, renamed or removed one; and the sockets stay."""
    with entrance() as one, entrance() as another:
        one.identify(alice.token)
        another.identify(phone.token)
        key = Authenticator()
        passkey = add(alice, key, "Key")
        proof = {"X_Discord_MFA_Authorization": prove(alice, key).json["token"]}
        path = f"{CREDENTIALS}/{passkey['id']}"
        assert alice.patch(path, {"name": "Büro"}, **proof).status_code == 200
        assert alice.call("DELETE", path, **proof).status_code == 204
        for client in (one, another):
            for act, name in (("CREATE", "Key"), ("UPDATE", "Büro"), ("DELETE", "Büro")):
                told = {"id": passkey["id"], "type": 1, "name": name}
                assert client.dispatched(f"AUTHENTICATOR_{act}") == told
            assert client.is_open


def test_what_was_missed_is_caught_up_on(entrance, example, real_redis, alice, phone):
    """A session ends while the example's connection to Redis is gone: it reconciles once it has a new one."""
    with entrance() as kept, entrance() as client:
        kept.identify(alice.token)
        client.identify(phone.token)
        ended, proof = phone.id_hash, alice.prove()
        os.kill(example.process.pid, signal.SIGSTOP)  # so that it cannot be back before the session has ended
        try:
            assert real_redis.client_kill_filter(_type="pubsub") >= 1
            wait_until(lambda: listeners(real_redis) == 0, "the example still listens")
            assert alice.end([ended], proof).status_code == 204
        finally:
            os.kill(example.process.pid, signal.SIGCONT)
        assert client.closed_with == SESSION_ENDED
        assert kept.is_open


def test_what_no_event_tells_is_found_by_asking_now_and_then(small, real_redis, alice):
    """As when a session expires, or Redis has lost it: what has no record is over."""
    with Client(small.socket_url) as client:
        client.identify(alice.token)
        real_redis.flushdb()
        assert client.closed_with == SESSION_ENDED


def test_an_odd_message_on_the_channel_is_passed_over_with_a_line_in_the_log(example, real_redis, alice, phone):
    """Whatever it is: the socket's place is kept, and the next event is heard."""
    event = {"user_id": phone.user_id, "auth_session_id_hash": phone.id_hash}
    moved = event | {"type": "AUTH_SESSION_CHANGE", "old_auth_session_id_hash": phone.id_hash}
    odd = [b"5", b"x", b"", b"null", b'"x"', b"[]", b"[{}]", b"{}", b"\xff", b"[" * 10_000]
    odd += [json.dumps(moved | {name: wrong}) for name in [*event, "type"] for wrong in (None, 5, True, [], {})]
    odd += [json.dumps(moved | {"old_auth_session_id_hash": wrong}) for wrong in ([], {})]
    odd += [json.dumps({key: value for key, value in moved.items() if key != name}) for name in moved]
    with Client(example.socket_url) as client:
        client.identify(phone.token)
        before = example.log.count("odd event")
        for message in odd:
            assert real_redis.publish("auth-events", message) >= 1
        real_redis.publish("auth-events", json.dumps(event | {"type": "AUTH_SESSION_OTHER"}))  # a later Keyrack's
        wait_until(lambda: example.log.count("odd event") == before + len(odd), "an odd message left no line")
        assert client.is_open
        assert alice.end([phone.id_hash]).status_code == 204
        assert client.closed_with == SESSION_ENDED


def test_an_odd_answer_of_keyrack_ends_nothing(live_server, real_redis):
    """Who asks now and then, who hears events and who meets newcomers go on, and so does an open socket."""
    keyrack = OddKeyrack()
    keyrack.answers = {"/gateway/reconcile": {"ended": []}, "/gateway/users/1": user("1")}
    example = Example(keyrack.url, live_server.url, "keyrack.RECONCILE_EVERY_S = 0.05")
    try:
        listening = listeners(real_redis)
        with Client(example.socket_url, X_Auth_User_Id="1", X_Auth_Session_Id_Hash="A") as client:
            client.identify()
            for wrong in (5, None, "x", [], {}, {"ended": 5}, {"ended": [5]}, {"ended": [{}]}, {"ended": [{"x": 1}]}):
                keyrack.answers["/gateway/reconcile"] = wrong
                before = keyrack.asked.count("/gateway/reconcile")
                wait_for_questions(keyrack, "/gateway/reconcile", before + 3)
                real_redis.client_kill_filter(_type="pubsub")
            keyrack.answers["/gateway/reconcile"] = {"ended": []}
            wait_until(lambda: listeners(real_redis) == listening, "the example does not listen again")
            for number, wrong in enumerate((5, None, [], {"id": "x"}, {"id": "x", "disabled": False}), start=2):
                keyrack.answers[f"/gateway/users/{number}"] = wrong
                tell(real_redis, "AUTH_SESSION_CREATE", str(number))
                wait_for_questions(keyrack, f"/gateway/users/{number}", 1)
            keyrack.answers["/gateway/users/9"] = user("9")
            tell(real_redis, "AUTH_SESSION_CREATE", "9")
            assert client.dispatched("GUILD_MEMBER_ADD")["user"]["id"] == "9"
            assert client.is_open
            tell(real_redis, "AUTH_SESSION_REMOVE", "1")
            assert client.closed_with == SESSION_ENDED
    finally:
        example.close()
        keyrack.close()


def user(user_id):
    named = {"username": "somebody", "global_name": None, "discriminator": "0", "avatar": None}
    return named | {"id": user_id, "disabled": False}


def tell(redis, kind, user_id):
    redis.publish("auth-events", json.dumps({"type": kind, "user_id": user_id, "auth_session_id_hash": "A"}))


def wait_for_questions(keyrack, path, number):
    wait_until(lambda: keyrack.asked.count(path) >= number, f"nobody asks {path}")


@pytest.mark.parametrize(
    ("settings", "documented", "rights"),
    [
        ({}, "resetchannels &auth-events +subscribe", "resetchannels &auth-events +subscribe"),
        ({"REDIS_PREFIX": "staging"}, "&staging:auth-events", "resetchannels &staging:auth-events +subscribe"),
    ],
    ids=["without a prefix", "with one"],
)
def test_the_documented_user_of_redis_hears_the_channel_and_no_more(settings, documented, rights):
    assert f"`{documented}`" in README
    redis = RedisServer()
    with redis_at(redis.url) as operator:
        operator.execute_command("ACL", "SETUSER", "chat", "on", ">a-password", *rights.split())
    reader = redis.url.replace("unix://", "unix://chat:a-password@")
    service = Service(redis.url, GATEWAY_SECRET=SECRET, WEB_CONCURRENCY="1", **settings)
    example = Example(service.url, redis.url, REDIS_URL=reader, **settings)
    try:
        alice = service.device().register("alice@example.com")
        with Client(example.socket_url) as client:
            client.identify(alice.token)
            assert alice.post("/auth/logout").status_code == 204
            assert client.closed_with == SESSION_ENDED
        with redis_at(reader) as chat, pytest.raises(NoPermissionError):
            chat.keys()
    finally:
        for one in (example, service, redis):
            one.close()


def test_redis_stopped_and_started_again():
    """Sockets outlast it, and what ends afterwards closes."""
    redis = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    service = Service(redis.url, GATEWAY_SECRET=SECRET, WEB_CONCURRENCY="1")
    example = Example(service.url, redis.url)
    try:
        alice = service.device().register("alice@example.com")
        phone = service.device().log_in(alice)
        with Client(example.socket_url) as kept, Client(example.socket_url) as client:
            kept.identify(alice.token)
            client.identify(phone.token)
            redis.stop()
            assert client.is_open
            with Client(example.socket_url) as late:
                late.send(2, {"token": alice.token})
                assert late.closed_with == 4000
            redis.start()
            assert alice.end([phone.id_hash]).status_code == 204
            assert client.closed_with == SESSION_ENDED
            assert kept.is_open
    finally:
        for one in (example, service, redis):
            one.close()


def test_keyrack_away_or_silent_closes_with_a_code_after_which_clients_try_again(keyrack, live_server, alice):
    """Not 4004, after which they forget their token. Who is in stays in."""
    relay = Relay(keyrack.port)
    example = Example(f"http://127.0.0.1:{relay.port}", live_server.url, "keyrack.ANSWER_WITHIN_S = 0.5")
    try:
        with Client(example.socket_url) as kept:
            kept.identify(alice.token)
            for fail in (relay.fall_silent, relay.cut):
                fail()
                with Client(example.socket_url) as client:
                    client.send(2, {"token": alice.token})
                    assert client.closed_with == 4000
                stranger = {"X_Auth_User_Id": "2", "X_Auth_Session_Id_Hash": alice.id_hash}
                room = first_room(example.http, **stranger)
                refused = ask(example.http, "POST", f"/channels/{room}/messages", {"content": "hello"}, **stranger)
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert kept.is_open
    finally:
        example.close()
        relay.close()


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["x"], 4002),
        (["[" * 10_000], 4002),
        ([b"\xff"], 4002),
        (["[]"], 4002),
        (['{"op": [2]}'], 4002),
        (['{"op": NaN}'], 4002),
        (['{"op": 2}'], 4002),
        (['{"op": 2, "d": {"token": 7}}'], 4002),
        (['{"op": 3}'], 4003),
        (['{"op": 6, "d": {"seq": "1"}}'], 4007),
        (["IDENTIFY", "IDENTIFY"], 4005),
        (["IDENTIFY", '{"op": 6, "d": {"seq": 1}}'], 4005),
        (["IDENTIFY", '{"op": 99}'], 4001),
        (["IDENTIFY", '{"op": 11}'], 4001),
        (["IDENTIFY", *['{"op": 3}'] * 120], 4008),
        ([json.dumps({"op": 1, "d": "x" * 17_000})], 1009),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_client_may_not_send_closes_with_the_code_of_the_user_api(example, alice, texts, code):
    with Client(example.socket_url) as client:
        for text in texts:
            client.send_text(json.dumps({"op": 2, "d": {"token": alice.token}}) if text == "IDENTIFY" else text)
        assert client.closed_with == code


DEEP = "[" * 1000 + "]" * 1000  # too deep for some versions of Python
NO_OPCODES = ["1e400", "-1e400", "Infinity", "NaN", "1.5", "2.0", "true", "null", '"2"', '"x"', "[]", "{}", DEEP]
NO_OPCODES += ["1" * 5000]
DATA = ["1e400", "true", "null", "5", "1" * 4000, '"x"', '"\\ud800"', "[]", "[5]", "{}"]
DATA += ['{"token": []}', '{"token": 1e400}', '{"token": "\\ud800"}', '{"seq": 1e400}', '{"seq": true}']


@pytest.mark.parametrize("op", NO_OPCODES, ids=lambda text: text[:12])
def test_an_opcode_is_a_whole_number(example, op):
    with Client(example.socket_url) as client:
        client.send_text(f'{{"op": {op}}}')
        assert client.closed_with == 4002


@pytest.mark.parametrize("op", [-1, 0, 1, 2, 3, 6, 9, 10, 11, 14, 50, 10**4000], ids=lambda op: str(op)[:5])
def test_whatever_data_a_payload_has_nothing_fails(example, alice, op):
    """Each opcode with data of each type, before IDENTIFY and after it: an answer, or a code of the user API."""
    for data in DATA:
        with Client(example.socket_url) as client:
            client.send_text(f'{{"op": {op}, "d": {data}}}')
            if op == 1:
                assert client.hear(11) is None
            else:
                assert client.closed_with in {2: (4002, 4004), 6: (4007,)}.get(op, (4003,))
    with Client(example.socket_url) as client:
        with suppress(ConnectionClosed):
            client.send_text(f'{{"op": {op}, "d": {DEEP}}}')
            client.send(99)
        assert 4001 <= client.closed_with <= 4007
    with Client(example.socket_url) as client:
        client.identify(alice.token)
        with suppress(ConnectionClosed):
            for data in DATA:
                client.send_text(f'{{"op": {op}, "d": {data}}}')
        if op == 1:
            client.dispatched("READY_SUPPLEMENTAL")
            assert [client.hear(11) for _ in DATA] == [None] * len(DATA)
        elif op in (3, 14):
            assert client.is_open
        else:
            assert client.closed_with == (4005 if op in (2, 6) else 4001)


def test_who_comes_back_has_to_identify_anew(example, alice):
    with Client(example.socket_url) as client:
        client.send(6, {"token": alice.token, "session_id": "x", "seq": 3})
        assert client.hear(9) is False
        assert client.identify(alice.token)


def test_a_silent_client_is_given_up(impatient, alice):
    """One that never identifies, though it beats, and one whose heartbeats stop."""
    with Client(impatient.socket_url) as unknown, Client(impatient.socket_url) as silent:
        silent.identify(alice.token)
        assert silent.closed_with == 4009
        for _ in range(3):
            unknown.send(1)
        assert unknown.closed_with == 4003


def test_sockets_are_bounded_in_all_and_by_session(small, alice):
    with (
        Client(small.socket_url) as one,
        Client(small.socket_url) as two,
        Client(small.socket_url) as three,
    ):
        one.identify(alice.token)
        two.identify(alice.token)
        three.send(2, {"token": alice.token})
        assert three.closed_with == 4008
    wait_until(lambda: sockets_left(small) == 4, "the sockets are not given back")


def sockets_left(example):
    """How many more sockets it takes."""
    with ExitStack() as clients:
        return sum(1 for _ in iter(lambda: takes_one_more(example, clients), False))


def takes_one_more(example, clients):
    try:
        clients.enter_context(Client(example.socket_url))
    except InvalidStatus as refused:
        return refused.response.status_code != 503
    return True


def test_a_slow_reader_is_cut_off_and_nobody_waits_for_it(example, alice):
    """It reads nothing, and much is said. What waits for it is bounded."""
    who = said_by(alice)
    with socket.socket() as slow, Client(example.socket_url) as other:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", example.port))
        lines = ["GET /socket HTTP/1.1", f"Host: 127.0.0.1:{example.port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in who.items()]
        identify = b'{"op": 2, "d": {}}'
        frame = bytes([0x81, 0x80 | len(identify), 0, 0, 0, 0]) + identify
        slow.sendall("\r\n".join([*lines, "", ""]).encode() + frame)
        other.identify(alice.token)
        room = first_room(example.http, **who)
        for _ in range(300):
            said = ask(example.http, "POST", f"/channels/{room}/messages", {"content": "\U0001f600" * 2000}, **who)
            assert said.status_code == 200
            assert other.dispatched("MESSAGE_CREATE")["id"] == said.json["id"]
        slow.settimeout(15)
        assert read_to_the_end(slow) < 300 * 24_000  # the rest was thrown away


def read_to_the_end(one):
    """How many bytes there were to read."""
    return sum(iter(lambda: len(one.recv(1 << 20)), 0))


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [("", 400, 50035), ("  ", 400, 50035), ("x" * 2001, 400, 50035), (7, 400, 50035), ("x" * 33_000, 413, 0)],
)
def test_messages_are_bounded(example, alice, content, status, code):
    who = said_by(alice)
    refused = ask(
        example.http, "POST", f"/channels/{first_room(example.http, **who)}/messages", {"content": content}, **who
    )
    assert (refused.status_code, refused.json["code"]) == (status, code)
    unknown = ask(example.http, "POST", "/channels/1/messages", {"content": "x"}, **who)
    assert (unknown.status_code, unknown.json["code"]) == (404, 10003)


def test_a_profile_has_what_only_the_application_knows(example, alice):
    who = said_by(alice)
    assert ask(example.http, "GET", "/users/@me", **who).json == {}
    changed = ask(example.http, "PATCH", "/users/@me", {"bio": "Hello", "accent_color": 0xFF0000, "x": 1}, **who)
    assert (changed.status_code, changed.json) == (200, {"bio": "Hello", "accent_color": 0xFF0000})
    for wrong in ({"bio": "x" * 191}, {"bio": 1}, {"accent_color": True}, {"accent_color": 1 << 24}):
        refused = ask(example.http, "PATCH", "/users/@me", wrong, **who)
        assert list(refused.json["errors"]) == list(wrong)
    assert ask(example.http, "GET", "/users/@me", **who).json == changed.json
