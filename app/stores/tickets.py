"""Tickets, the short-lived secrets between a challenge and its answer, and the proofs that a right answer earns.

How answers are judged: lua/redeem_ticket.lua. Challenges and proofs of a session: rules/reauthentication.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Literal, cast

from app.stores.activities import Activity
from app.stores.connection.client import Found, Read, RedisClient
from app.stores.factors import JudgedAnswer
from app.stores.scripts import SessionScripts, WaitPolicy
from app.stores.session_records import UNKNOWN_CLIENT, Client
from app.stores.users import Change, changed_keys

TicketPurpose = Literal["login", "step_up", "reset", "add_passkey"]
AnswerVerdict = Literal["right", "last_code", "wrong", "stale_counter", "unknown"]

# As in Ticket
_FIELDS = (
    *("purpose", "session", "epoch", "instance", "password_hash", "challenge"),
    *("public_computer", "comes_back"),
)

MAX_WRONG_ANSWERS = 5
MAX_OPEN_TICKETS = 256  # of a session; together some 100 kB, for as long as a challenge can be answered


@dataclass(frozen=True, slots=True)
class Ticket:
    """An open challenge.

    Attributes:
        session: id_hash of the challenged session; for a reset, of the link's secret; "" for a login.
        credentials_version: The user's version when the login began; for a reset, the secrets version.
        instance: An id that the client gets in the first step of a login, and sends with the second step.
        password_hash: In a reset, the hash of the new password.
        challenge: What a passkey has to sign as the answer, in base64url; "" if the user cannot answer with one.
        on_public_computer: The session that the right answer opens is on a public computer.
        comes_back: The right answer takes it back that the user has left.
    """

    purpose: TicketPurpose
    session: str
    credentials_version: str
    instance: str
    password_hash: str = field(default="", repr=False)
    challenge: str = ""
    on_public_computer: bool = False
    comes_back: bool = False


class TicketStore:
    def __init__(self, redis: RedisClient, scripts: SessionScripts, max_open: int = MAX_OPEN_TICKETS) -> None:
        self._redis = redis
        self._max_open = max_open
        self._keys = scripts.keys
        self._open = scripts.register("open_ticket")
        self._redeem = scripts.register("redeem_ticket", WaitPolicy(refuses=_is_right))
        self._sign_in_by_passkey = scripts.register("sign_in_by_passkey", WaitPolicy(refuses=_is_right))

    def open(self, user_id: str, id_hash: str, ticket: Ticket, ttl_s: int) -> None:
        """Write a ticket. If its session has too many, which could fill Redis, the youngest of them makes room.

        So a ticket that somebody is answering stays, whatever the session asks meanwhile.
        """
        further = [self._keys.ticket(user_id, id_hash), self._keys.open_tickets(user_id, ticket.session)]
        argument = {
            "id_hash": id_hash,
            "ticket": dict(zip(_FIELDS, map(_as_text, astuple(ticket)), strict=True)),
            "ttl_s": ttl_s,
            "cap": self._max_open,
        }
        superseded = self._open(user_id, further, argument)
        if superseded:
            self._redis.write(("DEL", self._keys.ticket(user_id, superseded)))

    def get(self, user_id: str, id_hash: str) -> Ticket | None:
        [values] = self._redis.read_own(("HMGET", self._keys.ticket(user_id, id_hash), *_FIELDS))
        return self._parse(values)

    def take(self, user_id: str, id_hash: str, purpose: TicketPurpose) -> Ticket | None:
        """Return a ticket and remove it. If several requests take it at once, only one gets it.

        Returns:
            None if there is no such ticket for this purpose. One for another purpose stays as it is.
        """
        held = self.get(user_id, id_hash)
        if held is None or held.purpose != purpose:
            return None
        [removed] = self._redis.write(("DEL", self._keys.ticket(user_id, id_hash)))
        return held if removed else None

    def use_start(self, id_hash: str, remembered_s: int, sought: Read[Found]) -> tuple[bool, Found]:
        """Note that the ticket of a sign-in without a user was used, and look something up in the same trip.

        Args:
            id_hash: The hash of its challenge.

        Returns:
            True for the first who uses it, also of several at once; and what was found.
        """
        note = ("SET", self._keys.passkey_start(id_hash), "", "NX", "EX", remembered_s)
        noted, *replies = self._redis.write_own(note, *sought.commands)
        return noted is not None, sought.parse(replies)

    def sign_in_by_passkey(
        self, user_id: str, answer: JudgedAnswer, change: Change, client: Client = UNKNOWN_CLIENT
    ) -> AnswerVerdict:
        """Judge the passkey of a sign-in without a ticket of the user, and make the change if it is right.

        Args:
            client: Who answers, for the user's activity.

        Returns:
            "unknown" if the change is refused.
        """
        refused = _refused_sign_in(answer, client)
        argument = {"answer": asdict(answer), "change": change.as_argument(), "refused": refused.row()}
        verdict: AnswerVerdict = self._sign_in_by_passkey(user_id, changed_keys(self._keys, user_id), argument)
        return verdict

    def redeem_login(
        self, user_id: str, id_hash: str, answer: JudgedAnswer, change: Change, client: Client = UNKNOWN_CLIENT
    ) -> AnswerVerdict:
        """Answer the ticket of a login. If several right answers come at once, only one counts as right.

        Args:
            change: Made in the same step, if the answer is right. If the change is refused, the verdict is "unknown".
            client: Who answers, for the user's activity.
        """
        asked = {"purpose": "login", "change": change.as_argument()}
        return self._redeem_ticket(user_id, id_hash, answer, asked | _told(_refused_sign_in(answer, client)))

    def redeem_reset(
        self,
        user_id: str,
        id_hash: str,
        answer: JudgedAnswer,
        link: str,
        change: Change,
        client: Client = UNKNOWN_CLIENT,
    ) -> AnswerVerdict:
        """Answer the ticket of a reset.

        Args:
            link: id_hash of the link that the reset began with.
            change, client: As for a login.
        """
        asked = {"purpose": "reset", "session": link, "change": change.as_argument()}
        return self._redeem_ticket(user_id, id_hash, answer, asked | _told(_refused_sign_in(answer, client)))

    def redeem_step_up(
        self,
        user_id: str,
        id_hash: str,
        answer: JudgedAnswer,
        session: str,
        proof_hash: str,
        proof_ttl_s: int,
        client: Client = UNKNOWN_CLIENT,
    ) -> AnswerVerdict:
        """Answer the challenge of a session. A right answer also writes its proof, in one atomic step."""
        held = proof_value("password" if answer.factor == "password" else "mfa", session)
        refused = Activity("step_up_refused", client, answer.factor)
        asked = {
            "purpose": "step_up",
            "session": session,
            "proof": held,
            "proof_ttl_s": proof_ttl_s,
            **_told(refused, Activity("step_up", client, answer.factor)),
        }
        return self._redeem_ticket(user_id, id_hash, answer, asked, [self._keys.proof(user_id, proof_hash)])

    def _redeem_ticket(
        self,
        user_id: str,
        id_hash: str,
        answer: JudgedAnswer,
        asked: dict[str, Any],
        proof_key: Sequence[str] = (),
    ) -> AnswerVerdict:
        further = [*changed_keys(self._keys, user_id), self._keys.ticket(user_id, id_hash), *proof_key]
        argument = {"max_wrong": MAX_WRONG_ANSWERS, "answer": asdict(answer), **asked}
        verdict: AnswerVerdict = self._redeem(user_id, further, argument)
        return verdict

    def _parse(self, values: Sequence[str | None] | None) -> Ticket | None:
        if values is None or values[0] is None:
            return None
        session, version, instance, password_hash, challenge, *flags = (value or "" for value in values[1:])
        purpose = cast(TicketPurpose, values[0])
        return Ticket(purpose, session, version, instance, password_hash, challenge, *map(bool, flags))


def _as_text(value: str | bool) -> str:
    return value if isinstance(value, str) else "1" if value else ""


def _told(wrong: Activity, right: Activity | None = None) -> dict[str, Any]:
    """Return the part of an argument with the rows of activity for either verdict."""
    return {"activity": {"wrong": wrong.row(), **({"right": right.row()} if right else {})}}


def _refused_sign_in(answer: JudgedAnswer, client: Client) -> Activity:
    return Activity("sign_in_refused", client, "wrong_passkey" if answer.factor == "webauthn" else "wrong_code")


def _is_right(verdict: AnswerVerdict) -> bool:
    return verdict in ("right", "last_code")


def proof_value(how: Literal["password", "mfa"], session: str) -> str:
    """Return what a proof says: how it was earned, and by which session. In Redis the secrets version is appended to
    it."""
    return f"{how} {session}"
