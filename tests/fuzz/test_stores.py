"""What must hold of the stores, whatever is done in whatever order: they keep what the model in plain Python keeps."""

import itertools
import json
from dataclasses import asdict, replace
from types import SimpleNamespace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import RedisCluster

from app.stores.activities import Activity
from app.stores.factors import USUAL_TOTP, JudgedAnswer
from app.stores.keys import unprefixed as keys
from app.stores.links import Link
from app.stores.passkeys import Passkey
from app.stores.remembered import RememberedStore
from app.stores.remembered_records import NewRemembered
from app.stores.session_records import Client, NewSession
from app.stores.sessions import CallerGone
from app.stores.tickets import MAX_WRONG_ANSWERS, Ticket, TicketStore
from app.stores.users import Change, Deletion, PasskeyChangeRefused
from app.text import clean
from app.tokens import id_hash
from tests.conftest import LIFETIMES
from tests.fuzz.model import OPEN_TICKETS, UserModel

STEPS = 70  # of an example
BEGINNING = 1_750_000_000.25  # Unix seconds; the same in every run, so that an example is
MARKS = "marks-of-the-tests"
MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
UNKNOWN = id_hash("nobody's")


class Listener:
    """What the channel says. A mark of our own tells that nothing more is to come from one server.

    Of a Cluster it does not: what comes late is waited for as long as events are missing, and what is too much is found
    at the next look.
    """

    def __init__(self, redis):
        self._redis = redis
        self._marks = itertools.count(1)
        self._subscription = redis.pubsub()
        self._subscription.subscribe(keys.channel, MARKS)
        while self._next(timeout_s=20)["data"] != 2:  # how many channels are heard by now
            pass

    def heard(self, count):
        """The events since the last look; count: how many there should be"""
        mark = str(next(self._marks))
        self._redis.publish(MARKS, mark)
        events, is_marked = [], False
        while not is_marked or len(events) < count:
            message = self._next(timeout_s=1 if is_marked else 20)
            if message is None:
                break
            if message["channel"] == MARKS:
                is_marked = is_marked or message["data"] == mark
            else:
                events.append(json.loads(message["data"]))
        return events

    def _next(self, timeout_s):
        return self._subscription.get_message(timeout=timeout_s)

    def close(self):
        self._subscription.close()


def clear(redis):
    """Take away whatever an example left; of a Cluster, on each primary."""
    redis.flushdb()


# To whom it is done and by whom: mostly to what is there, now and then to what is unknown, over or another's.


