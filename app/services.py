"""What the routes and the commands call, wired once by create_app."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.accounts import Accounts
from app.callers import Callers
from app.config import Settings
from app.delivery import Delivery
from app.devices import Devices
from app.imports import Imports
from app.links import Links
from app.notices import Notices
from app.operators import Operators
from app.reauthentication import Reauthentication
from app.recovery import Recovery
from app.second_factor import SecondFactor
from app.stores.server import Server

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
    """Those of the application that serves this request."""
    return cast(Services, current_app.extensions[EXTENSION])
