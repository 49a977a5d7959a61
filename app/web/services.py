"""The services that routes and commands call. create_app wires them once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.callers.identity import Callers
from app.config import Settings
from app.mail.delivery import Delivery
from app.rules.accounts import Accounts
from app.rules.devices import Devices
from app.rules.imports import Imports
from app.rules.links import Links
from app.rules.notices import Notices
from app.rules.operators import Operators
from app.rules.reauthentication import Reauthentication
from app.rules.recovery import Recovery
from app.rules.second_factor import SecondFactor
from app.stores.connection.server import Server

EXTENSION = "keyrack"


@dataclass(frozen=True)
class Services:
    settings: Settings
    clock: Callable[[], float]
    callers: Callers
    devices: Devices
    accounts: Accounts
    second_factor: SecondFactor
    reauthentication: Reauthentication
    links: Links
    notices: Notices
    delivery: Delivery | None
    recovery: Recovery
    operators: Operators
    imports: Imports
    look_at_redis: Callable[[], Sequence[Server]]


def services() -> Services:
    """Return the services of the application that runs this request or command."""
    return cast(Services, current_app.extensions[EXTENSION])