def of_model(choose):
    """One of what the machine has at this point."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choose(machine)))


EVERY_USER = of_model(lambda machine: list(machine.users))
USERS = of_model(lambda machine: machine.existing * 5 + list(machine.users))
SESSIONS = of_model(
    lambda machine: [*machine.live * 5, *machine.expired * 5, *machine.opened, (machine.existing[0], UNKNOWN)]
)
TICKETS = of_model(lambda machine: [*machine.open_tickets * 5, *machine.given])
NOT_ME = of_model(lambda machine: [*machine.good_links("not_me") * 5, *machine.mailed])
RESETS = of_model(lambda machine: [*machine.good_links("reset") * 5, *machine.mailed])
TEXTS = st.none() | st.text(max_size=6).map(clean) | st.sampled_from(['"began_at":1', "a/b", "\\", "'"])
CLIENTS = st.builds(
    Client,
    os=TEXTS,
    platform=TEXTS,
    location=TEXTS,
    ip=st.none() | st.ip_addresses().map(str),
    form=st.sampled_from([None, "tablet"]),
)
LAPTOP = Client(os="Linux", platform="Firefox", location="Bern, Switzerland", ip="192.0.2.1")
MOSTLY = st.sampled_from([0, 0, 0, 0, 0, -1, 1])  # how far an credentials_version that is named is from the right one
SPANS = [0.1, 1, 59.9, MINUTE, HOUR - 1, HOUR, DAY, 2 * DAY]
LONG_SPANS = [29 * DAY, 30 * DAY - 0.1, 30 * DAY, 31 * DAY, 100 * DAY]
CODES = st.sets(st.sampled_from("abcdef"), min_size=1, max_size=4).map(sorted)
ANSWERS = st.sampled_from(
    [
        *("password", "next step", "last step", "earlier step", "code", "code", "no code", "nothing"),
        *("passkey", "passkey", "copied passkey", "another passkey"),
    ]
)
OPERATORS_ACTS = [
    {},
    {"set": {"password_hash": "by an operator"}},
    {"set": {"password_hash": ""}},
    {"forget": ["webauthn", "totp", "backup"]},
]
EMAILS = ["a@example.com", "b@example.com", "c@example.com"]


def outcome(call, *args, **named):
    """What comes of a call; that it is refused is an outcome too."""
    try:
        return call(*args, **named)
    except CallerGone:
        return CallerGone
    except PasskeyChangeRefused as refused:
        return PasskeyChangeRefused, refused.reason


def in_whole_seconds(passkey):
    """A passkey as Lua keeps its times, which cuts fractions of a second."""
    return replace(passkey, last_used_at=passkey.last_used_at and round(passkey.last_used_at))


def crowded(machine):
    """Whether there is enough that what ends all of a user, or all, leaves something to look at."""
    return len(machine.live) > 3


class Stores(RuleBasedStateMachine):
    """stores: redis, sessions, users, tickets, links, notices, remembered, clock and what hears the channel, by name.

    users     the model of each user that ever was
    opened    user and id_hash of each session that ever was
    given     user and id_hash of each ticket that ever was; likewise `mailed` of links, `proofs`, and
    `values` of remembered devices
    """

    def __init__(self, stores):
        super().__init__()
        self.stores = stores
        self.stores.clock.now = BEGINNING
        self.numbers = itertools.count(1)
        self.users = {}
        self.opened, self.given, self.mailed, self.proofs = [], [], [], []
        self.values = []

    def teardown(self):
        """Also where a step failed half-way: nothing of one example is there, or heard, in the next."""
        clear(self.stores.redis)
        self.stores.listener.heard(0)

    @property
    def existing(self):
        return [user_id for user_id, user in self.users.items() if user.exists]

    @property
    def live(self):
        return [(user_id, one) for user_id, user in self.users.items() for one in user.live]

    @property
    def expired(self):
        """Those whose time is over, which nobody noticed yet."""
        held = [(user_id, one) for user_id, user in self.users.items() for one in user.sessions]
        return [(user_id, one) for user_id, one in held if not self.users[user_id].is_live(one)]

    @property
    def open_tickets(self):
        return [(user_id, named) for user_id, user in self.users.items() for named in user.tickets]

    def good_links(self, purpose):
        named = [(user_id, one) for user_id, user in self.users.items() for one in user.links if user.link(one)]
        return [(user_id, one) for user_id, one in named if self.users[user_id].links[one].purpose == purpose]

    def new_hash(self):
        return id_hash(str(next(self.numbers)))

    def credentials_version_of(self, user_id, off=0):
        return str(self.users[user_id].credentials_version + off)

    # Users

    @initialize()
    def three_users_with_two_sessions_each(self):
        """One of them has a second factor."""
        for email in EMAILS:
            self.register(email)
        for user_id in [*self.users] * 2:
            self.open(user_id, LAPTOP, 0, 50)
        self.turn_totp_on(self.opened[-1], 0, 3, ["a"])

    def register(self, email):
        """An address that is taken makes nobody; one of a user who is gone is free. Ids never come again."""
        user_id = str(len(self.users) * 10 + 1)
        is_free = all(not user.exists or user.fields["email"] != email for user in self.users.values())
        told = {"email": email, "username": "u", "global_name": None, "password_hash": "first"}
        assert self.stores.users.create(user_id, email, **told, created_at=7) == is_free
        if is_free:
            known = {name: value for name, value in told.items() if value is not None}
            self.users[user_id] = UserModel(user_id, LIFETIMES, self.stores.clock, fields=known)
        assert self.stores.users.id_of(email) in self.existing

    @precondition(crowded)
    @rule(user_id=EVERY_USER)
    def delete(self, user_id):
        """Who is gone has left nothing, and may come back as somebody else."""
        user = self.users[user_id]
        self.change(user_id, set={"disabled": "1"}, end_others="admin")
        if user.exists:
            email = user.fields["email"]
            self.register(email)
            self.stores.users.delete(Deletion(user_id, [email], "digest"))
            user.delete()
            self.register(email)
        assert list(self.stores.redis.scan_iter(f"{keys.user(user_id)}*")) == []

    def change(self, user_id, **what):
        """Change credentials, in the store and in the model, with the same outcome."""
        change = Change(**what)
        expected = outcome(self.users[user_id].change, change)
        assert outcome(self.stores.users.change, user_id, change) == expected
        if change.new_id_hash and isinstance(expected, str):
            self.opened.append((user_id, change.new_id_hash))

    @rule(session=SESSIONS, off=MOSTLY)
    def change_password(self, session, off):
        user_id, caller = session
        self.change(
            user_id,
            credentials_version=self.credentials_version_of(user_id, off),
            caller=caller,
            set={"password_hash": f"password {next(self.numbers)}"},
            new_id_hash=self.new_hash(),
            reason="password_change",
            end_others="password_change",
        )

    @rule(session=SESSIONS, off=MOSTLY, step=st.integers(0, 9), codes=CODES)
    def turn_totp_on(self, session, off, step, codes):
        user_id, caller = session
        self.change(
            user_id,
            credentials_version=self.credentials_version_of(user_id, off),
            caller=caller,
            set={"totp_secret": "sealed", "totp_step": str(step)},
            backup_codes=codes,
            new_id_hash=self.new_hash(),
            reason="mfa_change",
        )

    @precondition(lambda self: any(user.has_totp for user in self.users.values()))
    @rule(session=SESSIONS, off=MOSTLY, codes=st.none() | CODES)
    def turn_totp_off_or_renew_codes(self, session, off, codes):
        user_id, caller = session
        off_it_goes = {"forget": ["totp"], "new_id_hash": self.new_hash(), "reason": "mfa_change"}
        what = {"backup_codes": codes or []} | ({} if codes else off_it_goes)
        self.change(user_id, credentials_version=self.credentials_version_of(user_id, off), caller=caller, **what)

    @rule(session=SESSIONS, off=MOSTLY, number=st.integers(0, 11), count=st.integers(0, 2), codes=st.none() | CODES)
    def add_a_passkey(self, session, off, number, count, codes):
        user_id, caller = session
        passkey = Passkey(f"c{number}", str(next(self.numbers)), "Kéy", b"key", count, ("usb",), None, 7)
        self.change(
            user_id,
            credentials_version=self.credentials_version_of(user_id, off),
            caller=caller,
            add_passkey=passkey,
            backup_codes=codes,
            new_id_hash=self.new_hash(),
            reason="mfa_change",
        )

    @precondition(lambda self: any(user.passkeys for user in self.users.values()))
    @rule(session=SESSIONS, number=st.integers(0, 11), name=st.none() | st.sampled_from(["x", "é", '"']))
    def rename_or_remove_a_passkey(self, session, number, name):
        """One that is there, most of the time."""
        user_id, caller = session
        there = sorted(self.users[user_id].passkeys)
        named = there[number % len(there)] if there and number < 10 else f"c{number}"
        if name is None:
            self.change(user_id, caller=caller, remove_passkey=named)
        else:
            self.change(user_id, caller=caller, same_credentials=True, rename_passkey=(named, name))

    @rule(user_id=USERS, off=MOSTLY)
    def renew_the_hash_of_a_password(self, user_id, off):
        """As a login does; other logins under way go on."""
        renewed = {"password_hash": f"renewed {next(self.numbers)}"}
        self.change(
            user_id, credentials_version=self.credentials_version_of(user_id, off), same_credentials=True, set=renewed
        )

    @rule(session=SESSIONS)
    def end_others(self, session):
        user_id, caller = session
        self.change(user_id, caller=caller, end_others="revoked")

    @precondition(crowded)
    @rule(user_id=USERS, act=st.sampled_from(OPERATORS_ACTS))
    def end_all_as_an_operator(self, user_id, act):
        """Links have nothing left to do."""
        self.mail_not_me((user_id, UNKNOWN), DAY)
        self.change(user_id, **act, end_others="admin")

    @precondition(crowded)
    @rule(user_id=USERS, is_let_in=st.booleans())
    def disable(self, user_id, is_let_in):
        """And perhaps enable them again; whoever tries to sign in meanwhile does not."""
        self.change(user_id, set={"disabled": "1"}, end_others="admin")
        self.open(user_id, LAPTOP, 0, 50)
        if is_let_in:
            self.enable(user_id)

    @precondition(lambda self: any("disabled" in user.fields for user in self.users.values()))
    @rule(user_id=USERS)
    def enable(self, user_id):
        self.change(user_id, unset=["disabled"])
        self.open(user_id, LAPTOP, 0, 50)

    # Sessions

    @rule(
        user_id=USERS,
        client=CLIENTS,
        off=MOSTLY,
        cap=st.sampled_from([50, 50, 50, 4, 3, 1]),
        is_public=st.sampled_from([False, False, True]),
    )
    def open(self, user_id, client, off, cap, is_public=False):
        new, credentials_version, began_at = (
            self.new_hash(),
            self.credentials_version_of(user_id, off),
            int(self.stores.clock()),
        )
        expected = self.users[user_id].open(new, client, credentials_version, cap, is_public)
        given = (user_id, new, began_at, client, credentials_version, cap)
        assert self.stores.sessions.open(*given, on_public_computer=is_public) == expected
        self.opened.append((user_id, new))

    @rule(user_id=USERS, count=st.sampled_from([3, 4, 5, 110]), cap=st.sampled_from([3, 50]))
    def open_several(self, user_id, count, cap):
        """Moments after each other, so that the cap ends them in the order of their use; so many that rows go too."""
        for _ in range(count):
            self.stores.clock.advance(0.1)
            self.open(user_id, LAPTOP, 0, cap)

    @rule(session=SESSIONS, as_user=st.sampled_from([None] * 3) | USERS, client=CLIENTS)
    def touch(self, session, as_user, client):
        owner, touched = session
        user_id = as_user or owner
        expected = self.users[user_id].touch(touched, client)
        assert self.stores.sessions.touch(user_id, touched, client) == expected

    @rule(session=SESSIONS, client=CLIENTS, name=TEXTS)
    def touch_again(self, session, client, name):
        """A use is noted, the next too early, the one after that in time; a name that was given meanwhile stays."""
        self.touch(session, None, LAPTOP)
        self.rename(session, None, name)
        for seconds in (MINUTE - 0.5, 0.5):
            self.stores.clock.advance(seconds)
            self.touch(session, None, client)

    @rule(user_id=USERS, client=CLIENTS)
    def use_for_a_year(self, user_id, client):
        """In use all the time, until it is too old."""
        self.open(user_id, LAPTOP, 0, 50)
        session = self.opened[-1]
        for _ in range(13):
            self.stores.clock.advance(29 * DAY)
            self.touch(session, None, client)

    @rule(session=SESSIONS, caller=st.none() | SESSIONS, name=TEXTS)
    def rename(self, session, caller, name):
        user_id, renamed = session
        by = caller[1] if caller else renamed
        expected = outcome(self.users[user_id].rename, renamed, name, by)
        assert outcome(self.stores.sessions.rename, user_id, renamed, name, by) == expected

    @rule(
        session=SESSIONS,
        by=st.sampled_from(["itself", "itself, which ends first", "an operator"]),
        own=st.sampled_from([0, 1, 2, 64]),
        named=st.lists(SESSIONS, min_size=1, max_size=6),
    )
    def end(self, session, by, own, named):
        """Own, foreign, unknown, over and repeated ones, all mixed. own: how many of the newest are among them"""
        user_id, caller = session
        first = [caller] if by == "itself, which ends first" else []
        newest = [one for owner, one in self.opened[::-1] if owner == user_id][:own]
        asked = [*first, *newest, *(one for _, one in named)][:64]
        self.end_named(user_id, asked, *(("admin", None) if by == "an operator" else ("revoked", caller)))

    @rule(session=SESSIONS)
    def log_out(self, session):
        user_id, caller = session
        self.end_named(user_id, [caller], "logout", caller)

    def end_named(self, user_id, named, reason, caller):
        expected = outcome(self.users[user_id].end, named, reason, caller)
        assert outcome(self.stores.sessions.end, user_id, named, reason, caller) == expected

    @rule(user_id=USERS)
    def finish_expired(self, user_id):
        self.users[user_id].tidy()
        self.stores.sessions.finish_expired(user_id)

    @precondition(crowded)
    @rule(user_id=USERS)
    def tidy_up_after_who_is_not_about(self, user_id):
        self.change(user_id, end_others="admin")
        self.stores.clock.advance(LIFETIMES.retention_s)
        self.finish_expired(user_id)

    @rule(named=st.lists(st.tuples(st.none() | EVERY_USER, SESSIONS), min_size=1, max_size=4))
    def find(self, named):
        """Whose session it is said to be may be wrong."""
        asked = [(said or owner, one) for said, (owner, one) in named]
        assert self.stores.sessions.find(asked) == [self.users[user_id].seen(one) for user_id, one in asked]

    @rule(user_id=EVERY_USER, seconds=st.sampled_from([0, *SPANS]))
    def look_at_what_ended(self, user_id, seconds):
        since = self.stores.clock() - seconds
        assert self.stores.sessions.list_ended(user_id, since) == self.users[user_id].told_of(since)

    @rule(seconds=st.sampled_from(SPANS))
    def time_passes(self, seconds):
        self.stores.clock.advance(seconds)

    @precondition(crowded)
    @rule(seconds=st.sampled_from(LONG_SPANS))
    def much_time_passes(self, seconds):
        self.stores.clock.advance(seconds)

    @precondition(lambda self: len(self.live) > 2)
    @rule(
        session=of_model(lambda machine: machine.live),
        off_s=st.sampled_from([-0.1, 0, 0.1]),
        then=st.sampled_from(
            ["touch", "end", "end by the other", "rename", "rename by the other", "end others", "answer"]
        ),
    )
    def end_of_its_time(self, session, off_s, then):
        """What a session does, or another that was opened lately does to it, about when its time is over."""
        user_id, one = session
        end = self.users[user_id].end_of(one)
        self.stores.clock.now = max(end - HOUR, self.stores.clock())
        self.open(user_id, LAPTOP, 0, 50)
        other = self.opened[-1]
        self.stores.clock.now = max(end + off_s, self.stores.clock())
        {
            "touch": lambda: self.touch(session, None, LAPTOP),
            "end": lambda: self.end_named(user_id, [one], "admin", None),
            "end by the other": lambda: self.end_named(user_id, [one], "revoked", other[1]),
            "rename": lambda: self.rename(session, None, "late"),
            "rename by the other": lambda: self.rename(session, other, "late"),
            "end others": lambda: self.end_others(session),
            "answer": lambda: self.answer_several(session, "step_up", ["password"]),
        }[then]()

    # Tickets and proofs

    def answer_of(self, user_id, kind):
        """What somebody answers who knows what the user knows, or nearly."""
        user = self.users[user_id]
        step = user.totp_step or 0
        newest = list(user.passkeys.values())[-1] if user.passkeys else Passkey("c", "1", "", b"", 0, (), None, 7)
        named = {"cred_id": newest.cred_id, "id": newest.id}
        return {
            "passkey": JudgedAnswer("webauthn", named | {"sign_count": newest.sign_count + 1}),
            "copied passkey": JudgedAnswer("webauthn", named | {"sign_count": newest.sign_count}),
            "another passkey": JudgedAnswer("webauthn", named | {"id": "0", "sign_count": 9}),
            "password": JudgedAnswer("password", {}),
            "next step": JudgedAnswer("totp", {"step": step + 1, "window": 1, "period_s": 30}),
            "last step": JudgedAnswer("totp", {"step": step, "window": 1, "period_s": 30}),
            "earlier step": JudgedAnswer("totp", {"step": max(step - 2, 0), "window": 1, "period_s": 30}),
            "code": JudgedAnswer("backup", {"code_hashes": ["under another key", *sorted(user.backup_codes)[:1]]}),
            "no code": JudgedAnswer("backup", {"code_hashes": sorted({*"abcdef"} - user.backup_codes)}),
            "nothing": JudgedAnswer("totp"),
        }[kind]

    @rule(session=SESSIONS, purpose=st.sampled_from(["login", "step_up", "reset"]))
    def open_ticket(self, session, purpose):
        user_id, challenged = session
        if not self.users[user_id].exists:
            return
        links = [link for owner, link in self.mailed if owner == user_id]
        given_to = {"login": "", "step_up": challenged, "reset": links[-1] if links else UNKNOWN}[purpose]
        new, ticket = (
            self.new_hash(),
            Ticket(purpose, given_to, self.credentials_version_of(user_id), "instance", "a hash"),
        )
        self.users[user_id].open_ticket(new, ticket)
        self.stores.tickets.open(user_id, new, ticket, 300)
        self.given.append((user_id, new))

    @precondition(lambda self: self.open_tickets)
    @rule(session=SESSIONS, count=st.integers(14, 18))
    def ask_for_many_challenges(self, session, count):
        for _ in range(count):
            self.open_ticket(session, "step_up")

    @precondition(lambda self: self.given)
    @rule(
        ticket=TICKETS,
        kind=ANSWERS,
        slip=st.sampled_from([None] * 8 + ["user", "session", "login", "step_up", "reset"]),
        other=SESSIONS,
    )
    def answer(self, ticket, kind, slip, other):
        """By whom it was given to and for what it was, or there is a slip: another user, session or purpose."""
        user_id, named = ticket
        held = self.users[user_id].ticket(named) or Ticket("step_up", other[1], "", "")
        purpose, session = held.purpose, held.session
        if slip == "user":
            user_id = other[0]
        elif slip == "session":
            session = other[1]
        purpose = slip if slip in ("login", "step_up", "reset") else purpose
        self.redeem(user_id, named, self.answer_of(user_id, kind), purpose, session)

    def redeem(self, user_id, named, answer, purpose, session):
        tickets, proof, nothing = self.stores.tickets, self.new_hash(), Change(same_credentials=True)
        redeem = {
            "login": lambda: tickets.redeem_login(user_id, named, answer, nothing),
            "reset": lambda: tickets.redeem_reset(user_id, named, answer, session, nothing),
            "step_up": lambda: tickets.redeem_step_up(user_id, named, answer, session, proof, 300),
        }
        meant = "" if purpose == "login" else session
        assert redeem[purpose]() == self.users[user_id].redeem(named, answer, purpose, meant, proof)
        self.proofs.append((user_id, proof))

    @precondition(lambda self: self.given)
    @rule(ticket=TICKETS, kind=ANSWERS, times=st.sampled_from([MAX_WRONG_ANSWERS - 1, MAX_WRONG_ANSWERS]))
    def answer_wrongly_and_then(self, ticket, kind, times):
        for one in ["nothing"] * times + [kind]:
            self.answer(ticket, one, None, (ticket[0], UNKNOWN))

    @rule(
        session=SESSIONS,
        purpose=st.sampled_from(["login", "step_up", "step_up"]),
        kinds=st.lists(ANSWERS, min_size=1, max_size=4),
    )
    def answer_several(self, session, purpose, kinds):
        """Each to a ticket of its own, and then the very same answer to another."""
        for kind in kinds:
            answer = self.answer_of(session[0], kind)
            for _ in range(2):
                self.open_ticket(session, purpose)
                self.redeem(session[0], self.given[-1][1] if self.given else UNKNOWN, answer, purpose, session[1])

    @rule(session=SESSIONS, purpose=st.sampled_from(["login", "step_up", "reset"]), other=SESSIONS)
    def answer_for_something_else(self, session, purpose, other):
        """The right answer, for each purpose and by each session that it could be mistaken for, its own last."""
        self.open_ticket(session, purpose)
        user_id, named = self.given[-1] if self.given else (session[0], UNKNOWN)
        user = self.users[user_id]
        held = user.ticket(named) or Ticket(purpose, session[1], "", "")
        right = self.answer_of(user_id, "next step" if user.has_totp else "passkey" if user.passkeys else "password")
        meant = [(one, by) for one in ("login", "step_up", "reset") for by in (other[1], held.session)]
        for one, by in sorted(meant, key=(held.purpose, held.session).__eq__):
            self.redeem(user_id, named, right, one, by)

    @precondition(lambda self: self.proofs)
    @rule(session=SESSIONS, proof=of_model(lambda machine: machine.proofs[::-1]), is_own=st.booleans())
    def show_proof(self, session, proof, is_own):
        """What is held against it is the session that shows it."""
        user_id, shown_by = session
        shown = next((one for owner, one in self.proofs[::-1] if owner == user_id), proof[1]) if is_own else proof[1]
        user = self.users[user_id]
        expected = (user.last_used_at(shown_by), user.proof(shown), user.has_mfa)
        sessions = self.stores.sessions
        assert sessions.look_up(sessions.last_use_with_proof(user_id, shown_by, shown)) == [expected]
        assert sessions.look_up(sessions.last_use(user_id, shown_by)) == [expected[0]]

    # Links

    @rule(session=SESSIONS, ttl_s=st.sampled_from([HOUR, 2 * DAY]))
    def mail_not_me(self, session, ttl_s):
        user_id, named = session
        self.mail(user_id, Link("not_me", named, "", self.stores.clock() + ttl_s))

    @rule(user_id=USERS, ttl_s=st.sampled_from([HOUR, 10 * MINUTE]))
    def mail_reset(self, user_id, ttl_s):
        """A mail that comes late leaves less of the hour."""
        self.mail(user_id, Link("reset", "", self.credentials_version_of(user_id), self.stores.clock() + ttl_s))

    def mail(self, user_id, link):
        """Of links that are good for minutes at least: Redis lets them go by its own clock, not by ours."""
        if self.users[user_id].exists:
            new = self.new_hash()
            self.users[user_id].open_link(new, link)
            self.stores.links.open(user_id, new, link)
            self.mailed.append((user_id, new))

    @precondition(lambda self: self.mailed)
    @rule(link=NOT_ME, as_user=st.sampled_from([None] * 6) | USERS)
    def end_by_link(self, link, as_user):
        owner, named = link
        user_id = as_user or owner
        assert self.stores.links.end_session(user_id, named) == self.users[user_id].end_by_link(named)

    @precondition(lambda self: self.mailed)
    @rule(link=RESETS, off=MOSTLY, end_others=st.sampled_from([None, "password_change"]))
    def reset(self, link, off, end_others):
        user_id, named = link
        new = {"password_hash": f"reset {next(self.numbers)}"}
        self.change(
            user_id,
            credentials_version=self.credentials_version_of(user_id, off),
            set=new,
            end_others=end_others,
            link=named,
        )

    @rule(session=SESSIONS, moves=st.integers(0, 3), seconds=st.sampled_from([0, 0, 2 * DAY - 0.5, 2 * DAY]))
    def follow_not_me(self, session, moves, seconds):
        """After the session went on under other hashes; it resets no password."""
        self.mail_not_me(session, 2 * DAY)
        for _ in range(moves):
            self.turn_totp_on(session, 0, 3, ["a"])
            session = self.opened[-1]
        self.stores.clock.advance(seconds)
        if self.mailed:
            self.reset(self.mailed[-1], 0, None)
            self.end_by_link(self.mailed[-1], None)

    @rule(
        user_id=USERS,
        end_others=st.sampled_from([None, "password_change"]),
        seconds=st.sampled_from([0, HOUR - 0.5, HOUR]),
    )
    def follow_reset(self, user_id, end_others, seconds):
        """Twice, the second time in vain; it ends no session."""
        self.mail_reset(user_id, HOUR)
        self.stores.clock.advance(seconds)
        if self.mailed:
            self.end_by_link(self.mailed[-1], None)
            for _ in range(2):
                self.reset(self.mailed[-1], 0, end_others)

    @rule()
    def look_at_tickets_and_links(self):
        self.compare_secrets(newest=30)

    def compare_secrets(self, newest):
        for user_id, named in self.given[-newest:]:
            assert self.stores.tickets.get(user_id, named) == self.users[user_id].ticket(named)
        for user_id, named in self.mailed[-newest:]:
            assert self.stores.links.get(user_id, named) == self.users[user_id].link(named)

    # Remembered devices

    def opening(self, user_id, off=0, **more):
        """The change of a login that opens a session."""
        new = NewSession(self.new_hash(), int(self.stores.clock()), LAPTOP, 50, **more)
        self.opened.append((user_id, new.id_hash))
        return Change(credentials_version=self.credentials_version_of(user_id, off), same_credentials=True, opens=new)

    @rule(user_id=USERS, off=MOSTLY, ttl_s=st.sampled_from([MINUTE, 30 * DAY]), client=CLIENTS)
    def remember(self, user_id, off, ttl_s, client):
        now, number = int(self.stores.clock()), str(next(self.numbers))
        device = NewRemembered(self.new_hash(), number, now, now + ttl_s, client)
        change = replace(self.opening(user_id, off, remembered=number), remembers=device)
        expected = outcome(self.users[user_id].change, change)
        assert outcome(self.stores.users.change, user_id, change) == expected
        self.values.append((user_id, device.id_hash))

    @rule(
        user_id=USERS,
        as_user=st.sampled_from([None] * 5) | USERS,
        off=MOSTLY,
        ttl_s=st.sampled_from([30 * DAY, 30 * DAY, DAY]),
        between=st.sampled_from(["nothing"] * 4 + ["end others", "renew the hash", "sign in", "enable"]),
        seconds=st.sampled_from([0, 0, 0, DAY - 1, DAY, 30 * DAY - 1, 30 * DAY]),
        then=st.sampled_from(["nothing", "end it", "log out"]),
    )
    def log_in_with_a_password_alone(self, user_id, as_user, off, ttl_s, between, seconds, then):
        """In a browser that is remembered, and with the same value again, which is another one by then.

        The session ends by an operator, or by itself.
        """
        self.remember(user_id, 0, 30 * DAY, LAPTOP)
        (owner, sent), session = self.values[-1], self.opened[-1]
        {
            "nothing": lambda: None,
            "end others": lambda: self.end_others(session),
            "renew the hash": lambda: self.renew_the_hash_of_a_password(owner, 0),
            "sign in": lambda: self.open(owner, LAPTOP, 0, 50),
            "enable": lambda: self.change(owner, unset=["disabled"]),
        }[between]()
        self.stores.clock.advance(seconds)
        for value in (sent, sent):
            change, renewed = self.opening(as_user or owner, off), self.new_hash()
            expected = self.users[as_user or owner].sign_in_remembered(value, renewed, LAPTOP, ttl_s, change)
            told = self.stores.remembered.sign_in(as_user or owner, value, renewed, LAPTOP, ttl_s, change)
            assert told == expected
            self.values.append((as_user or owner, renewed))
        first = self.opened[-2]
        if then == "end it":
            self.end_named(first[0], [first[1]], "admin", None)
        elif then == "log out":
            self.log_out(first)

    @rule(session=SESSIONS, which=st.integers(0, 3))
    def forget_a_device(self, session, which):
        user_id, caller = session
        ids = sorted(device.id for device in self.users[user_id].remembered.values())
        named = ids[which] if which < len(ids) else "another"
        is_live = self.users[user_id].is_live(caller)
        expected = self.users[user_id].forget_device(named) if is_live else CallerGone
        told = Activity("devices_forgotten", LAPTOP)
        assert outcome(self.stores.remembered.forget, user_id, named, caller, told) == expected

    @invariant()
    def the_same_devices_are_remembered(self):
        for user_id, user in self.users.items():
            kept = {device.id_hash: device for device in self.stores.remembered.list(user_id)}
            assert kept.keys() == user.remembered.keys()
            for value, expected in user.remembered.items():
                device = kept[value]
                assert (device.id, device.client) == (expected.id, expected.client)
                assert (device.began_at, device.ends_at) == (expected.began_at, expected.ends_at)
                assert abs(device.last_used_at - expected.last_used_at) < 0.01

    # Notices

    @rule(user_id=USERS, device=st.sampled_from("abc"), is_surprise=st.booleans())
    def meet(self, user_id, device, is_surprise):
        if is_surprise:
            self.stores.notices.forget_device(user_id, device)
            self.users[user_id].devices.pop(device, None)
        assert self.stores.notices.note_device(user_id, device) == self.users[user_id].meet(device)

    @rule(user_id=USERS, kind=st.sampled_from(["sign_in", "wrong_code"]))
    def count(self, user_id, kind):
        """Until an hour after the first, and from then on."""
        for seconds in (0, HOUR - 0.5, 0.5):
            self.stores.clock.advance(seconds)
            if self.users[user_id].exists:
                assert self.stores.notices.count(user_id, kind) == self.users[user_id].count(kind)

    # What Redis may lose: that signs people out at most, and tells of no end

    @precondition(crowded)
    @rule(user_id=USERS, lost=st.sampled_from(["records", "sessions"]))
    def lose(self, user_id, lost):
        self.stores.redis.delete(keys.sessions(user_id) if lost == "records" else keys.last_used(user_id))
        self.users[user_id].lose(lost)

    # What holds after each step, of whom it was about and of all others

    @invariant()
    def the_same_are_signed_in(self):
        """Each with what is known of them, the most recently used first."""
        listed = self.stores.sessions.list(*self.users)
        assert listed == [user.seen(one) for user in self.users.values() for one in user.by_use[::-1]]

    @invariant()
    def no_record_is_kept_of_what_ended(self):
        """Of a session that is over nothing is kept but its row in the list of what ended."""
        for user_id, user in self.users.items():
            known = {one for one, held in user.sessions.items() if held.record}
            assert set(self.stores.redis.hkeys(keys.sessions(user_id))) == known | user.orphans

    @invariant()
    def the_same_is_told_of_what_ended(self):
        for user_id, user in self.users.items():
            assert self.stores.sessions.list_ended(user_id, 0) == user.told_of(0)

    @invariant()
    def the_same_events_were_heard(self):
        """Of each user, in their order."""
        expected = {user_id: user.events for user_id, user in self.users.items()}
        heard = {user_id: [] for user_id in self.users}
        for event in self.stores.listener.heard(sum(map(len, expected.values()))):
            heard[event["user_id"]].append(event)
        assert heard == expected
        for user in self.users.values():
            user.events.clear()

    @invariant()
    def the_users_are_the_same(self):
        for (user_id, model), user in zip(self.users.items(), self.stores.users.get_all(list(self.users)), strict=True):
            if not model.exists:
                assert user is None
                continue
            held = asdict(user)
            assert (held.pop("id"), held.pop("credentials_version")) == (user_id, str(model.credentials_version))
            assert (held.pop("disabled"), held.pop("created_at")) == ("disabled" in model.fields, 7)
            assert held.pop("backup_codes_left") == len(model.backup_codes)
            assert held.pop("secrets_version") == str(model.secrets_version)
            assert held.pop("secrets_changed_at") == model.secrets_changed_at
            assert (held.pop("replayed_at"), held.pop("totp_since"), held.pop("pending_since")) == (0, 0, 0)
            assert held.pop("unverified") is False
            assert user.totp_parameters == USUAL_TOTP
            del held["totp_parameters"]
            factors = {"totp"} if "totp_secret" in model.fields else set()
            assert held.pop("factors") == factors | ({"webauthn"} if model.passkeys else set())
            del held["passkeys"]
            assert {one.cred_id: in_whole_seconds(one) for one in user.passkeys} == {
                cred_id: in_whole_seconds(one) for cred_id, one in model.passkeys.items()
            }
            assert held == {name: model.fields.get(name) for name in held}

    @invariant()
    def the_same_secrets_are_good(self):
        """Of those that were given last; of all others now and then."""
        self.compare_secrets(newest=3)


def test_the_stores_keep_what_the_model_keeps(redis, store, scripts, sessions, users, links, notices, clock):
    listener = Listener(redis)
    stores = SimpleNamespace(
        redis=redis,
        sessions=sessions,
        users=users,
        tickets=TicketStore(store, scripts, max_open=OPEN_TICKETS),
        links=links,
        notices=notices,
        remembered=RememberedStore(store, scripts),
        clock=clock,
        listener=listener,
    )
    # Events of a Cluster take their time from server to server, and each step waits for them.
    examples = hypothesis_settings.default.max_examples // (4 if isinstance(redis, RedisCluster) else 1)
    settings = hypothesis_settings(stateful_step_count=STEPS, max_examples=examples)
    run_state_machine_as_test(lambda: Stores(stores), settings=settings)
    listener.close()
