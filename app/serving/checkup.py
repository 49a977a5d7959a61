"""Checks of secrets and of Redis, for `flask doctor` and for the log at start.

The checks of mail, the location database and the gateway: cli/doctor.py.
"""

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

from app.config import Settings
from app.receivers.receiver import receivers_of
from app.stores.connection.connect import StoreError, connect
from app.stores.connection.node import NotPrimary
from app.stores.connection.server import Server, inspect_servers
from app.stores.foreign import ForeignKeys
from app.stores.keys import Keys
from app.stores.rights import find_missing_rights

Level = Literal["ok", "warn", "fail"]

_LONGEST_S = 2.5  # how long a start waits for Redis and for the look-up of its host
_MIN_BITS = 64
_GENERATE = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))" makes one.'
_PLACEHOLDER = re.compile("change.?me|secret|password|example|default|insecure|keyrack|qwerty", re.IGNORECASE)
_NAMED = 3  # foreign keys that a finding names
_CLOCK_WARN_S, _CLOCK_FAIL_S = 2, 30
_MEMORY_WARN = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: The name of the check, two or three words.
        said: The result, a sentence.
        advice: The advice, a sentence; "" if there is nothing to do.
    """

    check: str
    level: Level
    said: str
    advice: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(check, "ok", said)


def warn(check: str, said: str, advice: str) -> Finding:
    return Finding(check, "warn", said, advice)


def fail(check: str, said: str, advice: str) -> Finding:
    return Finding(check, "fail", said, advice)


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """Check that no secret can be guessed, and that TRUSTED_PROXIES does not contain every address."""
    weak = [str(number) for number, key in enumerate(settings.secret_keys, 1) if _is_weak(key)]
    if weak:
        said = f"Secret {' and '.join(weak)} of SECRET_KEYS could be guessed."
        yield fail("secret keys", said, f"Put a random one in front: {_GENERATE}")
    else:
        yield ok("secret keys", "SECRET_KEYS look random.")
    without = "introspect, reconcile and users are not there"
    yield _check_secret("gateway secret", "GATEWAY_SECRET", settings.gateway_secret, without)
    yield _check_secret("metrics secret", "METRICS_SECRET", settings.metrics_secret, "/metrics is not there")
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        said = "TRUSTED_PROXIES has every address: any caller can choose the address that Keyrack sees."
        yield fail("trusted proxies", said, "Name the addresses of your own proxies only.")


def _check_secret(check: str, name: str, secret: str | None, without: str) -> Finding:
    """Check one optional secret.

    Args:
        without: The text to show if it is not set.
    """
    if not secret:
        return ok(check, f"{name} is not set: {without}.")
    if _is_weak(secret):
        return fail(check, f"{name} could be guessed.", f"Take a random one: {_GENERATE}")
    return ok(check, f"{name} looks random.")


def _is_weak(secret: str) -> bool:
    """Tell whether a secret could be guessed: it has few different characters, repeats itself, or is from an example.

    The length alone says little: one letter 32 times is long enough. If the secret repeats a part, only that part is
    measured, by its Shannon entropy. 20 random characters have about 80 bits.
    """
    part = next(secret[:length] for length in range(1, len(secret) + 1) if _repeats(secret, length))
    counts = Counter(part).values()
    bits = -sum(count * math.log2(count / len(part)) for count in counts)
    return bits < _MIN_BITS or bool(_PLACEHOLDER.search(secret))


def _repeats(text: str, length: int) -> bool:
    return (text[:length] * (len(text) // length + 1))[: len(text)] == text


def check_rights(missing: Sequence[str]) -> Finding:
    """Check that Redis allows what Keyrack needs.

    Args:
        missing: As find_missing_rights returns them.
    """
    if not missing:
        return ok("redis rights", "Redis refuses nothing that Keyrack needs, or does not tell.")
    rights = " ".join(missing)
    said = f"Redis refuses Keyrack: {rights}. Requests that need it are answered by 503."
    return fail("redis rights", said, f"ACL SETUSER <the user of REDIS_URL> {rights}, then ACL SAVE or CONFIG REWRITE.")


def check_leases(lease_s: float, problem: str | None) -> Finding:
    """Check that workers can answer the gateway's checks from memory.

    Args:
        lease_s: The setting VERIFY_LEASE.
        problem: As Stores.why_no_lease returns it.
    """
    slow = "each check of the gateway asks Redis"
    if not lease_s:
        return ok("leases", f"VERIFY_LEASE is 0: {slow}.")
    if problem is None:
        return ok("leases", f"A Cluster has no leases: {slow}.")
    if problem:
        said = f"No check of the gateway is answered from memory: {problem.rstrip('.')}."
        return warn("leases", said, f"Until that is mended {slow}, which is as right, and slower.")
    if find_spec("gunicorn_h1c") is None:
        said = f"gunicorn_h1c is not installed: {slow}."
        return warn("leases", said, "Install it, as requirements.txt does where it can be built.")
    return ok("leases", "A lease can be held: checks of the gateway are answered from memory.")


def check_keys(found: ForeignKeys) -> Finding:
    """Check that no other application writes into Keyrack's database, or under its prefix."""
    advice = "Give Keyrack a database of its own, or set REDIS_PREFIX."
    if found.in_place_of_ours:
        said = f"Keys of another application are in the place of Keyrack's: {_some(found.in_place_of_ours)}."
        return fail("redis keys", said, f"What needs them is answered by 503: rename or delete them. {advice}")
    if found.names:
        said = f"Of {found.looked_at} keys {len(found.names)} are another application's: {_some(found.names)}."
        return warn("redis keys", said, f"Keyrack leaves them alone; they do not leave it alone. {advice}")
    return ok("redis keys", f"All of {found.looked_at} keys that were looked at are Keyrack's.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")


