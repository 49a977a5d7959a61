"""Several servers that are one store: a Sentinel set and a Cluster, made from the redis-server binary on loopback.

Both have a url for tests that mean the service to wait, and a plain_url with the time-outs that operators have.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts.faults.proxy import Proxy
from tests.certificates import Tls
from tests.ports import lasting_port
from tests.servers import server_folder, server_program, wait_until

NAME = "keyrack"
SLOTS = 16_384
_PATIENCE = {"socket_timeout": "20", "socket_connect_timeout": "20"}
_LOCAL = ["--bind", "127.0.0.1", "--protected-mode", "no", "--save", '""', "--repl-diskless-sync-delay", "0"]


class Node:
    """A server on a port of its own, with its data in a folder that outlives the process.

    command   beside the program: a configuration file, options
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *command: str,
        password: str = "",
        tls: Tls | None = None,
        program: str | None = None,
    ) -> None:
        self.port = port
        self._folder = folder
        self._command = [program or server_program(), *command]
        how: dict[str, Any] = {"ssl": True} | tls.options() if tls else {}
        how |= {"decode_responses": True, "socket_timeout": 5, "retry": Retry(NoBackoff(), 0)}
        self.client = Redis("127.0.0.1", port, password=password or None, **how)
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def replication(self) -> dict[str, Any]:
        """The part of INFO."""
        return self.client.info("replication")

    def call(self, *command: str | int) -> Any:
        """A command whose reply is wanted as it came."""
        name, *arguments = command
        return self.client.execute_command(name, *arguments)

    def close(self) -> None:
        self.kill()
        self.client.close()


class _Set:
    """What both kinds have: a folder, and nodes in folders in it.

    tls      with which all of them speak, and nothing else
    program  of the servers, if not that of the PATH
    """

    def __init__(self, *options: str, password: str = "", tls: Tls | None = None, program: str | None = None) -> None:
        self._folder = server_folder()
        self._program = program
        self._password = password
        self._tls = tls
        self._options = [*_LOCAL, *options]
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]
        self._all: list[Node] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        """Start the servers and make a set of them."""
        raise NotImplementedError

    def _folder_of(self, port: int) -> Path:
        folder = Path(self._folder.name, str(port))
        folder.mkdir()
        return folder

    def _server(self, *options: str) -> Node:
        """One with a configuration that may be rewritten: whoever was made a primary starts again as one."""
        port = lasting_port()
        folder = self._folder_of(port)
        lines = _lines([*self._listen(port), *self._options, *options])
        (folder / "redis.conf").write_text("\n".join(lines), encoding="utf-8")
        return self._keep(
            Node(folder, port, "redis.conf", password=self._password, tls=self._tls, program=self._program)
        )

    def _listen(self, port: int) -> list[str]:
        return self._tls.listen(port) if self._tls else ["--port", str(port)]

    def _keep(self, node: Node) -> Node:
        self._all.append(node)
        return node

    def _take_url(self, kind: str, nodes: Iterable[Node], path: str = "", **options: str) -> None:
        login = f":{self._password}@" if self._password else ""
        scheme = f"rediss+{kind}" if self._tls else f"redis+{kind}"
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        given = options | (self._tls.options() if self._tls else {})
        self.plain_url = f"{scheme}://{login}{hosts}{path}?{urlencode(given)}".removesuffix("?")
        self.url = f"{scheme}://{login}{hosts}{path}?{urlencode(given | _PATIENCE)}"

    def close(self) -> None:
        for node in self._all:
            node.close()
        self._folder.cleanup()


