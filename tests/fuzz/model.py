"""A model in plain Python of what the stores promise for one user. test_stores.py compares the stores with it.

Sources: the docstrings of app/stores/ and docs/security.md; not the scripts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.stores.factors import JudgedAnswer, MfaType
from app.stores.lifetimes import Lifetimes
from app.stores.links import Link
from app.stores.passkeys import MAX_PASSKEYS, Passkey
from app.stores.remembered_records import MAX_REMEMBERED, NewRemembered
from app.stores.session_records import Client, Ended, Session
from app.stores.sessions import CallerGone
from app.stores.tickets import MAX_WRONG_ANSWERS, AnswerVerdict, Ticket, TicketPurpose
from app.stores.users import Change, PasskeyChangeRefused
from app.times import iso
from app.watch.events import Reason

TOUCH_EVERY_S = 60
KEPT_ENDED = 100
KEPT_FORMERS = 10
OPEN_TICKETS = 16  # of a session, fewer than the service allows, so that examples reach the cap
COUNTED_FOR_S = 3600


@dataclass(frozen=True)
class Record:
    """What is known of a session beside its use."""

    began_at: int
    client: Client
    proved_at: int | None = None
    name: str | None = None
    on_public_computer: bool = False
    formers: tuple[str, ...] = ()
    device: str = ""

    def move_on(self, id_hash: str) -> "Record":
        """This record under another hash. Of the hashes that it had, the first and the newest are kept."""
        first, *later = (*self.formers, id_hash)
        return replace(self, formers=(first, *later[-(KEPT_FORMERS - 1) :]))


@dataclass
class Held:
    """A session that nobody has ended yet. record: None where Redis lost it"""

    last_used_at: float
    record: Record | None

    def seen(self, user_id: str, id_hash: str, at: float) -> Session:
        record = self.record or Record(int(at), Client())
        told = record.proved_at, record.name, record.on_public_computer
        return Session(user_id, id_hash, record.began_at, at, record.client, *told)


@dataclass(frozen=True)
class RememberedDevice:
    """version: the user's credentials version when it was remembered"""

    id: str
    began_at: int
    last_used_at: float
    ends_at: int
    client: Client
    version: int


@dataclass
class OpenTicket:
    ticket: Ticket
    wrong: int = 0


