"""From one server to a Cluster, by the commands of docs/scaling.md: nobody is signed out, nothing is forgotten."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.conftest import ENVIRONMENT
from tests.device import Device
from tests.live.server import ROOT, Service
from tests.ports import lasting_port
from tests.servers import missing, server_folder, wait_until
from tests.sets import ClusterSet, Node

PASSWORD = "sesame"
MANY = 40  # users beside those who do something, so that every primary has some
FLOODER = {"X-Forwarded-For": "203.0.113.9"}


def node(folder: Path, *lines: str) -> Node:
    """A server as operators set it up: by a configuration file that is changed later on."""
    port = lasting_port()
    folder.mkdir()
    common = [f"port {port}", "bind 127.0.0.1", f"requirepass {PASSWORD}", "appendonly yes", "save ''"]
    (folder / "keyrack.conf").write_text("\n".join([*common, *lines, ""]), encoding="utf-8")
    started = Node(folder, port, "keyrack.conf", password=PASSWORD)
    wait_until(started.answers, "a server did not start")
    return started


def redis_cli(*arguments: str, said: str = "") -> str:
    """Run what docs/scaling.md has, with the password in REDISCLI_AUTH; what it printed."""
    program = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if program is None:
        missing("redis-cli or valkey-cli")
    done = subprocess.run(
        [program, *arguments],
        check=False,
        input=said,
        env=os.environ | {"REDISCLI_AUTH": PASSWORD},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def know_each_other(*servers: Node) -> None:
    """Wait until every node knows every other and serves what it has; redis-cli itself does not."""
    wanted = {"cluster_state:ok", f"cluster_known_nodes:{len(servers)}"}
    wait_until(
        lambda: all(wanted <= set(server.call("CLUSTER", "INFO").splitlines()) for server in servers),
        "the nodes do not know each other",
    )


@pytest.fixture
def place():
    """The folder of the servers' folders."""
    with server_folder() as path:
        yield Path(path)


@pytest.fixture
def old(place):
    """The one server."""
    server = node(place / "old")
    yield server
    server.close()


@pytest.fixture
def url(old):
    return f"redis://:{PASSWORD}@127.0.0.1:{old.port}/0?socket_timeout=20&socket_connect_timeout=20"


def cluster_url(*servers: Node) -> str:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"redis+cluster://:{PASSWORD}@{hosts}?socket_timeout=20&socket_connect_timeout=20"


@pytest.fixture
def start():
    """Starts the service on a Redis."""
    running = []

    def start(redis_url, smtp_url):
        limits = {"RATE_LIMIT_FORGOT": "3 per hour", "TRUSTED_PROXIES": "127.0.0.1"}
        running.append(Service(redis_url, SMTP_URL=smtp_url, **limits))
        return running[-1]

    yield start
    for service in running:
        if service.process.poll() is None:
            service.close()


def deliver(redis_url: str, smtp_url: str) -> None:
    """Send all mails that are queued, as `flask deliver-mail --once` does."""
    own = ENVIRONMENT | {"REDIS_URL": redis_url, "SMTP_URL": smtp_url}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "deliver-mail", "--once"]
    subprocess.run(command, cwd=ROOT, env=os.environ | own, check=True, timeout=60)


