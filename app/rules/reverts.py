"""What a link takes back that somebody else has done: factors that were set, and another address.

Who takes it back, step by step: recovery.py. How Redis judges it once more: stores/lua/change.lua.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.form_errors import InvalidLink
from app.rules.links import OpenLink, factor_of_passkey, factor_of_totp
from app.stores.activities import Activity
from app.stores.session_records import Client
from app.stores.user_records import User
from app.stores.users import Change

Removal = Literal["passkey_removed", "totp_off"]


@dataclass(frozen=True, slots=True)
class Reverted:
    """What a link takes back.

    Attributes:
        change: The part of a change that does so. With a former address, it sets that.
        removed: How the log and the mails call the end of each factor that goes.
        leaves_older: The user has a factor that was set before.
    """

    change: Change
    removed: Sequence[Removal]
    leaves_older: bool


def reverted_by(link: OpenLink, user: User) -> Reverted:
    """Return what a link takes off a user, or puts back. lua/change.lua judges the same once more.

    Raises:
        InvalidLink: The factor is gone, or the address is there already.
    """
    named = next((passkey for passkey in user.passkeys if factor_of_passkey(passkey) == link.factor), None)
    is_totp = user.totp_secret is not None and factor_of_totp(user.totp_secret) == link.factor
    if link.email:
        is_possible, since = link.email != user.email, link.told_at
    else:
        is_possible = named is not None or is_totp
        since = min(named.created_at if named else user.totp_since, link.told_at)
    if not is_possible:
        raise InvalidLink
    removed: list[Removal] = ["passkey_removed" for passkey in user.passkeys if passkey.created_at >= since]
    takes_totp = is_totp or (user.totp_secret is not None and user.totp_since >= since)
    has_older = len(removed) < len(user.passkeys) or (user.totp_secret is not None and not takes_totp)
    if takes_totp:
        removed.append("totp_off")
    change = Change(
        set={"email": link.email, "moved_from": user.email} if link.email else None,
        only_if={"email": user.email} if link.email else None,
        revert_address=link.email or None,
        revert_passkey=named.cred_id if named else None,
        revert_totp=user.totp_secret if is_totp and not named else None,
        revert_since=link.told_at,
    )
    return Reverted(change, removed, has_older)


def change_of_revert(link: OpenLink, reverted: Reverted, password_hash: str, client: Client) -> Change:
    """Return the whole change of a link that takes something back, but for the session that it opens."""
    # Not bound to the credentials version: whoever set the factor could move it all the time.
    return replace(
        reverted.change,
        set={"password_hash": password_hash, **(reverted.change.set or {})},
        unset=["pending_email", "pending_since"],
        end_others="password_change",
        link=link.id_hash,
        comes_back=True,
        activity=[
            *([Activity("address_put_back", client, "mail")] if link.email else []),
            *(Activity(what, client, "mail") for what in reverted.removed),
            Activity("password_changed", client, "mail"),
        ],
    )
