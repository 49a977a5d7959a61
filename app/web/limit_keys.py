"""Whose budget a request is counted in: the keys of the limits in limits.py, which says what they mean."""

import ipaddress
from typing import Any

from flask import g, request

from app.callers.addresses import limit_key, limit_keys, network_key
from app.rules.links import OpenLink
from app.snowflakes import NOBODY
from app.web import guards
from app.web.services import services


def by_address() -> str:
    return limit_key(services().callers.address(request.environ))


def by_network() -> str:
    return network_key(services().callers.address(request.environ))


def is_ipv6() -> bool:
    return isinstance(services().callers.address(request.environ), ipaddress.IPv6Address)


def by_login() -> str:
    """Return the address and the account. The body has a login, or the ticket of one."""
    body: Any = g.body
    return f"{by_address()}/{_ticket_key(body.ticket) if hasattr(body, 'ticket') else account_key(body.login)}"


def _ticket_key(ticket: str) -> str:
    """Return the id of the user to whom an open ticket of a login belongs; "none" for any other ticket."""
    # A made-up ticket contains a user id, too, but must not be counted against that user.
    return services().second_steps.find_owner(ticket) or "none"


def account_key(login: str) -> str:
    """Return the id of the user with an e-mail address, or a hash of the address if there is no such user."""
    return services().accounts.id_of(login) or services().accounts.digest_of(login)


def by_account_of_login() -> str:
    login = g.body.login
    user_id = services().accounts.id_of(login)
    return _apart_if_known(user_id, user_id or services().accounts.digest_of(login))


def by_account_of_ticket() -> str:
    user_id = services().second_steps.find_owner(g.body.ticket)
    return _apart_if_known(user_id, user_id or f"none/{by_address()}")


def _apart_if_known(user_id: str | None, account: str) -> str:
    """Return the account, with a session in front if this is its device, or the address where it was used last.

    So each session has one budget, wherever it is used. For an unknown account this takes the same trips to Redis.
    """
    seen = services().devices.lately_seen(user_id or NOBODY)
    device = services().devices.read_claim(services().callers.read_former_token(request.environ))
    if device and device.id_hash in seen:
        return f"{device.id_hash}/{account}"
    address = by_address()
    known = next((id_hash for id_hash, ip in seen.items() if address in limit_keys([ip])), None)
    return f"{known}/{account}" if known else account


def _find_link() -> OpenLink | None:
    body: Any = g.body
    return services().recovery.find_link(body.token if hasattr(body, "token") else body.ticket)


def by_link() -> str:
    link = _find_link()
    return f"{link.id_hash}/{link.user_id}" if link else f"none/{by_address()}"


def by_link_user() -> str:
    link = _find_link()
    return f"reset/{link.user_id if link else by_address()}"


def by_mailbox() -> str:
    """Return the keyed hash of the address that a link is mailed to. The view leaves it in `g`."""
    return str(g.mailbox)


def by_session() -> str:
    return f"{services().devices.first_id_hash(guards.caller())}/{guards.caller().user_id}"


def by_user() -> str:
    return guards.caller().user_id
