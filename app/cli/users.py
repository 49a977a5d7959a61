"""`flask users …`: create, change, import and delete users. The rules: rules/operators.py and rules/imports.py."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click
import orjson
from marshmallow import ValidationError

from app.cli.replay import replay
from app.cli.terminal import (
    PARTLY,
    CommandGroup,
    NothingThere,
    as_json,
    confirm,
    counted,
    find_user,
    iso,
    load_typed,
    read_new_password,
    require_still_there,
    say,
    say_json,
    yes,
)
from app.errors import InvalidForm
from app.rules.device_names import made_up_name
from app.rules.imports import ImportedUser, Line
from app.rules.operators import Filter
from app.rules.passwords import MAX_EXTRA_ROUNDS, MAX_ROUNDS
from app.rules.relying_party import why_none
from app.rules.webauthn import b64url
from app.stores.passkeys import Passkey
from app.stores.remembered_records import Remembered
from app.stores.user_records import User
from app.web.own_data import copy_of
from app.web.services import services
from app.wire.account import ChangePasswordSchema
from app.wire.imports import ImportedUserSchema
from app.wire.sign_in import RegisterSchema

_MAX_LINE = 64 * 1024

users = CommandGroup("users", help="Who may sign in.")
users.add_command(replay)
_user = click.argument("named", metavar="USER")


@users.command()
@click.argument("email")
@click.option("--username", required=True)
@click.option("--global-name", help="The name that is shown.")
@as_json
def create(email: str, username: str, global_name: str | None, as_json: bool) -> None:
    """Create a user. The password is asked for, or read from the input's first line."""
    typed = {"email": email, "username": username, "global_name": global_name, "password": read_new_password()}
    body = load_typed(RegisterSchema, typed)
    user = services().operators.create(body.email, body.username, body.global_name, body.password)
    _show(user, as_json)


@users.command()
@_user
@as_json
def show(named: str, as_json: bool) -> None:
    """Show one user, by id or e-mail address, and how many sessions they have."""
    user = find_user(named)
    sessions = list(services().operators.sessions(Filter(), user.id))
    remembered = services().remembered.list(user.id)
    last_used_at = max((session.last_used_at for session in sessions), default=None)
    if as_json:
        say_json(
            _as_record(user)
            | {"sessions": len(sessions), "last_used_at": iso(last_used_at)}
            | {"passkeys": [_passkey_as_record(passkey) for passkey in user.passkeys]}
            | {"remembered": [_remembered_as_record(device) for device in remembered]}
        )
        return
    for name, value in (*_as_record(user).items(), ("sessions", len(sessions)), ("last used", iso(last_used_at))):
        say(f"{name.replace('_', ' '):<18}", "-" if value is None else str(value))
    for device in remembered:
        used = f"since {iso(device.began_at)}, used {iso(device.last_used_at)}, ends {iso(_ends_at(device))}"
        say(f"{'remembered':<18}", made_up_name(device.client), used)
    for passkey in user.passkeys:
        say(
            f"{'passkey':<18}",
            passkey.name,
            f"added {iso(passkey.created_at)}, used {iso(passkey.last_used_at) or '-'}",
        )


@users.command()
@_user
def export(named: str) -> None:
    """Print all that is kept of a user as JSON, but no secret: what they may ask for."""
    user = find_user(named)
    services().operators.record_export(user)
    say_json(copy_of(user.id))


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
    """Shut a user out: end all their sessions, and let no login of theirs succeed."""
    user = find_user(named)
    confirm(f"Shut {user.email} out and end all their sessions?", yes)
    require_still_there(services().operators.disable(user))
    say(f"{user.email} is shut out.")


@users.command()
@_user
def enable(named: str) -> None:
    """Let a user who was shut out sign in again."""
    user = find_user(named)
    require_still_there(services().operators.enable(user))
    say(f"{user.email} may sign in.")


@users.command()
@_user
@yes
def delete(named: str, yes: bool) -> None:
    """Remove a user and all that Redis holds of them."""
    user = find_user(named)
    confirm(f"Delete {user.email} for good?", yes)
    require_still_there(services().operators.delete(user))
    say(f"{user.email} is deleted.")


@users.command("set-password")
@_user
@yes
def set_password(named: str, yes: bool) -> None:
    """Set a password, and end all sessions. The password is asked for, or read from the input's first line."""
    user = find_user(named)
    confirm(f"Set a new password for {user.email} and end all their sessions?", yes)
    body = load_typed(ChangePasswordSchema, {"password": "", "new_password": read_new_password()})
    require_still_there(services().operators.set_password(user, body.new_password))
    say(f"{user.email} has a new password, all their sessions have ended.")


