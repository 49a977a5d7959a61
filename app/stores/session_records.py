"""The records of sessions: what a session is, and how Redis keeps it as JSON. The store: sessions.py."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast, get_args

import orjson

from app.stores.foreign import is_time, read_json
from app.text import MAX_SHOWN
from app.watch.events import Reason

# By what a session was opened (RFC 8176 calls it amr). A session has several in the order in which they were given.
Amr = Literal["pwd", "otp", "recovery", "webauthn", "remembered", "mail", "adopted"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is. None stands for unknown.

    Attributes:
        country_code: ISO 3166, two letters. Names of countries change between editions of a database.
    """

    country_code: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None

    @property
    def text(self) -> str | None:
        """Return "City, State, Country" without unknown parts; None if all are unknown.

        If it is too long, the state is left out, then the city, and never the country.
        """
        text = ""
        for parts in ((self.city, self.region, self.country), (self.city, self.country), (self.country or self.city,)):
            text = ", ".join(filter(None, parts))
            if len(text) <= MAX_SHOWN:
                break
        return text[:MAX_SHOWN] or None


@dataclass(frozen=True, slots=True)
class Client:
    """The device and program that sent a request. None stands for unknown.

    Attributes:
        location: The place as a text.
        place: Its parts; None for a session that a release before has noted.
        program: What people call the program, if `platform` does not lead to it.
        device: What people call the device, such as "Xbox" or "Pixel 8", if `os` and `form` do not lead to it.
        form: The kind of device, if `os` and `platform` do not lead to it.
        told: True if the client's properties said it; else None.
    """

    os: str | None = None
    platform: str | None = None
    location: str | None = None
    ip: str | None = None
    form: str | None = None
    place: Place | None = None
    program: str | None = None
    device: str | None = None
    told: bool | None = None


UNKNOWN_CLIENT = Client()


@dataclass(frozen=True, slots=True)
class Session:
    """A device that is signed in.

    Attributes:
        began_at: Unix seconds.
        last_used_at: Unix seconds, exact to a minute.
        proved_at: Unix seconds of the last right answer to a challenge; None if there was no such answer.
        name: The name that the user gave to the session.
        on_public_computer: The user said at the sign-in that others use this computer, too. The session ends soon.
        attempt: The hash of the form that opened the session; None after the first noted use, or if it was no form.
        adopted_at: Unix seconds of the first use here, if the session is of a token of the service before; else None.
            SESSION_MAX_AGE counts from then.
        ends_by: Unix seconds at which an adopted session ends at the latest; None if its token named no end.
        has_adopted_token: Its token is still that of the service before.
        amr: By what it was opened; None for a session that a release before has opened, or whose record was lost.
    """

    user_id: str
    id_hash: str
    began_at: int
    last_used_at: float
    client: Client
    proved_at: int | None = None
    name: str | None = None
    on_public_computer: bool = False
    attempt: str | None = None
    adopted_at: int | None = None
    ends_by: int | None = None
    has_adopted_token: bool = False
    amr: tuple[Amr, ...] | None = None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be opened.

    Attributes:
        began_at: Unix seconds.
        cap: If the user has as many sessions already, the least recently used one ends.
        attempt: A hash of the form that asks, in base64; "" if no form does. If the form is sent twice, as by a double
            click, the session of the first time ends.
        amr, adopted_at, ends_by: As those of Session.
        remembered: The id of the remembered device that the session is opened on; "" if there is none. It is forgotten
            if the session is ended from elsewhere.
    """

    id_hash: str
    began_at: int
    client: Client
    cap: int
    on_public_computer: bool = False
    attempt: str = ""
    amr: tuple[Amr, ...] | None = None
    adopted_at: int | None = None
    ends_by: int | None = None
    remembered: str = ""

    def as_argument(self) -> dict[str, Any]:
        """Return it as lua/sign_in.lua reads it."""
        fields: dict[str, Any] = {"began_at": self.began_at, **known_fields(self.client)}
        if self.on_public_computer:
            fields["on_public_computer"] = True
        if self.amr:
            fields["amr"] = self.amr
        if self.remembered:
            fields["remembered"] = self.remembered
        ends = {"adopted_at": self.adopted_at, "ends_by": self.ends_by}
        fields |= {name: at for name, at in ends.items() if at is not None}
        attempt = {"attempt": self.attempt} if self.attempt else {}
        return {"id_hash": self.id_hash, "record": orjson.dumps(fields | attempt).decode(), "cap": self.cap, **attempt}


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that ended.

    Attributes:
        session: The session before its end. Its last use is not kept; `last_used_at` is the time of its end.
        ended_at: Unix seconds.
        by: The session that ended it, which may be this session itself; None if no session ended it.
    """

    session: Session
    ended_at: float
    reason: Reason
    by: Session | None