def check_redis(servers: Sequence[Server], wait_replicas: int) -> Iterator[Finding]:
    for server in servers:
        yield from (_with_name(server, finding) for finding in _check_server(server, wait_replicas))


def _check_server(server: Server, wait_replicas: int) -> Iterator[Finding]:
    yield _check_version(server)
    yield from _check_role(server)
    yield _check_eviction(server)
    yield from _check_memory(server)
    yield _check_persistence(server)
    yield from _check_writes(server)
    yield _check_password(server)
    yield _check_clock(server)
    yield from _check_replicas(server, wait_replicas)
    if server.reads_when_down:
        said = "Redis would answer reads after it has lost its Cluster: sessions that have ended would be admitted."
        yield fail("reads when down", said, "Set cluster-allow-reads-when-down no.")


def _with_name(server: Server, finding: Finding) -> Finding:
    return replace(finding, said=f"{server.name}: {finding.said}") if server.name else finding


def _check_version(server: Server) -> Finding:
    if server.version is None:
        return warn(
            "redis", "Redis answers, but does not show its version.", "Make sure it is 6.2 or later, or Valkey."
        )
    if server.version < (6, 2):
        return fail("redis", f"{server.product} answers.", "Take Redis 6.2 or later, or Valkey.")
    return ok("redis", f"{server.product} answers.")


def _check_role(server: Server) -> Iterator[Finding]:
    if server.why_not_primary:
        said = f"Nothing that Redis answers is used, and all requests are 503: {server.why_not_primary}."
        yield fail("role", said, "Let REDIS_URL name the primary, or the Sentinels.")
    elif server.refused_rights:
        rights = " ".join(server.refused_rights)
        said = f"Redis refuses Keyrack: {rights}. If another server takes over, it is noticed late or not at all."
        yield warn("role", said, f"ACL SETUSER <the user of REDIS_URL> {rights}, then ACL SAVE or CONFIG REWRITE.")


def _check_memory(server: Server) -> Iterator[Finding]:
    if server.memory_used is None:
        return
    said = f"Redis uses {server.memory_used:.0%} of its maxmemory."
    advice = "Raise maxmemory: a full Redis refuses sign-ins, registrations and new passwords."
    if server.memory_used >= 1:
        yield fail("memory", said, advice)
    else:
        yield warn("memory", said, advice) if server.memory_used >= _MEMORY_WARN else ok("memory", said)


def _check_writes(server: Server) -> Iterator[Finding]:
    """Check that Redis takes writes, and that it forces them to disk."""
    refused = "Redis refuses all changes, endings of sessions too"
    if server.is_snapshot_failed:
        said = f"{refused}: its last snapshot failed (rdb_last_bgsave_status, stop-writes-on-bgsave-error)."
        yield fail("writes", said, 'Look at its log and its disk, then BGSAVE. With an append-only file set save "".')
    if server.is_file_failed:
        said = f"{refused}: it cannot write its append-only file (aof_last_write_status)."
        yield fail("writes", said, "Make room on its disk; it goes on by itself.")
    if server.good_replicas < server.demanded_replicas:
        said = (
            f"{refused}: min-replicas-to-write asks for {server.demanded_replicas} replicas,"
            f" in touch: {server.good_replicas}."
        )
        yield fail("writes", said, "Bring replicas back. Or lower it; then a failover may undo endings.")
    if server.appends and server.fsync == "no":
        said = "Redis does not force its file to disk (appendfsync no): a machine that dies loses the last 30 s."
        yield warn("fsync", said, "Set appendfsync everysec, or always: sessions that ended then would live again.")


