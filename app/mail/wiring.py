"""Makes the delivery of mails from the settings."""

from collections.abc import Callable

from app.config import Settings
from app.mail.delivery import Delivery
from app.mail.letters import Letters
from app.mail.transport import open_transport
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.wiring import Stores


def make_delivery(
    settings: Settings, stores: Stores, links: Links, keyring: Keyring, clock: Callable[[], float]
) -> Delivery | None:
    """Return the delivery of mails; None if mails are off."""
    route, name = settings.smtp_url, settings.smtp_ehlo_name
    if not (route and name and settings.mail_from and settings.public_url):  # config.py requires all four
        return None
    letters = Letters(
        stores.users,
        links,
        keyring,
        settings.mail_from,
        settings.public_url,
        settings.default_language,
    )
    return Delivery(stores.mails, open_transport(route, name), letters.compose, clock)
