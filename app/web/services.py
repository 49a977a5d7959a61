"""The services that routes and commands call, wired once for each application by create_app."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

from flask import current_app

from app.callers.identity import Callers
from app.callers.location import Locations
from app.config import Settings
from app.mail.delivery import Delivery
from app.mail.wiring import make_delivery
from app.receivers.receiver import receivers_of
from app.receivers.wiring import Delivering, make_deliverings, make_signing
from app.rules.signing_keys import Signing
from app.rules.wiring import Rules
from app.stores.connection.client import RedisClient
from app.stores.connection.node import Wait
from app.stores.connection.server import Server, inspect_servers
from app.stores.events import KnownReceivers
from app.stores.foreign import ForeignKeys, find_foreign_keys
from app.stores.jobs import JobQueue
from app.stores.keys import Keys
from app.stores.leases.connection import Loop
from app.stores.leases.endings import Endings
from app.stores.leases.holder import Holder
from app.stores.lifetimes import Lifetimes
from app.stores.outbox import Outbox
from app.stores.rights import find_missing_rights
from app.stores.waking import Waking
from app.stores.wiring import Stores
from app.web.application import Application

EXTENSION = "keyrack"


class Services(Rules):
    """The rules, and the other objects that a request or a command needs."""

    def __init__(
        self, settings: Settings, redis: RedisClient, clock: Callable[[], float], redis_clock: Callable[[], float]
    ) -> None:
        retention_s = settings.retention_days * 24 * 60 * 60
        lifetimes = Lifetimes(
            settings.session_ttl_s, settings.session_max_age_s, retention_s, settings.public_computer_ttl_s
        )
        wait = Wait(settings.redis_wait_replicas, settings.redis_wait_ms) if settings.redis_wait_replicas else None
        stores = Stores(
            redis,
            lifetimes,
            clock,
            wait,
            settings.redis_prefix,
            redis_clock,
            settings.verify_lease_s,
            sends_mail=settings.smtp_url is not None,
            receivers=[(one.id, one.takes) for one in receivers_of(settings)],
        )
        super().__init__(stores, settings, clock)
        self.settings = settings
        self.keys: Keys = stores.keys
        self.make_holder: Callable[[Loop], Holder | None] = stores.make_holder
        self.why_no_lease: Callable[[], str | None] = stores.why_no_lease
        self.endings: Endings | None = stores.endings
        self.clock = clock
        self.redis_clock = redis_clock
        # The time of Redis, for who must not wait for it; None if only Redis can tell.
        self.redis_now: Callable[[], float | None] = getattr(redis_clock, "told", redis_clock)
        self._redis = redis
        self._mails: JobQueue[Any] = stores.mails
        self.callers = Callers(self.devices, Locations(settings.geoip_database), settings.trusted_proxies)
        # A slow application leaves most threads to sign-in and to the gateway's checks.
        at_once = max(1, settings.web_threads // 4)
        url = settings.application_url
        self.application: Application | None = Application(url, at_once, clock) if url else None
        self.delivery: Delivery | None = make_delivery(settings, stores, self.links, self.keyring, clock)
        self.signing: Signing | None = make_signing(settings, stores, clock)
        self.outbox: Outbox = stores.outbox
        self.waking: Waking = stores.waking
        self.known_receivers: KnownReceivers = stores.known_receivers
        self.event_queue: Callable[[str], JobQueue[bytes]] = stores.event_queue
        self.deliverings: Sequence[Delivering] = make_deliverings(settings, stores, self.signing, clock)
        self.look_at_redis: Callable[[], Sequence[Server]] = partial(inspect_servers, redis, clock)
        self.find_missing_rights: Callable[[], Sequence[str]] = partial(
            find_missing_rights, redis, stores.keys, [one.queue.keys.waiting for one in stores.addressees]
        )
        self.find_foreign_keys: Callable[[], ForeignKeys] = partial(find_foreign_keys, redis, stores.keys)

    @property
    def queues(self) -> Sequence[JobQueue[Any]]:
        """The queues of all who are told of something: of mails, if mails are sent, and of each receiver of events."""
        return [*([self._mails] if self.delivery else []), *(one.queue for one in self.deliverings)]

    def leftovers(self) -> Iterator[tuple[JobQueue[bytes], str]]:
        """Yield each queue whose receiver no setting names any more, and the URL of that receiver."""
        named = {one.receiver.id for one in self.deliverings}
        for receiver_id, place in sorted(self.known_receivers.all().items()):
            queue = self.event_queue(receiver_id)
            if receiver_id not in named and queue.is_there():
                yield queue, place

    def publish_keys(self) -> None:
        """Note that this process publishes the keys that sign tokens, once Redis answers. Nobody waits for that."""
        if self.signing is not None:
            threading.Thread(target=self.signing.note_soon, daemon=True).start()

    def look_after_redis(self) -> None:
        """Ask Redis what threads ask before they send commands, in case none sends any: the primary, and the time."""
        if self._redis.primary is not None:
            self._redis.primary.look_if_due()
        self.redis_clock()


def services() -> Services:
    """Return the services of the application that handles this request."""
    return cast(Services, current_app.extensions[EXTENSION])
