"""Every store of the service, on one client of Redis."""

from collections.abc import Callable, Iterator, Sequence

from app.stores.activities import ActivityStore
from app.stores.addresses import AddressStore
from app.stores.adopted import AdoptionStore
from app.stores.connection.client import RedisClient
from app.stores.connection.node import Wait
from app.stores.departures import DepartureStore
from app.stores.events import KnownReceivers, event_queue
from app.stores.jobs import JobQueue
from app.stores.keys import Keys
from app.stores.leases.connection import Loop
from app.stores.leases.endings import Endings
from app.stores.leases.holder import Holder
from app.stores.leases.rounds import Rounds, new_id
from app.stores.leases.trial import why_not_held
from app.stores.lifetimes import Lifetimes
from app.stores.links import LinkStore
from app.stores.mail import MailStore, mail_queue
from app.stores.notices import NoticeStore
from app.stores.outbox import Addressee, Outbox
from app.stores.own_data import OwnDataStore
from app.stores.remembered import RememberedStore
from app.stores.scripts import SessionScripts
from app.stores.sessions import SessionStore
from app.stores.signing_keys import SigningKeyStore
from app.stores.tickets import TicketStore
from app.stores.users import UserStore
from app.stores.waking import Waking


class Stores:
    def __init__(
        self,
        redis: RedisClient,
        lifetimes: Lifetimes,
        clock: Callable[[], float],
        wait: Wait | None = None,
        prefix: str = "",
        redis_clock: Callable[[], float] | None = None,
        lease_s: float = 0,
        *,
        sends_mail: bool = False,
        receivers: Sequence[tuple[str, frozenset[str] | None]] = (),
    ) -> None:
        """
        Args:
            wait: How to wait for replicas; None means no waiting.
            prefix: The setting REDIS_PREFIX.
            redis_clock: The clock of Redis; None stands for `clock`.
            lease_s: The setting VERIFY_LEASE.
            sends_mail: Scripts queue mails.
            receivers: Whom scripts queue events for: the id of each, and the types that it takes; None for all.
        """
        self.keys = Keys(prefix)
        self.redis_clock = redis_clock or clock
        self._primary, self._lease_s = redis.primary, lease_s
        self.rounds = Rounds(new_id(), lease_s) if redis.primary else None
        self.endings = Endings(redis, self.keys, self.rounds) if self.rounds else None
        self.addressees = tuple(_addressees(self.keys, receivers, sends_mail=sends_mail))
        self.outbox = Outbox(redis, self.keys, self.addressees, clock)
        scripts = self.scripts = SessionScripts(
            redis,
            lifetimes,
            clock,
            wait,
            keys=self.keys,
            redis_clock=redis_clock,
            endings=self.endings,
            outbox=self.outbox,
        )
        self.lifetimes = lifetimes
        self.users = UserStore(redis, scripts, wait)
        self.sessions = SessionStore(redis, scripts)
        self.activities = ActivityStore(redis, scripts)
        self.own_data = OwnDataStore(redis, self.keys, clock)
        self.adoptions = AdoptionStore(redis, scripts)
        self.tickets = TicketStore(redis, scripts)
        self.addresses = AddressStore(redis, self.keys, wait)
        self.signing_keys = SigningKeyStore(redis, self.keys)
        self.departures = DepartureStore(redis, self.keys)
        self.links = LinkStore(redis, scripts, clock)
        self.remembered = RememberedStore(redis, scripts)
        self.notices = NoticeStore(redis, scripts)
        self.mails = MailStore(redis, clock, lifetimes.retention_s, self.keys)
        self.waking = Waking(redis, self.keys)
        self.known_receivers = KnownReceivers(redis, self.keys)
        self._redis, self._clock = redis, clock

    def event_queue(self, receiver_id: str) -> JobQueue[bytes]:
        """Return the queue of events to a receiver: see receivers/receiver.py."""
        queue = event_queue(self.keys, receiver_id)
        return JobQueue(self._redis, queue, bytes, self._clock, self.lifetimes.retention_s)

    def make_holder(self, loop: Loop) -> Holder | None:
        """Return what lets a worker answer checks from memory; None if VERIFY_LEASE is 0, or in a Cluster."""
        if self._primary is None or self.rounds is None or not self._lease_s:
            return None
        return Holder(self._primary, self.keys, self._lease_s, self.rounds, loop)

    def why_no_lease(self) -> str | None:
        """Try to hold a lease. Return why that cannot be done, "" if it can; None if there are no leases."""
        if self._primary:
            self._primary.look_if_due()
        return why_not_held(self.make_holder)


def _addressees(
    keys: Keys, receivers: Sequence[tuple[str, frozenset[str] | None]], *, sends_mail: bool
) -> Iterator[Addressee]:
    """Yield whom scripts queue jobs for."""
    if sends_mail:
        yield Addressee(mail_queue(keys), takes=frozenset(), in_order=False)
    for receiver_id, takes in receivers:
        yield Addressee(event_queue(keys, receiver_id), takes)
