"""The checks by `flask doctor` of who delivers mails and events, and of the keys that sign what receivers are told.

The other checks: cli/doctor.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.cli.terminal import counted, iso
from app.rules.signing_keys import Signing
from app.serving.checkup import Finding, fail, ok, warn
from app.stores.job_records import QueueStatus
from app.stores.jobs import JobQueue

_SILENT_AFTER_S = 60  # who delivers is seen every 20 seconds, also while the receiver is away
_LATE_S = 5 * 60
NO_SETTING = "no setting names it any more"
_SHOW_DEAD = "`flask events dead` says why, `flask events retry` sends them again."


def trouble_of(found: QueueStatus, now: float) -> str:
    """Return what keeps a receiver from getting its jobs; "" if nothing does."""
    if found.turned_at is None or now - found.turned_at > _SILENT_AFTER_S:  # first: then nobody knows of the others
        return f"nobody delivers since {iso(found.turned_at)}" if found.turned_at else "nobody delivers"
    if found.off_since is not None:
        return f"switched off since {iso(found.off_since)}: {found.failure}"
    if found.away_since is not None:
        return f"away since {iso(found.away_since)}: {found.failure}"
    return ""


def check_queues(queues: Sequence[JobQueue[Any]], now: float) -> Iterator[Finding]:
    """Check for each queue that somebody delivers, that the receiver is well, and that nothing waits long."""
    for queue in queues:
        yield _check_queue(queue.queue.name, queue.status(), now)


def check_leftovers(left: Iterable[tuple[JobQueue[bytes], str]]) -> Iterator[Finding]:
    """Warn of each queue whose receiver no setting names any more. Each has the URL of that receiver beside it."""
    for queue, place in left:
        name, waiting = queue.queue.name, queue.status().waiting
        said = f"Receiver {place}: {NO_SETTING}; {counted(waiting, 'event')} {'waits' if waiting == 1 else 'wait'}."
        yield warn(name, said, f"Name it again, or delete what is left: `flask events forget {name}`.")


def _check_queue(name: str, found: QueueStatus, now: float) -> Finding:
    is_mail = name == "mail"
    check = "mail queue" if is_mail else name
    noun, command = ("mail", "flask deliver-mail") if is_mail else ("event", "flask deliver-events")
    waiting = f"{counted(found.waiting, noun)} {'waits' if found.waiting == 1 else 'wait'}"
    if trouble := trouble_of(found, now):
        nobody = trouble.startswith("nobody")
        advice = f"Run `{command}` beside the service." if nobody else _advice_for(found, is_mail)
        if nobody and not found.waiting:
            return warn(check, f"{trouble.capitalize()}.", advice)
        return fail(check, f"{trouble[0].upper()}{trouble[1:]}; {waiting}.", advice)
    if found.oldest_at is not None and now - found.oldest_at > _LATE_S:
        late = f"{waiting}, the oldest since {iso(found.oldest_at)}."
        return warn(check, late, "The log of who delivers says why, at LOG_LEVEL=debug each attempt.")
    if found.dead:
        advice = "`flask deliver-mail --retry-dead` sends them again." if is_mail else _SHOW_DEAD
        return warn(check, f"{counted(found.dead, noun)} {'was' if found.dead == 1 else 'were'} given up.", advice)
    return ok(check, f"Somebody delivers; {waiting}.")


def _advice_for(found: QueueStatus, is_mail: bool) -> str:
    if found.off_since is not None:
        return "Once it is well again: `flask events retry`."
    if is_mail:
        return "It is tried again by itself; `flask doctor --mail-to` names the step that fails."
    return "It is tried again by itself; `flask events send-test` tells whether it answers."


def check_signing(signing: Signing | None) -> Iterator[Finding]:
    """Check that the newest key signs, or soon will. Nothing is said where nothing is signed."""
    if signing is None:
        return
    if signing.is_newest_published():
        yield ok("signing keys", "The newest of SIGNING_KEYS is published.")
    else:
        said = "No process has published the newest of SIGNING_KEYS, so it does not sign."
        yield warn("signing keys", said, "Restart the service with this setting: a key is published before it signs.")