@users.command("reset-mfa")
@_user
@yes
def reset_mfa(named: str, yes: bool) -> None:
    """Take a second factor and its backup codes away, and end all sessions."""
    user = find_user(named)
    if not user.has_mfa:
        raise NothingThere(f"{user.email} has no second factor.")
    confirm(f"Take the second factor of {user.email} away and end all their sessions?", yes)
    require_still_there(services().operators.reset_mfa(user))
    say(f"{user.email} has no second factor any more, all their sessions have ended.")


@users.command("forget-remembered")
@_user
def forget_remembered(named: str) -> None:
    """Ask for a second factor on every device again that was spared it. Sessions go on."""
    user = find_user(named)
    count = services().operators.forget_remembered(user)
    if not count:
        raise NothingThere(f"{user.email} has no remembered device.")
    say(f"{counted(count, 'remembered device')} of {user.email} forgotten.")


@users.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--slow-hashes", is_flag=True, help="Take hashes that are far slower than BCRYPT_ROUNDS, too.")
@click.option("--refuse-tokens", is_flag=True, help="Adopt no token that the service before gave these users.")
@as_json
def import_users(file: BinaryIO, slow_hashes: bool, refuse_tokens: bool, as_json: bool) -> None:
    """Import users from FILE, or from the input with -. Each line is a JSON object.

    The fields are in docs/import.md. Bad lines are skipped and named on the error output.
    """
    counts = {"imported": 0, "there": 0, "bad": 0}
    schema = ImportedUserSchema()
    schema.most_rounds = MAX_ROUNDS if slow_hashes else services().settings.bcrypt_rounds + MAX_EXTRA_ROUNDS
    if services().passkeys.party is None:
        schema.why_no_passkeys = why_none(services().settings.public_url)
    try:
        for result in services().imports.run(_read_lines(file, schema), refuse_tokens=refuse_tokens):
            counts[result.verdict] += 1
            if result.note:
                click.echo(f"line {result.number}: {result.note}", err=True)
    finally:  # an interrupted run, or a run without Redis, has still written a part
        services().operators.record_import(counts)
        _show_counts(counts, as_json)
    if counts["bad"]:
        click.get_current_context().exit(PARTLY)


def _show_counts(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        say_json(counts)
    else:
        say(f"{counts['imported']} imported, {counts['there']} already there, {counted(counts['bad'], 'bad line')}.")


def _read_lines(file: BinaryIO, schema: ImportedUserSchema) -> Iterator[Line]:
    """Yield each line that is not blank. On a terminal a bar shows the progress."""
    size = _size(file) if sys.stderr.isatty() else None
    if size is None:
        yield from (_read_line(number, raw, schema) for number, raw in enumerate(file, 1) if raw.strip())
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        for number, raw in enumerate(file, 1):
            bar.update(len(raw))
            if raw.strip():
                yield _read_line(number, raw, schema)


def _size(file: BinaryIO) -> int | None:
    return file.seek(0, 2) - file.seek(0) if file.seekable() else None


def _read_line(number: int, raw: bytes, schema: ImportedUserSchema) -> Line:
    """Return the user that a line describes, or a sentence that says what is wrong. Never repeat the line's text."""
    try:
        data = orjson.loads(raw) if len(raw) <= _MAX_LINE else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return Line(number, "is not a JSON object of 64 KB at most")
    try:
        user: ImportedUser = schema.load(data)
    except ValidationError as problem:
        return Line(number, InvalidForm(problem.messages_dict).plainly())
    return Line(number, user)


def _show(user: User, as_json: bool) -> None:
    if as_json:
        say_json(_as_record(user))
        return
    marks = [mark for mark, is_so in (("disabled", user.disabled), ("mfa", user.has_mfa)) if is_so]
    say(f"{user.id:<20}", f"{user.email:<32}", f"{user.username:<20}", iso(user.created_at) or "", *marks)


def _passkey_as_record(passkey: Passkey) -> dict[str, Any]:
    """Return a passkey in the form of an import. Its id is the credential id."""
    return {
        "id": passkey.cred_id,
        "public_key": b64url(passkey.public_key),
        "sign_count": passkey.sign_count,
        "transports": passkey.transports,
        "name": passkey.name,
        "backup_eligible": passkey.backup_eligible,
        "created_at": iso(passkey.created_at),
        "last_used_at": iso(passkey.last_used_at),
    }


def _ends_at(device: Remembered) -> int:
    return services().remembered.ends_at(device)


def _remembered_as_record(device: Remembered) -> dict[str, Any]:
    return {
        "id": device.id,
        "device": made_up_name(device.client),
        "ip": device.client.ip,
        "location": device.client.location,
        "created_at": iso(device.began_at),
        "last_used_at": iso(device.last_used_at),
        "ends_at": iso(_ends_at(device)),
    }


def _as_record(user: User) -> dict[str, Any]:
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
