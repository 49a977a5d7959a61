"""`flask events …`: whom events are for, what waits, what was given up and why. The delivery: cli/deliver_events.py."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from app.cli.queue_checks import NO_SETTING, trouble_of
from app.cli.terminal import (
    CommandGroup,
    Failure,
    NothingThere,
    Refused,
    as_json,
    confirm,
    counted,
    iso,
    say,
    say_json,
    yes,
)
from app.jobs.worker import JobFailed
from app.receivers.wiring import Delivering
from app.stores.job_records import Kept, QueueStatus
from app.web.services import services

events = CommandGroup("events", help="The systems that are told of events, and what they have not taken yet.")


class _EntryId(click.ParamType[str]):
    """The id of an entry of a stream: two numbers of 64 bits."""

    name = "entry"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[0-9]{1,19}-[0-9]{1,19}", value):
            self.fail(f"{value!r} is no id of an entry, as `list` and `dead` show it", param, ctx)
        return value


_receiver = click.argument("receiver_id", metavar="[RECEIVER]", required=False)
_of_user = click.option("--user", "user_id", metavar="ID", help="Of this user alone.")
_limit = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many."
)


@events.command()
@as_json
def status(as_json: bool) -> None:
    """Tell how the mails and each receiver are. Exits with 1 if one is away or switched off, or nobody delivers.

    So it does if something waits for a receiver that no setting names any more.
    """
    wired = services()
    places = {one.receiver.id: one.receiver.place for one in wired.deliverings}
    all_well = True
    for queue in wired.queues:
        found = queue.status()
        trouble = trouble_of(found, wired.clock())
        all_well &= not trouble
        _show_status(queue.queue.name, places.get(queue.queue.name), found, trouble, as_json)
    leftovers = list(wired.leftovers())
    for left, place in leftovers:
        found = left.status()
        all_well &= not found.waiting
        _show_status(left.queue.name, place, found, NO_SETTING, as_json)
    if not places and not leftovers:
        raise NothingThere("Nobody is told of events; set WEBHOOK_URLS, BACKCHANNEL_LOGOUT_URLS or SSF_PUSH_URLS.")
    if not all_well:
        raise Failure("Not all receivers are well.")


def _show_status(receiver_id: str, place: str | None, found: QueueStatus, trouble: str, as_json: bool) -> None:
    counts = {
        "waiting": found.waiting,
        "dead": found.dead,
        "delivered": found.delivered,
        "failed_attempts": found.failed,
    }
    if as_json:
        record = {"receiver": receiver_id, "url": place, **counts, "oldest_at": iso(found.oldest_at)}
        say_json(record | {"trouble": trouble or None})
        return
    told = [f"{name.replace('_', ' ')} {count}" for name, count in counts.items()]
    oldest = [f"oldest from {iso(found.oldest_at)}"] if found.oldest_at else []
    say(receiver_id, *([place] if place else []), *told, *oldest, trouble)


@events.command("list")
@_receiver
@_of_user
@_limit
@as_json
def list_waiting(receiver_id: str | None, user_id: str | None, limit: int, as_json: bool) -> None:
    """List the events that wait, oldest first."""
    _show_all(((one, one.queue.waiting(limit, user_id)) for one in _chosen(receiver_id)), as_json, "No event waits.")


@events.command()
@_receiver
@_of_user
@_limit
@as_json
def dead(receiver_id: str | None, user_id: str | None, limit: int, as_json: bool) -> None:
    """List the events that were given up, and why, oldest first."""
    rows = ((one, one.queue.dead(limit, user_id)) for one in _chosen(receiver_id))
    _show_all(rows, as_json, "No event was given up.")


@events.command()
@_receiver
@click.argument("entries", metavar="[ENTRY]...", nargs=-1, type=_EntryId())
def retry(receiver_id: str | None, entries: Sequence[str]) -> None:
    """Queue what was given up again: all, that of a receiver, or the named entries of it.

    What failed and waits is tried at once, and a receiver that was switched off is switched on.
    """
    for one in _chosen(receiver_id):
        count = sum(one.queue.revive(entry) for entry in entries) if entries else one.queue.revive()
        if entries and not count:
            raise NothingThere("No such event was given up.")
        one.queue.switch_on()
        one.queue.hurry()
        services().operators.record_on_queue("retry-events", one.receiver.id, count)
        say(one.receiver.id, f"{counted(count, 'event')} queued again")


@events.command("send-test")
@click.argument("url")
def send_test(url: str) -> None:
    """Send a signed event that means nothing to a receiver of the settings, and tell whether it takes it."""
    for one in _chosen(url):
        try:
            tried = one.send_test()
        except JobFailed as failed:
            raise Failure(f"{one.receiver.id} did not take it: {failed.reason}.") from None
        took = [] if tried.failure else [f"took {tried.event_id}, status {tried.status}"]
        said = [f"answered: {tried.said}"] if tried.said else []
        if took or said:
            say(one.receiver.id, *took, *said)
        if tried.failure:
            raise Failure(f"{one.receiver.id} did not take it: {tried.failure}.")


@events.command()
@click.argument("receiver_id", metavar="RECEIVER")
@yes
def forget(receiver_id: str, yes: bool) -> None:
    """Delete the queue of a receiver that the settings do not name any more, with all that waits."""
    wired = services()
    if receiver_id in {one.receiver.id for one in wired.deliverings}:
        raise Refused("The settings name this receiver: take it out of them first, and restart all processes.")
    queue = wired.event_queue(receiver_id)
    if not queue.is_there():
        raise NothingThere("There is no such queue.")
    found = queue.status()
    count = found.waiting + found.dead
    confirm(f"Delete the queue of {receiver_id} with {counted(count, 'event')}?", yes)
    queue.drop()
    wired.known_receivers.forget(receiver_id)
    wired.operators.record_on_queue("forget-events", receiver_id, count)
    say("Done.")


def _chosen(named: str | None) -> Sequence[Delivering]:
    """Return the receivers of an id or a URL; all for None."""
    found = [one for one in services().deliverings if named in (None, one.receiver.id, one.receiver.url)]
    if not found:
        raise NothingThere("No receiver of the settings has this id or URL." if named else "Nobody is told of events.")
    return found


def _show_all(rows: Iterable[tuple[Delivering, Sequence[Kept]]], as_json: bool, none: str) -> None:
    is_any = False
    for one, found in rows:
        for kept in found:
            is_any = True
            _show(one.receiver.id, kept, as_json)
    if not is_any:
        raise NothingThere(none)


def _show(receiver_id: str, kept: Kept, as_json: bool) -> None:
    content = kept.content.decode("utf-8", "replace")
    record: dict[str, Any] = {"receiver": receiver_id, "entry": kept.entry_id, "at": iso(kept.at), "event": content}
    if kept.failure:
        record |= {"attempts": kept.attempts, "failure": kept.failure}
    if as_json:
        say_json(record)
    else:
        say(*(str(value) for value in record.values()))