def known_fields(client: Client) -> dict[str, Any]:
    """Return the fields of a client that are known. The text of a place that has parts is made of them again."""
    known = {name: value for name, value in asdict(client).items() if value is not None}
    if client.place is None:
        return known
    known.pop("location", None)  # absent where a place has no text: some databases name a country by its code alone
    return known | {"place": {name: text for name, text in known["place"].items() if text is not None}}


def client_of(record: str) -> Client:
    """Return the client in a session's record (JSON). If the record is empty, all fields are None."""
    return parse_session("", "", 0, record).client


def parse_session(user_id: str, id_hash: str, score: float, raw: str | None) -> Session:
    return session_of(user_id, id_hash, score, read_json(raw))


def parse_ended(user_id: str, raw: str, score: float) -> Ended | None:
    """Return the session of a row; None if the row is not one of ours."""
    row = read_json(raw)
    reason, id_hash = row.get("reason"), row.get("id_hash")
    if reason not in get_args(Reason) or not isinstance(id_hash, str):
        return None
    by = session_of(user_id, str(row.get("by_id_hash")), score, row.get("by")) if row.get("by") else None
    return Ended(session_of(user_id, id_hash, score, row.get("session")), score, cast(Reason, reason), by)


def session_of(user_id: str, id_hash: str, score: float, record: Any) -> Session:
    """Return the session of a record that was read from JSON. What is missing, or is not ours, is unknown."""
    known = record if isinstance(record, dict) and is_time(record.get("began_at")) else {}
    adopted_at = _time(known, "adopted_at")
    return Session(
        user_id,
        id_hash,
        known.get("began_at", int(score)),
        score,
        _client_of(known),
        _time(known, "proved_at"),
        _text(known, "name"),
        known.get("on_public_computer") is True,
        _text(known, "attempt"),
        adopted_at,
        _time(known, "ends_by"),
        adopted_at is not None and not known.get("formers"),
        _amr_of(known.get("amr")),
    )


def _client_of(record: dict[str, Any]) -> Client:
    # Where both are, a process of the release before has noted the session since.
    place = None if _text(record, "location") is not None else _place_of(record.get("place"))
    return Client(
        os=_text(record, "os"),
        platform=_text(record, "platform"),
        location=place.text if place else _text(record, "location"),
        ip=_text(record, "ip"),
        form=_text(record, "form"),
        place=place,
        program=_text(record, "program"),
        device=_text(record, "device"),
        told=True if record.get("told") is True else None,
    )


def _text(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) else None


def _amr_of(value: Any) -> tuple[Amr, ...] | None:
    known = [name for name in value if name in get_args(Amr)] if isinstance(value, list) else []
    return tuple(known) or None


def _time(record: dict[str, Any], name: str) -> int | None:
    at = record.get(name)
    return at if is_time(at) else None


def _place_of(record: Any) -> Place | None:
    if not isinstance(record, dict):
        return None
    parts = {part.name: record[part.name] for part in fields(Place) if isinstance(record.get(part.name), str)}
    return Place(**parts) if parts else None