class World:
    """People in the middle of everything, and what must come of it wherever their data went."""

    def __init__(self, service: Service, redis_url: str, smtp) -> None:
        self._smtp = smtp
        self._many(service)
        self._ended(service)
        self._second_factor(service)
        self._links(service, redis_url)
        self._limits_and_mails(service)
        self.before = {device.token: self._seen(device) for device in self.living}

    def _many(self, service: Service) -> None:
        self.living = [service.device().register(f"user{number}@example.com") for number in range(MANY)]

    def _ended(self, service: Service) -> None:
        """Alice's tablet was ended by her laptop, whose proof is still good; her phone is signed in."""
        self.laptop = service.device().register("alice@example.com")
        self.phone, self.tablet, self.watch = (service.device().log_in(self.laptop) for _ in range(3))
        self.proof = self.laptop.prove()
        assert self.laptop.end([self.tablet.id_hash], self.proof).status_code == 204
        self.living += [self.laptop, self.phone, self.watch]
        self.ended = [self.tablet]

    def _second_factor(self, service: Service) -> None:
        """Bob has used a code and is asked for one twice: to sign in, and to end a session."""
        self.bob = service.device().register("bob@example.com")
        at = time.time()
        self.bob.enable_totp(at)
        self.used = self.bob.backup_codes[-1]
        self.bobs_phone = service.device().log_in(self.bob)
        self.living += [self.bob, self.bobs_phone]
        begun = service.device().post("/auth/login", {"login": self.bob.email, "password": self.bob.password})
        self.login_ticket = begun.json["ticket"]
        self.challenge = self.bob.challenge()["ticket"]

    def _links(self, service: Service, redis_url: str) -> None:
        """Carol has a mail with a link that ends a session, Dave one that sets a new password."""
        carol = service.device().register("carol@example.com")
        self.intruder = service.device(**{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Firefox/133.0"})
        self.intruder.log_in(carol)
        self.dave = service.device().register("dave@example.com")
        service.device().post("/auth/forgot", {"login": "dave@example.com"})
        deliver(redis_url, self._smtp.url)
        self.not_me = self._secret_for("carol@example.com", "/not-me")
        self.reset = self._secret_for("dave@example.com", "/reset")
        self.living += [carol, self.intruder, self.dave]

    def _secret_for(self, recipient: str, path: str) -> str:
        texts = [one.get_body(["plain"]).get_content() for one in self._smtp.inbox if one["To"] == recipient]
        [secret] = re.findall(rf"https?://\S+{path}#(\S+)", "\n".join(texts))
        return secret

    def _limits_and_mails(self, service: Service) -> None:
        """Somebody has asked for a reset as often as they may; Erin's notice is queued and not sent."""
        for name in ("x", "y", "z"):
            answer = service.device(**FLOODER).post("/auth/forgot", {"login": f"{name}@example.com"})
            assert answer.status_code == 200
        erin = service.device().register("erin@example.com")
        assert erin.post("/auth/sessions/debug/notifications").status_code == 204
        self.living.append(erin)
        self.told = len(self._smtp.inbox)

    def _seen(self, device: Device) -> list[tuple]:
        listed = device.get("/auth/sessions?extended=true").json["user_sessions"]
        return sorted((row["id_hash"], row["created_at"], str(row["client_info"])) for row in listed)

    def require_alive(self, service: Service) -> None:
        """Who was signed in is, with the devices they had; who was not is not."""
        for device in self._on(service, self.living):
            assert self._seen(device) == self.before[device.token]
        for device in self._on(service, self.ended):
            assert device.get("/gateway/verify").status_code == 401
            assert not device.is_signed_in

    def require_all_goes_on(self, service: Service, redis_url: str) -> None:
        """What was under way comes to its end, and everything that counts once has counted."""
        laptop, phone, watch, bob, bobs_phone, intruder, dave = self._on(
            service, [self.laptop, self.phone, self.watch, self.bob, self.bobs_phone, self.intruder, self.dave]
        )
        assert laptop.end([phone.id_hash], self.proof).status_code == 204
        assert (phone.is_signed_in, watch.is_signed_in) == (False, True)
        self._require_codes(service, bob, bobs_phone)
        self._require_links(service, intruder, dave)
        flooder = service.device(**FLOODER)
        assert flooder.post("/auth/forgot", {"login": "w@example.com"}).status_code == 429
        assert service.device().post("/auth/forgot", {"login": "w@example.com"}).status_code == 200
        deliver(redis_url, self._smtp.url)
        assert "erin@example.com" in self._smtp.recipients[self.told :]

    def _require_codes(self, service: Service, bob: Device, bobs_phone: Device) -> None:
        used = {"ticket": self.challenge, "mfa_type": "backup", "data": self.used}
        assert bob.post("/mfa/finish", used).json["code"] == 60008
        proof = bob.post("/mfa/finish", used | {"data": self.bob.backup_codes.pop()}).json["token"]
        assert bob.end([bobs_phone.id_hash], proof).status_code == 204
        assert not bobs_phone.is_signed_in
        assert bob.post("/mfa/finish", used).json["code"] == 60006
        answer = {"ticket": self.login_ticket, "code": self.used}
        assert service.device().post("/auth/mfa/backup", answer).json["code"] == 60008
        finished = service.device().post("/auth/mfa/backup", answer | {"code": self.bob.backup_codes.pop()})
        assert bob.call("GET", "/users/@me", token=finished.json["token"]).json["mfa_enabled"] is True

    def _require_links(self, service: Service, intruder: Device, dave: Device) -> None:
        same_origin = {"Sec-Fetch-Site": "same-origin"}
        for status in (200, 400):
            form = {"token": self.not_me}
            answer = requests.post(f"{service.url}/not-me/form", form, headers=same_origin, timeout=30)
            assert answer.status_code == status
        assert not intruder.is_signed_in
        body = {"token": self.reset, "password": "another horse battery"}
        answer = service.device().post("/auth/reset", body)
        assert answer.status_code == 200, answer.json
        assert service.device().post("/auth/reset", body).status_code == 400
        assert (dave.is_signed_in, dave.call("GET", "/users/@me", token=answer.json["token"]).status_code) == (
            False,
            200,
        )

    def _on(self, service: Service, devices: list[Device]) -> list[Device]:
        """The same devices, at another instance."""
        moved = []
        for device in devices:
            other = service.device()
            other.__dict__.update({name: value for name, value in vars(device).items() if name != "_client"})
            moved.append(other)
        return moved

    @contextmanager
    def asked_all_the_while(self, service: Service):
        """Verify who is signed in and who is not, sign in and out, over and over; every answer must be right."""
        stop = threading.Event()
        answers: Counter[tuple[str, int]] = Counter()

        def ask() -> None:
            living, ended = self._on(service, self.living), self._on(service, self.ended)
            while not stop.is_set():
                for name, devices in (("living", living), ("ended", ended)):
                    answers.update((name, device.get("/gateway/verify").status_code) for device in devices)

        def come_and_go() -> None:
            visitor = service.device()
            while not stop.is_set():
                for host in self.living[:MANY]:
                    visitor.log_in(host)
                    answers["visitor", visitor.get("/gateway/verify").status_code] += 1
                    answers["logout", visitor.post("/auth/logout", {}).status_code] += 1
                    answers["gone", visitor.get("/gateway/verify").status_code] += 1

        with ThreadPoolExecutor(3) as threads:
            asking = [threads.submit(what) for what in (ask, ask, come_and_go)]
            try:
                yield
            finally:
                stop.set()
            for each in asking:
                each.result()
        assert set(answers) == {("living", 200), ("ended", 401), ("visitor", 200), ("logout", 204), ("gone", 401)}
        assert min(answers.values()) >= MANY


def restart_as_cluster(server: Node, conf: Path) -> None:
    """One server becomes a Cluster of one node, with the data it has."""
    server.process.terminate()
    server.process.wait(30)
    with conf.open("a", encoding="utf-8") as file:
        file.write(f"masterauth {PASSWORD}\ncluster-enabled yes\ncluster-port {lasting_port()}\n")
    server.start()
    wait_until(lambda: server.answers() and not server.client.info("persistence")["loading"], "it did not start")
    redis_cli("--cluster", "fix", f"127.0.0.1:{server.port}", said="yes\n")
    know_each_other(server)


def test_a_server_becomes_a_cluster_where_it_stands(place, old, url, start, smtp):
    """Instances change over one by one, slots move to further nodes, and everybody is asked about all the while."""
    mails = smtp()
    before = start(url, mails.url)
    world = World(before, url, mails)
    restart_as_cluster(old, place / "old" / "keyrack.conf")
    world.require_alive(before)

    after = start(cluster_url(old), mails.url)
    world.require_alive(after)
    before.close()

    own = (f"masterauth {PASSWORD}", "cluster-enabled yes")
    others = [node(place / name, *own, f"cluster-port {lasting_port()}") for name in ("second", "third")]
    try:
        with world.asked_all_the_while(after):
            seed = f"127.0.0.1:{old.port}"
            for number, other in enumerate(others, 1):
                redis_cli("--cluster", "add-node", f"127.0.0.1:{other.port}", seed)
                know_each_other(old, *others[:number])
            redis_cli("--cluster", "rebalance", seed, "--cluster-use-empty-masters", "--cluster-pipeline", "1000")
        assert "[OK] All 16384 slots covered." in redis_cli("--cluster", "check", seed)
        assert all(server.client.dbsize() > MANY // 3 for server in (old, *others))
        world.require_alive(after)
        world.require_all_goes_on(after, cluster_url(old))
    finally:
        after.close()
        for other in others:
            other.close()


def test_a_server_is_copied_into_a_cluster(old, url, start, smtp):
    """While the service is stopped; the old server has all it had, should somebody want to go back."""
    mails = smtp()
    before = start(url, mails.url)
    world = World(before, url, mails)
    before.close()
    held = old.client.dbsize()
    cluster = ClusterSet(password=PASSWORD)
    try:
        source = ("--cluster-from", f"127.0.0.1:{old.port}", "--cluster-from-pass", PASSWORD)
        target = f"127.0.0.1:{cluster.primaries()[0].port}"
        redis_cli("--cluster", "import", target, *source, "--cluster-copy", "--cluster-replace")
        assert old.client.dbsize() == held
        assert sum(primary.client.dbsize() for primary in cluster.primaries()) == held
        after = start(cluster.url, mails.url)
        world.require_alive(after)
        world.require_all_goes_on(after, cluster.url)
        after.close()
    finally:
        cluster.close()
