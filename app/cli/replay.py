"""`flask users replay`: do again what a restored backup does not know. The rules: rules/replay.py."""

from collections.abc import Sequence
from itertools import chain
from typing import BinaryIO

import click
from flask.cli import with_appcontext

from app import times
from app.cli.terminal import (
    NothingThere,
    TimeOrSpan,
    Unusable,
    as_json,
    confirm,
    counted,
    progress,
    say,
    say_json,
    yes,
)
from app.rules.replay import read_missed
from app.web.services import services


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb", lazy=True))
@click.option(
    "--since", required=True, type=TimeOrSpan(), help="When the backup was begun: 2025-07-16T03:00, or 8h ago."
)
@click.option("--dry-run", is_flag=True, help="Count the users and change none.")
@yes
@as_json
@with_appcontext
def replay(files: Sequence[BinaryIO], since: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """After a backup was restored: delete and disable again who was, and take old passwords and codes away.

    FILE is a log with the audit lines since the backup, of the service and of operators; - is the input.
    """
    began_at = times.before(since, services().clock())
    missed, lines = read_missed(chain.from_iterable(files), began_at)
    if not lines:
        raise Unusable(f"There is no audit line since {times.iso(began_at)}.")
    due = services().replay.find_due(missed, began_at)
    counts = {
        "deleted": sum(one.deleted for _, one in due),
        "disabled": sum(one.disabled is True for _, one in due),
        "enabled": sum(one.disabled is False for _, one in due),
        "credentials": sum(one.changes_credentials for _, one in due),
    }
    if dry_run or not due:
        _show(counts, as_json)
    if not due:
        raise NothingThere("Nothing is left to do.")
    if dry_run:
        return
    confirm(f"Do it to {counted(len(due), 'user')}?", yes)
    done = sum(1 for _ in progress(services().replay.run(due, began_at), "Replaying", len(due)))
    _show(counts, as_json)
    if done < len(due) and not as_json:
        say(f"{counted(len(due) - done, 'user')} had gone meanwhile.")


def _show(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        say_json(counts)
        return
    say(
        f"{counts['deleted']} to be deleted, {counts['disabled']} to be disabled, {counts['enabled']} to be enabled, "
        f"{counts['credentials']} with old credentials."
    )