class Pair(_Set):
    """A primary and a replica behind one name, as managed services have it: a port that leads to one of them."""

    def _build(self) -> None:
        self.primary = self._server()
        self.replica = self._server("--replicaof", f"127.0.0.1 {self.primary.port}")
        wait_until(self.is_in_touch, "the replica is not in touch")
        self.name = Proxy(self.primary.port)
        self.plain_url = f"redis://127.0.0.1:{self.name.port}/0"
        self.url = f"{self.plain_url}?{urlencode(_PATIENCE)}"

    def is_in_touch(self) -> bool:
        return self.primary.answers() and _follows(self.replica, self.primary)

    def take_over(self) -> Node:
        """Make the replica the primary and let the name lead to it. Return the former primary.

        The former primary does not know: it takes itself for the primary, and answers whoever is still connected.
        """
        wait_until(self.is_in_touch, "the replica is not in touch")
        self.replica.call("REPLICAOF", "NO", "ONE")
        former, self.primary = self.primary, self.replica
        self.name.lead_to(self.primary.port)
        self.replica = former
        return former

    def follow(self) -> None:
        """Make the former primary a replica of the other."""
        self.replica.call("REPLICAOF", "127.0.0.1", self.primary.port)
        wait_until(self.is_in_touch, "the replica is not in touch")

    def close(self) -> None:
        if hasattr(self, "name"):
            self.name.close()
        super().close()


class SentinelSet(_Set):
    """A primary, two replicas and three sentinels that agree on a failover by two.

    options        of the three servers
    password       of the servers; the sentinels have another, where there is one
    down_after_ms  how long a server that does not answer is not yet down
    """

    def __init__(self, *options: str, down_after_ms: int = 700, **common: Any) -> None:
        self._down_after_ms = down_after_ms
        super().__init__(*options, **common)

    def _build(self) -> None:
        first = self._server()
        replicas = [self._server("--replicaof", f"127.0.0.1 {first.port}") for _ in range(2)]
        self.servers = [first, *replicas]
        self.wait_until_in_touch(first)
        self.sentinels = [self._sentinel(first.port) for _ in range(3)]
        own = {"sentinel_password": self._sentinel_password} if self._password else {}
        self._take_url("sentinel", self.sentinels, f"/{NAME}/0", **own)
        wait_until(self._all_know_each_other, "the sentinels did not find each other")

    def _sentinel(self, primary_port: int) -> Node:
        port = lasting_port()
        folder = self._folder_of(port)
        lines = [
            *_lines([*self._listen(port), "--bind", "127.0.0.1", "--protected-mode", "no"]),
            f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 2",
            f"sentinel down-after-milliseconds {NAME} {self._down_after_ms}",
            f"sentinel failover-timeout {NAME} 3000",
            f"sentinel parallel-syncs {NAME} 1",
        ]
        if self._password:
            lines += [f"sentinel auth-pass {NAME} {self._password}", f"requirepass {self._sentinel_password}"]
            lines += [f"sentinel sentinel-pass {self._sentinel_password}"]
        (folder / "sentinel.conf").write_text("\n".join(lines), encoding="utf-8")
        command = ["sentinel.conf", "--sentinel"]
        own = {"password": self._sentinel_password, "tls": self._tls, "program": self._program}
        return self._keep(Node(folder, port, *command, **own))

    def add_sentinel_for(self, server: Node) -> Node:
        """One more, which takes this server for the primary, and is none of those that the URL names."""
        return self._sentinel(server.port)

    @property
    def _sentinel_password(self) -> str:
        return f"{self._password}-of-sentinels" if self._password else ""

    def _all_know_each_other(self) -> bool:
        if not all(sentinel.answers() for sentinel in self.sentinels):
            return False
        told = [sentinel.client.sentinel_master(NAME) for sentinel in self.sentinels]
        return all(one["num-slaves"] == 2 and one["num-other-sentinels"] == 2 for one in told)

    def primary(self) -> Node:
        """The server that the sentinels call the primary, as soon as all that live name the same."""
        named: set[int] = set()

        def agree() -> bool:
            named.clear()
            named.update(self._ports_named())
            return len(named) == 1

        wait_until(agree, "the sentinels do not agree")
        return next(server for server in self.servers if server.port in named)

    def _ports_named(self) -> set[int]:
        named = [
            sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME) for sentinel in self.sentinels if sentinel.lives
        ]
        return {int(port) for _, port in named}

    def kill_primary(self) -> Node:
        """SIGKILL; the server that was it, to be started again."""
        killed = self.primary()
        killed.kill()
        return killed

    def wait_for_other_primary(self, old: Node) -> Node:
        """The new primary, once every sentinel names it and it takes writes."""
        wait_until(lambda: self.primary() is not old and _is_primary(self.primary()), "there was no failover")
        return self.primary()

    def wait_until_in_touch(self, primary: Node | None = None) -> None:
        """Until every other server that runs is a replica of the primary and has all it has."""

        def in_touch() -> bool:
            named = primary or self.primary()
            others = [server for server in self.servers if server is not named and server.lives]
            return named.answers() and all(_follows(other, named) for other in others)

        wait_until(in_touch, "the replicas are not in touch with the primary")