@dataclass
class UserModel:
    """One user, from the registration to the deletion and after.

    sessions   the least recently used first comes from `by_use`, not from the order in here
    ended      what is told of what ended, in no order; what is too old for that may be in here still
    given      the tickets that each session was given, with the times when they expire
    told       how often something was told of, and since when
    orphans    sessions of which Redis lost all but the record
    events     what the channel hears, of this user
    """

    id: str
    lifetimes: Lifetimes
    clock: Callable[[], float]
    exists: bool = True
    credentials_version: int = 1
    fields: dict[str, str] = field(default_factory=dict)
    backup_codes: set[str] = field(default_factory=set)
    passkeys: dict[str, Passkey] = field(default_factory=dict)
    sessions: dict[str, Held] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    tickets: dict[str, OpenTicket] = field(default_factory=dict)
    given: dict[str, dict[str, float]] = field(default_factory=dict)
    proofs: dict[str, tuple[str, int]] = field(default_factory=dict)
    secrets_version: int = 0
    secrets_changed_at: int = 0
    links: dict[str, Link] = field(default_factory=dict)
    devices: dict[str, float] = field(default_factory=dict)
    remembered: dict[str, RememberedDevice] = field(default_factory=dict)
    told: dict[str, tuple[float, int]] = field(default_factory=dict)
    orphans: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)

    # Sessions

    def end_of(self, id_hash: str) -> float:
        """A session whose beginning was lost ends by idleness alone; its token tells the beginning."""
        held = self.sessions[id_hash]
        record = held.record or Record(int(held.last_used_at), Client())
        is_public = record.on_public_computer
        return self.lifetimes.ends_at(record.began_at, held.last_used_at, on_public_computer=is_public)

    def is_live(self, id_hash: str) -> bool:
        return id_hash in self.sessions and self.end_of(id_hash) > self.clock()

    @property
    def live(self) -> list[str]:
        return [id_hash for id_hash in self.sessions if self.is_live(id_hash)]

    @property
    def by_use(self) -> list[str]:
        """The least recently used first; of those used at once, as Redis sorts them."""
        return sorted(self.sessions, key=lambda id_hash: (self.sessions[id_hash].last_used_at, id_hash))

    def seen(self, id_hash: str) -> Session | None:
        held = self.sessions.get(id_hash)
        return held.seen(self.id, id_hash, held.last_used_at) if held else None

    def last_used_at(self, id_hash: str) -> float | None:
        return self.sessions[id_hash].last_used_at if id_hash in self.sessions else None

    def open(
        self, id_hash: str, client: Client, credentials_version: str, cap: int, is_public: bool, device: str = ""
    ) -> bool:
        if not self.exists or credentials_version != str(self.credentials_version) or "disabled" in self.fields:
            return False
        self.finish_expired()
        while len(self.sessions) >= cap:
            self._finish(self.by_use[0], "evicted")
        record = Record(int(self.clock()), client, on_public_computer=is_public, device=device)
        self.sessions[id_hash] = Held(self.clock(), record)
        self._tell("AUTH_SESSION_CREATE", id_hash)
        return True

    def touch(self, id_hash: str, client: Client) -> bool:
        if id_hash in self.sessions and not self.is_live(id_hash):
            self._finish_by_time(id_hash)
        if id_hash not in self.sessions or self.clock() - self.sessions[id_hash].last_used_at < TOUCH_EVERY_S:
            return False
        held = self.sessions[id_hash]
        held.last_used_at = self.clock()
        if held.record:
            described = client if client.os or client.platform else held.record.client
            at = {"location": client.location, "ip": client.ip}
            held.record = replace(held.record, client=replace(described, **at))
        if not self.is_live(self.by_use[0]):
            self.finish_expired()
        self._forget()
        return True

    def rename(self, id_hash: str, name: str | None, caller: str) -> bool:
        self._require(caller)
        if not self.is_live(id_hash):
            return False
        held = self.sessions[id_hash]
        held.record = replace(held.record or Record(int(held.last_used_at), Client()), name=name)
        return True

    def end(self, id_hashes: Sequence[str], reason: Reason, caller: str | None = None) -> int:
        if caller is not None and not self.is_live(caller):
            self.finish_expired()  # who comes to end something notices what is over
            raise CallerGone
        by = self.sessions.get(caller or "")
        count = 0
        for id_hash in id_hashes:
            if self.is_live(id_hash):
                record = self.sessions[id_hash].record
                if id_hash != caller and record and record.device:
                    self.forget_device(record.device)
                self._finish(id_hash, reason, (caller, by))
                count += 1
            elif id_hash in self.sessions:
                self._finish_by_time(id_hash)
        return count

    def finish_expired(self) -> None:
        for id_hash in self.by_use:
            if not self.is_live(id_hash):
                self._finish_by_time(id_hash)

    def tidy(self) -> None:
        """What the store calls finish_expired."""
        self.finish_expired()
        self._forget()

    def _require(self, caller: str | None) -> None:
        if caller is not None and not self.is_live(caller):
            raise CallerGone

    def _finish_by_time(self, id_hash: str) -> None:
        self._finish(id_hash, "expired", ended_at=self.end_of(id_hash))

    def _finish(
        self,
        id_hash: str,
        reason: Reason,
        by: tuple[str | None, Held | None] = (None, None),
        ended_at: float | None = None,
    ) -> None:
        at = self.clock() if ended_at is None else ended_at
        session = self.sessions.pop(id_hash).seen(self.id, id_hash, at)
        ender, held = by
        is_known = ender is not None and held is not None and held.record is not None
        self.ended.append(Ended(session, at, reason, held.seen(self.id, ender, at) if is_known else None))
        self._forget()
        self.ended = self.told_of(0)[:KEPT_ENDED]
        self._tell("AUTH_SESSION_REMOVE", id_hash, reason)

    def told_of(self, since: float) -> list[Ended]:
        """The rows of what ended, newest first; of those that ended at once, as Redis sorts them."""
        rows = [row for row in self.ended if row.ended_at >= since]
        return sorted(rows, key=lambda row: (row.ended_at, row.session.id_hash), reverse=True)

    def _forget(self) -> None:
        horizon = self.clock() - self.lifetimes.retention_s
        self.ended = [row for row in self.ended if row.ended_at > horizon]

    def _tell(self, type: str, id_hash: str, reason: str | None = None, old: str | None = None) -> None:
        event = {"type": type, "user_id": self.id, "auth_session_id_hash": id_hash, "reason": reason}
        event |= {"at": iso(self.clock())} | ({"old_auth_session_id_hash": old} if old else {})
        self.events.append(event)

    # Credentials

    @property
    def has_totp(self) -> bool:
        return "totp_secret" in self.fields

    @property
    def has_mfa(self) -> bool:
        return self.has_totp or bool(self.passkeys)

    @property
    def totp_step(self) -> int | None:
        return int(self.fields["totp_step"]) if self.has_totp else None

    def change(self, change: Change) -> str | None:
        self._require(change.caller)
        if not self.exists or change.credentials_version not in (None, str(self.credentials_version)):
            return None
        renamed, _ = change.rename_passkey or (None, "")
        if not {change.remove_passkey, renamed} <= {None, *self.passkeys}:
            return None
        if change.remove_passkey and len(self.passkeys) == 1 and not self.fields["password_hash"]:
            raise PasskeyChangeRefused("last_way_in")
        if change.add_passkey and (len(self.passkeys) >= MAX_PASSKEYS or change.add_passkey.cred_id in self.passkeys):
            raise PasskeyChangeRefused("too_many" if len(self.passkeys) >= MAX_PASSKEYS else "is_there")
        if change.opens and "disabled" in self.fields:
            return None
        if change.link is not None and not self._takes_reset(change.link):
            return None
        if change.end_others or not change.same_credentials:
            self.remembered.clear()
        if not change.same_credentials:
            self.credentials_version += 1
            named = {"password_hash", "totp_secret"} & {*(change.set or ())}
            factors = change.forget, change.add_passkey, change.remove_passkey
            if named or any(one is not None for one in factors) or change.backup_codes is not None:
                self.secrets_version += 1
                self.secrets_changed_at = self.secrets_changed_at if change.end_others else int(self.clock())
        self.fields |= change.set or {}
        for name in change.unset or ():
            self.fields.pop(name, None)
        for name in change.forget or ():
            self._forget_factor(name)
        self._change_passkeys(change)
        if not self.has_mfa and (change.forget is not None or change.remove_passkey):
            self.backup_codes = set()
        if change.backup_codes is not None:
            self.backup_codes = set(change.backup_codes)
        if change.end_others:
            self._end_others(change.caller, change.end_others)
        if change.new_id_hash and change.caller:
            held = self.sessions[change.new_id_hash] = self.sessions.pop(change.caller)
            held.record = held.record and held.record.move_on(change.caller)
            self._tell("AUTH_SESSION_CHANGE", change.new_id_hash, change.reason, change.caller)
        if new := change.opens:
            self.open(new.id_hash, new.client, str(self.credentials_version), new.cap, False, new.remembered)
        if change.remembers:
            self._remember(change.remembers)
        return str(self.credentials_version)

    def _forget_factor(self, name: MfaType) -> None:
        if name == "totp":
            for known in ("totp_secret", "totp_step"):
                self.fields.pop(known, None)
        elif name == "backup":
            self.backup_codes = set()
        for cred_id in list(self.passkeys) if name == "webauthn" else ():
            self._tell_of_passkey("DELETE", self.passkeys.pop(cred_id))

    def _change_passkeys(self, change: Change) -> None:
        if change.remove_passkey:
            self._tell_of_passkey("DELETE", self.passkeys.pop(change.remove_passkey))
        if new := change.add_passkey:
            self.passkeys[new.cred_id] = new
            self._tell_of_passkey("CREATE", new)
        if change.rename_passkey:
            cred_id, name = change.rename_passkey
            self.passkeys[cred_id] = replace(self.passkeys[cred_id], name=name)
            self._tell_of_passkey("UPDATE", self.passkeys[cred_id])

    def _tell_of_passkey(self, act: str, passkey: Passkey) -> None:
        told = {"id": passkey.id, "type": 1, "name": passkey.name}
        event = {"type": f"AUTHENTICATOR_{act}", "user_id": self.id, "authenticator": told, "at": iso(self.clock())}
        self.events.append(event)

    def _takes_reset(self, link: str) -> bool:
        found = self.link(link)
        if found is None or found.purpose != "reset":
            return False
        del self.links[link]
        return True

    def _end_others(self, caller: str | None, reason: Reason) -> None:
        self.finish_expired()
        by = self.sessions.get(caller or "")
        for id_hash in self.by_use:
            if id_hash != caller:
                self._finish(id_hash, reason, (caller, by))
        if caller is None:
            self.links.clear()

    def delete(self) -> None:
        self.exists = False
        for of_theirs in (
            *(self.fields, self.backup_codes, self.passkeys, self.sessions, self.ended, self.tickets),
            *(self.given, self.proofs, self.links, self.devices, self.told, self.orphans, self.remembered),
        ):
            of_theirs.clear()

    # Remembered devices

    def _remember(self, new: NewRemembered) -> None:
        at = int(self.clock())
        version = self.credentials_version
        self.remembered = {one: kept for one, kept in self.remembered.items() if kept.ends_at > self.clock()}
        by_use = sorted(self.remembered, key=lambda one: self.remembered[one].last_used_at)
        for one in by_use[: max(0, len(by_use) - MAX_REMEMBERED + 1)]:
            del self.remembered[one]
        self.remembered[new.id_hash] = RememberedDevice(new.id, new.began_at, at, new.ends_at, new.client, version)

    def sign_in_remembered(self, value: str, renewed: str, client: Client, ttl_s: int, change: Change) -> bool:
        device = self.remembered.get(value)
        if not device or not change.opens or change.credentials_version != str(self.credentials_version):
            return False
        is_over = min(device.ends_at, device.began_at + ttl_s) <= self.clock()
        if is_over or device.version != self.credentials_version or "disabled" in self.fields or not self.exists:
            return False
        del self.remembered[value]
        self.remembered[renewed] = replace(device, client=client, last_used_at=self.clock())
        self.change(replace(change, opens=replace(change.opens, remembered=device.id)))
        return True

    def forget_device(self, device_id: str) -> bool:
        held = len(self.remembered)
        self.remembered = {one: kept for one, kept in self.remembered.items() if kept.id != device_id}
        return len(self.remembered) < held

    # Tickets and proofs; their time runs out in Redis, by its own clock, in no example

    def proof(self, id_hash: str) -> str | None:
        """What a proof says that was earned under the secrets of now."""
        said, version = self.proofs.get(id_hash, (None, self.secrets_version))
        return said if version == self.secrets_version else None

    def open_ticket(self, id_hash: str, ticket: Ticket) -> None:
        self.tickets[id_hash] = OpenTicket(ticket)
        if ticket.session:
            open_now = {one: at for one, at in self.given.get(ticket.session, {}).items() if at > self.clock()}
            if len(open_now) >= OPEN_TICKETS:
                superseded = max((at, one) for one, at in open_now.items())[1]
                del open_now[superseded]
                self.tickets.pop(superseded, None)
            self.given[ticket.session] = open_now | {id_hash: self.clock() + 300}

    def ticket(self, id_hash: str) -> Ticket | None:
        return self.tickets[id_hash].ticket if id_hash in self.tickets else None

    def redeem(
        self, id_hash: str, answer: JudgedAnswer, purpose: TicketPurpose, session: str = "", proof: str = ""
    ) -> AnswerVerdict:
        held = self.tickets.get(id_hash)
        if held is None or (held.ticket.purpose, held.ticket.session) != (purpose, session):
            return "unknown"
        if purpose == "step_up" and not self.is_live(session):
            return "unknown"
        verdict = self._judge(answer)
        if verdict in ("wrong", "stale_counter"):
            held.wrong += 1
            if held.wrong == MAX_WRONG_ANSWERS:
                del self.tickets[id_hash]
            return verdict
        del self.tickets[id_hash]
        if purpose == "step_up":
            how = "password" if answer.factor == "password" else "mfa"
            self.proofs[proof] = (f"{how} {session}", self.secrets_version)
            prover = self.sessions[session]
            prover.record = prover.record and replace(prover.record, proved_at=int(self.clock()))
        return verdict

    def _judge(self, answer: JudgedAnswer) -> AnswerVerdict:
        """The password where there is no second factor; else a step after the last, a code that was not used, or a
        passkey whose counter has grown, or is 0 for ever."""
        is_password = answer.factor == "password"
        if answer.evidence is None or is_password == self.has_mfa:
            return "wrong"
        if is_password:
            return "right"
        if answer.factor == "webauthn":
            return self._judge_passkey(answer.evidence)
        if answer.factor == "totp":
            if self.totp_step is None:
                return "wrong"
            is_new = answer.evidence["step"] > self.totp_step
            self.fields["totp_step"] = str(max(answer.evidence["step"], self.totp_step))
            return "right" if is_new else "wrong"
        unused = [code for code in answer.evidence["code_hashes"] if code in self.backup_codes]
        if not unused:
            return "wrong"
        self.backup_codes.remove(unused[0])
        return "right" if self.backup_codes else "last_code"

    def _judge_passkey(self, evidence: Mapping[str, Any]) -> AnswerVerdict:
        passkey, count = self.passkeys.get(evidence["cred_id"]), evidence["sign_count"]
        if passkey is None or passkey.id != evidence["id"]:
            return "wrong"
        if (passkey.sign_count or count) and count <= passkey.sign_count:
            return "stale_counter"
        self.passkeys[passkey.cred_id] = replace(passkey, sign_count=count, last_used_at=self.clock())
        return "right"

    # Links

    def open_link(self, id_hash: str, link: Link) -> None:
        self.links[id_hash] = link

    def link(self, id_hash: str) -> Link | None:
        link = self.links.get(id_hash)
        return link if link and link.expires_at > self.clock() else None

    def end_by_link(self, id_hash: str) -> Client | None:
        link = self.link(id_hash)
        if link is None or link.purpose != "not_me":
            return None
        del self.links[id_hash]
        self.remembered.clear()
        known_as = {link.session} | {
            id_hash for id_hash, held in self.sessions.items() if held.record and link.session in held.record.formers
        }
        session = next(filter(self.is_live, known_as), None)
        if session is None:
            return Client()
        record = self.sessions[session].record
        self._finish(session, "revoked")
        return record.client if record else Client()

    # Notices

    def meet(self, device: str) -> bool:
        if not self.exists:
            return False
        is_first = not self.devices and len(self.sessions) <= 1
        is_added = device not in self.devices
        self.devices[device] = self.clock()
        return is_added and not is_first

    def count(self, kind: str) -> int:
        began, count = self.told.get(kind, (self.clock(), 0))
        if self.clock() - began >= COUNTED_FOR_S:
            began, count = self.clock(), 0
        self.told[kind] = (began, count + 1)
        return count + 1

    # What Redis may lose

    def lose(self, what: Literal["records", "sessions"]) -> None:
        if what == "sessions":
            self.orphans |= {id_hash for id_hash, held in self.sessions.items() if held.record}
            self.sessions.clear()
        else:
            self.orphans.clear()
            for held in self.sessions.values():
                held.record = None
