"""`flask sessions …`: list and end the sessions of one user or of all. The sessions of a caller: routes/sessions.py."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import click

from app import times
from app.cli.terminal import (
    CommandGroup,
    NothingThere,
    TimeOrSpan,
    as_json,
    confirm,
    counted,
    iso,
    progress,
    say,
    say_json,
    yes,
)
from app.rules.device_names import name_of
from app.rules.operators import Filter, Network
from app.stores.session_records import Session
from app.tokens import id_from_url, id_in_url
from app.web.services import services

sessions = CommandGroup("sessions", help="The devices signed in, of one user or of all.")


class _Network(click.ParamType[Network]):
    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        try:
            return ipaddress.ip_network(value)
        except ValueError:
            self.fail("must be an address or a CIDR range, as in 192.0.2.0/24", param, ctx)


class _Words(click.ParamType[str]):
    """A text that is not empty. An empty text, from a variable that is not set, would match every session."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value).strip() or self.fail("is empty", param, ctx)


class _SessionId(click.ParamType[str]):
    name = "session"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return id_from_url(value) or self.fail("must be the id of a session, as `sessions list` shows it", param, ctx)


_FILTERS = [
    click.option("--user", "named", type=_Words(), metavar="USER", help="Of this user: id or e-mail address."),
    click.option("--country", type=_Words(), help="The last part of the place, as in Switzerland."),
    click.option("--cidr", type=_Network(), multiple=True, help="Last seen in this network; may be given again."),
    click.option("--client", type=_Words(), help="Within the name, program or system of the device."),
    click.option("--unused-since", type=TimeOrSpan(), help="Not used since then: 2025-07-16, or a span such as 30d."),
    click.option("--begun-before", type=TimeOrSpan(), help="Begun before then: 2025-07-16, or a span such as 30d."),
    click.option("--adopted", is_flag=True, help="Which began with a token of the service before."),
]


def _takes_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter options. The command is called with a Filter and the user's id (None for all users)."""

    @wraps(command)
    def with_filter(
        *,
        named: str | None,
        country: str | None,
        cidr: Sequence[Network],
        client: str | None,
        unused_since: str | None,
        begun_before: str | None,
        adopted: bool,
        ids: Sequence[str] = (),
        **others: Any,
    ) -> None:
        now = services().clock()
        chosen = Filter(
            country=country,
            networks=cidr,
            client=client,
            unused_since=times.before(unused_since, now) if unused_since else None,
            begun_before=times.before(begun_before, now) if begun_before else None,
            id_hashes=frozenset(ids),
            adopted=adopted,
        )
        command(_find_user_id(named), chosen, **others)

    for option in reversed(_FILTERS):
        with_filter = option(with_filter)
    return with_filter


def _find_user_id(named: str | None) -> str | None:
    """Return the id of the named user; None if no user is named.

    An id without a record is returned unchanged, because it may still have sessions if the record was lost.

    Raises:
        NothingThere: No user has this e-mail address.
    """
    user = services().operators.find(named) if named else None
    if named and not user and not named.isdecimal():
        raise NothingThere(f"No user has the e-mail address {named}.")
    return user.id if user else named


@sessions.command("list")
@_takes_filters
@as_json
def list_sessions(user_id: str | None, chosen: Filter, as_json: bool) -> None:
    """List the live sessions."""
    count = 0
    for session in services().operators.sessions(chosen, user_id):
        _show(session, as_json)
        count += 1
    if not count:
        raise NothingThere("No session matches.")


_dry_run = click.option("--dry-run", is_flag=True, help="Count them and end none.")


@sessions.command()
@click.argument("ids", metavar="[SESSION]...", nargs=-1, type=_SessionId())
@_takes_filters
@_dry_run
@yes
@as_json
def end(user_id: str | None, chosen: Filter, dry_run: bool, yes: bool, as_json: bool) -> None:
    """End the sessions that are named, or that match all filters."""
    if user_id is None and chosen.takes_all:
        raise click.UsageError("Name sessions or a filter; `sessions end-all` ends all there are.")
    if _count_and_confirm(user_id, chosen, dry_run, yes, as_json):
        operators = services().operators
        _end(operators.end(operators.sessions(chosen, user_id)), as_json)


@sessions.command("end-all")
@_takes_filters
@_dry_run
@yes
@as_json
def end_all(user_id: str | None, chosen: Filter, dry_run: bool, yes: bool, as_json: bool) -> None:
    """End all sessions, of one user or of everybody, and stop the logins under way.

    With filters beside --user it ends the sessions that match, as `sessions end` does, and stops no login.
    """
    # A token of the service before that was never used here has no session yet, and is refused from now on.
    has_tokens = chosen.takes_all and services().devices.adoption is not None
    if _count_and_confirm(user_id, chosen, dry_run, yes, as_json, goes_on_with_none=has_tokens):
        operators = services().operators
        narrow = None if chosen.takes_all else operators.sessions(chosen, user_id)
        _end(operators.end(narrow) if narrow else operators.end_all(user_id), as_json, goes_on_with_none=has_tokens)


@sessions.command()
@as_json
def tidy(as_json: bool) -> None:
    """End sessions that have expired, forget those that ended over RETENTION_DAYS ago. To be run daily."""
    count = sum(1 for _ in progress(services().operators.tidy(), "Looking through"))
    if as_json:
        say_json({"looked_at": count})
    else:
        say("Done.")


def _count_and_confirm(
    user_id: str | None, chosen: Filter, dry_run: bool, yes: bool, as_json: bool, *, goes_on_with_none: bool = False
) -> bool:
    """Count the sessions that would end, and ask whether to go on. With --yes do not count and do not ask.

    Args:
        goes_on_with_none: There is something to do without a session, too.

    Returns:
        False after --dry-run.

    Raises:
        NothingThere: No session matches.
        Refused: The answer is no.
    """
    if yes and not dry_run:
        return True
    users, count, last = 0, 0, ""
    for session in progress(services().operators.sessions(chosen, user_id), "Counting"):
        users, count, last = users + (session.user_id != last), count + 1, session.user_id
    found = f"{counted(count, 'session')} of {counted(users, 'user')}"
    if dry_run and as_json:
        say_json({"sessions": count, "users": users})
    elif dry_run:
        say(f"Would end {found}.")
    if not count and not goes_on_with_none:
        raise NothingThere("No session matches.")
    if not dry_run:
        confirm(f"End {found}?", yes)
    return not dry_run


def _end(steps: Iterable[int], as_json: bool, *, goes_on_with_none: bool = False) -> None:
    ended = sum(progress(steps, "Ending"))
    if as_json:
        say_json({"ended": ended})
    if not ended and not goes_on_with_none:
        raise NothingThere("No session matches.")
    if not as_json:
        say(f"{counted(ended, 'session')} ended.")


def _show(session: Session, as_json: bool) -> None:
    client = session.client
    expires_at = services().devices.expires_at(session)
    if as_json:
        say_json(
            {
                "user_id": session.user_id,
                "id": id_in_url(session.id_hash),
                "id_hash": session.id_hash,
                "name": session.name,
                "os": client.os,
                "platform": client.platform,
                "location": client.location,
                "ip": client.ip,
                "began_at": iso(session.began_at),
                "last_used_at": iso(session.last_used_at),
                "expires_at": iso(expires_at),
            }
        )
        return
    used = times.ago(session.last_used_at, services().clock())
    where = f"{client.location or 'place unknown'}, {client.ip or 'address unknown'}"
    say(f"{session.user_id:<20}", id_in_url(session.id_hash), f"{name_of(session):<28}", f"{where:<44}", used)