class ClusterSet(_Set):
    """Three primaries, each with a replica.

    options   of all six servers
    """

    def _build(self) -> None:
        self.nodes = [self._node() for _ in range(6)]
        wait_until(lambda: all(node.answers() for node in self.nodes), "a node did not start")
        primaries, replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(primaries):
            node.call("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self._introduce(node)
        self._wait_until_all_known()
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.call("CLUSTER", "REPLICATE", _id(primary))
        self.wait_until_ok()
        self._take_url("cluster", self.nodes)

    def _node(self) -> Node:
        bus = ["--cluster-enabled", "yes", "--cluster-port", str(lasting_port())]
        return self._server(*bus, "--cluster-node-timeout", "1000")

    def _introduce(self, node: Node) -> None:
        bus_port = int(node.client.config_get("cluster-port")["cluster-port"])
        self.nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)

    def _wait_until_all_known(self) -> None:
        wait_until(lambda: all(len(self._links(node)) == len(self.nodes) for node in self._living()), "no quorum")

    def _links(self, node: Node) -> list[str]:
        """What a node has of every node it has shaken hands with, itself among them."""
        lines = node.call("CLUSTER", "NODES").splitlines()
        return [line for line in lines if "handshake" not in line and "noaddr" not in line]

    def _living(self) -> list[Node]:
        return [node for node in self.nodes if node.lives]

    def primaries(self) -> list[Node]:
        """Those that have slots, in the order of their slots."""
        ports = [owner for owner, _ in sorted(self._owners().items(), key=lambda item: item[1])]
        return [node for port in ports for node in self.nodes if node.port == port]

    def replicas(self) -> list[Node]:
        """Those that run and follow a primary."""
        return [node for node in self._living() if not _is_primary(node)]

    def _owners(self) -> dict[int, list[range]]:
        """The slots of each port, as the first node that runs has them."""
        owners: dict[int, list[int]] = {}
        for first, last, (_, port, *_), *_ in self._living()[0].call("CLUSTER", "SLOTS"):
            owners.setdefault(port, []).append((first, last))
        return owners

    def slot_of(self, key: str) -> int:
        return int(self._living()[0].call("CLUSTER", "KEYSLOT", key))

    def owner_of(self, slot: int) -> Node:
        """The primary that has a slot, as the first node that runs has it."""
        ports = [port for port, ranges in self._owners().items() for first, last in ranges if first <= slot <= last]
        return next(node for node in self.nodes if node.port in ports)

    def kill_owner_of(self, slot: int) -> Node:
        """SIGKILL the primary that has a slot; it is returned, to be started again."""
        killed = self.owner_of(slot)
        killed.kill()
        return killed

    def wait_for_other_owner_of(self, slot: int, old: Node) -> Node:
        """The node that has the slot, once it is another and takes writes."""
        wait_until(lambda: self.owner_of(slot) is not old and _is_primary(self.owner_of(slot)), "there was no failover")
        return self.owner_of(slot)

    def hand_over(self, slot: int) -> Node:
        """CLUSTER FAILOVER: the replica of the slot's owner takes over. Return it, once all nodes agree."""
        old = self.owner_of(slot)
        new = next(node for node in self.replicas() if node.replication()["master_port"] == old.port)
        new.call("CLUSTER", "FAILOVER")
        self.wait_for_other_owner_of(slot, old)
        self.wait_until_ok()
        return new

    def wait_until_ok(self) -> None:
        """Until all that run have the same view, every slot is served and every replica has all its primary has."""
        wait_until(self._is_ok, "the Cluster is not well")

    def _is_ok(self) -> bool:
        living = self._living()
        if not all(node.answers() and "cluster_state:ok" in node.call("CLUSTER", "INFO") for node in living):
            return False
        slots = [sorted(node.call("CLUSTER", "SLOTS")) for node in living]
        if any([entry[:3] for entry in one] != [entry[:3] for entry in slots[0]] for one in slots):
            return False
        primary_at = {node.port: node for node in self.primaries()}
        followers = [node for node in living if node.port not in primary_at and self._is_meant_to_follow(node)]
        return all(_follows(node, primary_at.get(node.replication().get("master_port"))) for node in followers)

    def _is_meant_to_follow(self, node: Node) -> bool:
        """All are but those that were added without slots: who lost its slots still says that it is a primary."""
        return node in self.nodes[:6]

    def add_node(self) -> Node:
        """A further primary, without slots, that all know."""
        added = self._node()
        self.nodes.append(added)
        wait_until(added.answers, "a node did not start")
        self._introduce(added)
        self._wait_until_all_known()
        self.wait_until_ok()
        return added

    def begin_move(self, slot: int, to: Node) -> None:
        """From here until `finish_move` what is there is served at the old place, and the rest with ASK at the new."""
        source = self.owner_of(slot)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(to))

    def move_keys(self, slot: int, to: Node, most: int = 1_000_000) -> int:
        """Move keys of a slot whose move has begun; how many."""
        source = self.owner_of(slot)
        keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            secret = ["AUTH", self._password] if self._password else []
            source.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, *secret, "KEYS", *keys)
        return len(keys)

    def finish_move(self, slot: int, to: Node) -> None:
        """The new owner first: were the old one to forget first, nobody would have the slot for a moment."""
        source = self.owner_of(slot)
        for node in (to, source, *self.primaries()):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", _id(to))

    def move_whole(self, first: int, last: int, to: Node) -> None:
        """Let Valkey move a range of slots in one step, and wait until the new owner's replica has them."""
        source = self.owner_of(first)
        source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", _id(to))
        wait_until(lambda: _last_migration(source)["state"] in ("success", "failed"), "the slots do not move")
        assert _last_migration(source)["state"] == "success"
        self.wait_until_ok()

    def move_slots(self, slots: Iterable[int], to: Node) -> None:
        for slot in slots:
            self.begin_move(slot, to)
            self.move_keys(slot, to)
            self.finish_move(slot, to)


def _lines(options: list[str]) -> list[str]:
    """Of a configuration file, for options of the command line with one value each."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [f"{name.removeprefix('--')} {value}" for name, value in pairs]


def _last_migration(source: Node) -> dict[str, str]:
    last = source.call("CLUSTER", "GETSLOTMIGRATIONS")[0]
    return last if isinstance(last, dict) else dict(zip(last[::2], last[1::2], strict=True))


def _id(node: Node) -> str:
    return str(node.call("CLUSTER", "MYID"))


def _is_primary(node: Node) -> bool:
    try:
        return bool(node.replication()["role"] == "master")
    except RedisError:
        return False


def _follows(node: Node, primary: Node | None) -> bool:
    """Whether a server is a replica of this one, and has received all that this one has written."""
    if primary is None:
        return False
    try:
        own, of_primary = node.replication(), primary.replication()
    except RedisError:  # it is away, or ends its connections because its role changes
        return False
    is_linked = own.get("master_port") == primary.port and own.get("master_link_status") == "up"
    return bool(is_linked and own["slave_repl_offset"] >= of_primary["master_repl_offset"])
