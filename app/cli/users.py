"""`flask users …`: create, change and delete users. The rules: rules/operators.py. Imports: import_users.py."""

from typing import Any

import click

from app.cli.import_users import import_users
from app.cli.replay import replay
from app.cli.terminal import (
    CommandGroup,
    NothingThere,
    as_json,
    confirm,
    counted,
    find_user,
    iso,
    load_typed,
    progress,
    read_new_password,
    require_still_there,
    say,
    say_json,
    yes,
)
from app.rules.device_names import made_up_name
from app.rules.operators import Filter
from app.rules.webauthn import b64url
from app.stores.passkeys import Passkey
from app.stores.remembered_records import Remembered
from app.stores.user_records import User
from app.web.own_data import copy_of
from app.web.services import services
from app.wire.account import ChangePasswordSchema
from app.wire.sign_in import RegisterSchema

users = CommandGroup("users", help="Who may sign in.")
users.add_command(replay)
users.add_command(import_users)
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
    services().own_data.record_copy(user.id, None)
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


@users.command()
@as_json
def tidy(as_json: bool) -> None:
    """Delete the users who have deleted their accounts and are due. To be run daily."""
    count = sum(1 for _ in progress(services().operators.tidy_users(), "Deleting"))
    if as_json:
        say_json({"deleted": count})
    else:
        say(f"{counted(count, 'user')} deleted.")


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


def _show(user: User, as_json: bool) -> None:
    if as_json:
        say_json(_as_record(user))
        return
    marks = [
        mark
        for mark, is_so in (
            ("disabled", user.disabled and user.left != "deleted"),
            (f"deleted on {iso(user.delete_at)}", user.left == "deleted"),
            ("unverified", user.unverified),
            ("mfa", user.has_mfa),
        )
        if is_so
    ]
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
        "verified": not user.unverified,
        "pending_email": services().addresses.pending_of(user),
        "disabled": user.disabled,
        "left": user.left,
        "delete_at": iso(user.delete_at),
        "mfa_enabled": user.has_mfa,
        "backup_codes_left": user.backup_codes_left,
        "language": user.language,
    }