def _check_eviction(server: Server) -> Finding:
    policy = server.maxmemory_policy
    if policy is None:
        return warn("eviction", "Redis does not show its maxmemory-policy.", "Make sure it is noeviction.")
    if policy != "noeviction":
        said = f"Redis may evict keys when its memory is full: maxmemory-policy is {policy}."
        return fail("eviction", said, "Set maxmemory-policy noeviction: users and sessions would vanish.")
    return ok("eviction", "Redis evicts nothing.")


def _check_persistence(server: Server) -> Finding:
    advice = "Set appendonly yes."
    if server.appends:
        return ok("persistence", "Redis writes an append-only file.")
    if server.appends is None:
        return warn("persistence", "Redis does not show whether it writes its data to disk.", f"Make sure: {advice}")
    if server.snapshots or server.snapshots is None:
        said = (
            "Redis writes only snapshots: a restart undoes the last minutes, and sessions that ended then live again."
        )
        return warn("persistence", said, advice)
    return fail("persistence", "Redis keeps its data in memory alone: a restart loses all users.", advice)


def _check_password(server: Server) -> Finding:
    if server.has_password:
        return ok("redis password", "Redis asks for a password.")
    advice = "Set requirepass, or a user with a password, and put it into REDIS_URL."
    if server.reach == "public":
        return fail("redis password", "Redis has a public address and no password.", advice)
    if server.reach == "private":
        return warn(
            "redis password", "Redis has no password; every program in its network can read and write all.", advice
        )
    return ok("redis password", "Redis has no password, but is reached on this machine only.")


def _check_replicas(server: Server, wanted: int) -> Iterator[Finding]:
    replicas = server.replicas
    said = f"Replicas in touch with Redis: {replicas}; REDIS_WAIT_REPLICAS asks for {wanted}."
    if wanted and replicas is not None and replicas < wanted:
        advice = "Until there are more, requests that end sessions or change credentials are answered by 503."
        yield fail("replicas", said, advice)
    elif replicas and not wanted:
        advice = "Set it to 1 or more: a failover may undo the last changes, and ended sessions live again."
        yield warn("replicas", said, advice)
    elif replicas:
        yield ok("replicas", said)


def _check_clock(server: Server) -> Finding:
    off = abs(server.clock_ahead_s)
    said = f"This clock and that of Redis are {off:.1f} s apart."
    advice = "Set both by NTP: TOTP codes and the ends of sessions depend on this one."
    if off > _CLOCK_FAIL_S:
        return fail("clock", said, advice)
    return warn("clock", said, advice) if off > _CLOCK_WARN_S else ok("clock", said)


def warn_at_start(settings: Settings, warning: Callable[..., None]) -> None:
    """Log what is wrong with the secrets and with Redis. The start goes on after _LONGEST_S at the latest.

    Args:
        warning: A logger's method `warning`.
    """

    keys = Keys(settings.redis_prefix)
    streams = [keys.events(receiver.id).waiting for receiver in receivers_of(settings)]
    streams += [keys.mail.waiting] if settings.smtp_url else []

    def check() -> None:
        for finding in check_secrets(settings):
            _warn_of(finding, warning)
        try:
            with connect(settings.redis_url) as redis:
                for finding in check_redis(inspect_servers(redis), settings.redis_wait_replicas):
                    _warn_of(finding, warning)
                _warn_of(check_rights(find_missing_rights(redis, keys, streams)), warning)
        except NotPrimary:  # told by check_redis
            return
        except StoreError as problem:
            warning("Redis cannot be asked: %s", type(problem).__name__)

    checking = threading.Thread(target=check, daemon=True)  # the look-up of a host name may take longer
    checking.start()
    checking.join(_LONGEST_S)


def _warn_of(finding: Finding, warning: Callable[..., None]) -> None:
    if finding.level != "ok":
        warning("%s %s", finding.said, finding.advice)
