"""`flask users …`: who may sign in."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click
import orjson
from marshmallow import ValidationError

from app.cli.terminal import (
    PARTLY,
    Commands,
    NothingThere,
    as_json,
    ask,
    counted,
    find_user,
    iso,
    new_password,
    require,
    say,
    say_json,
    takes,
    yes,
)
from app.errors import InvalidForm
from app.rules.imports import ImportedUser, Line
from app.rules.operators import Filter
from app.stores.users import User
from app.web.services import services
from app.wire.account import ChangePasswordSchema
from app.wire.imports import ImportedUserSchema
from app.wire.sign_in import RegisterSchema

_MAX_LINE = 64 * 1024

users = Commands("users", help="Who may sign in.")
_user = click.argument("named", metavar="USER")


@users.command()
@click.argument("email")
@click.option("--username", required=True)
@click.option("--global-name", help="The name that is shown.")
@as_json
def create(email: str, username: str, global_name: str | None, as_json: bool) -> None:
    """Make an account. The password is asked for, or read from the input's first line."""
    asked = {"email": email, "username": username, "global_name": global_name, "password": new_password()}
    body = takes(RegisterSchema, asked)
    user = services().operators.create(body.email, body.username, body.global_name, body.password)
    _show(user, as_json)


@users.command()
@_user
@as_json
def show(named: str, as_json: bool) -> None:
    """Show one user, by id or e-mail address, and how many sessions they have."""
    user = find_user(named)
    sessions = list(services().operators.sessions(Filter(), user.id))
    last_used_at = max((session.last_used_at for session in sessions), default=None)
    if as_json:
        say_json(_described(user) | {"sessions": len(sessions), "last_used_at": iso(last_used_at)})
        return
    for name, value in (*_described(user).items(), ("sessions", len(sessions)), ("last used", iso(last_used_at))):
        say(f"{name.replace('_', ' '):<18}", "-" if value is None else str(value))


@users.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List all users, in no order."""
    count = 0
    for user in services().operators.users():
        _show(user, as_json)
        count += 1
    if not count:
        raise NothingThere("There are no users.")


@users.command()
@_user
@yes
def disable(named: str, yes: bool) -> None:
    """Shut a user out: all their sessions end, and no login of theirs succeeds."""
    user = find_user(named)
    ask(f"Shut {user.email} out and end all their sessions?", yes)
    require(services().operators.disable(user))
    say(f"{user.email} is shut out.")


@users.command()
@_user
def enable(named: str) -> None:
    """Let a user who was shut out sign in again."""
    user = find_user(named)
    require(services().operators.enable(user))
    say(f"{user.email} may sign in.")


@users.command()
@_user
@yes
def delete(named: str, yes: bool) -> None:
    """Remove a user and all that Redis holds of them."""
    user = find_user(named)
    ask(f"Delete {user.email} for good?", yes)
    require(services().operators.delete(user))
    say(f"{user.email} is deleted.")


@users.command("set-password")
@_user
@yes
def set_password(named: str, yes: bool) -> None:
    """Set a password and end all sessions. It is asked for, or read from the input's first line."""
    user = find_user(named)
    ask(f"Set a new password for {user.email} and end all their sessions?", yes)
    body = takes(ChangePasswordSchema, {"password": "", "new_password": new_password()})
    require(services().operators.set_password(user, body.new_password))
    say(f"{user.email} has a new password, all their sessions have ended.")


@users.command("reset-mfa")
@_user
@yes
def reset_mfa(named: str, yes: bool) -> None:
    """Take a second factor and its backup codes away, and end all sessions."""
    user = find_user(named)
    if not user.has_mfa:
        raise NothingThere(f"{user.email} has no second factor.")
    ask(f"Take the second factor of {user.email} away and end all their sessions?", yes)
    require(services().operators.reset_mfa(user))
    say(f"{user.email} has no second factor any more, all their sessions have ended.")


@users.command("import")
@click.argument("file", type=click.File("rb"))
@as_json
def import_users(file: BinaryIO, as_json: bool) -> None:
    """Import users from FILE, or - for the input: a JSON object a line.

    docs/import.md has its fields. Bad lines are told on the error output and passed over.
    """
    counts = {"imported": 0, "there": 0, "bad": 0}
    try:
        for result in services().imports.run(_lines(file)):
            counts[result.verdict] += 1
            if result.said:
                click.echo(f"line {result.number}: {result.said}", err=True)
    finally:  # also of a run that was interrupted, or found Redis away: what was written is written
        services().operators.imported(counts)
        _show_counts(counts, as_json)
    if counts["bad"]:
        click.get_current_context().exit(PARTLY)


def _show_counts(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        say_json(counts)
    else:
        say(f"{counts['imported']} imported, {counts['there']} already there, {counted(counts['bad'], 'bad line')}.")


def _lines(file: BinaryIO) -> Iterator[Line]:
    """The lines as they are read; on a terminal, and of a file whose size is known, with a bar."""
    size = _size(file) if sys.stderr.isatty() else None
    if size is None:
        yield from (_line(number, raw) for number, raw in enumerate(file, 1) if raw.strip())
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        for number, raw in enumerate(file, 1):
            bar.update(len(raw))
            if raw.strip():
                yield _line(number, raw)


def _size(file: BinaryIO) -> int | None:
    return file.seek(0, 2) - file.seek(0) if file.seekable() else None


_schema = ImportedUserSchema()


def _line(number: int, raw: bytes) -> Line:
    """What is wrong with a line is said without what stands in it."""
    try:
        data = orjson.loads(raw) if len(raw) <= _MAX_LINE else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return Line(number, "is not a JSON object of 64 KB at most")
    try:
        user: ImportedUser = _schema.load(data)
    except ValidationError as problem:
        return Line(number, InvalidForm(problem.messages_dict).plainly())
    return Line(number, user)


def _show(user: User, as_json: bool) -> None:
    if as_json:
        say_json(_described(user))
        return
    marks = [mark for mark, is_so in (("disabled", user.disabled), ("mfa", user.has_mfa)) if is_so]
    say(f"{user.id:<20}", f"{user.email:<32}", f"{user.username:<20}", iso(user.created_at) or "", *marks)


def _described(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "global_name": user.global_name,
        "created_at": iso(user.created_at),
        "disabled": user.disabled,
        "mfa_enabled": user.has_mfa,
        "backup_codes_left": user.backup_codes_left,
    }
