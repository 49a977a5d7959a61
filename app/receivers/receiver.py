"""The systems that are told of events, as the settings name them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal
from urllib.parse import urlsplit

from app.config import Settings

Kind = Literal["webhook", "logout", "ssf"]

_CHANGES = ("created", "updated", "deleted")
_TAKES: dict[Kind, frozenset[str] | None] = {
    "webhook": None,
    "logout": frozenset({"AUTH_SESSION_REMOVE"}),
    "ssf": frozenset(
        {
            "AUTH_SESSION_CREATE",
            "AUTH_SESSION_REMOVE",
            *(f"{what}.{how}" for what in ("authenticator", "credential") for how in _CHANGES),
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Receiver:
    """A system that is told of events.

    Attributes:
        kind: What it is sent: a webhook, a logout token, or a security event token (SSF).
        url: Where it is told. Its query may have a secret, so `place` is for logs.
        audience: `aud` of its tokens.
        token: What it asks for in `Authorization`; "" if nothing.
    """

    kind: Kind
    url: str = field(repr=False)
    audience: str = ""
    token: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        """The name of its queue. It stays the same as long as kind and URL do."""
        return f"{self.kind}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    @property
    def takes(self) -> frozenset[str] | None:
        """The types of events that it is told of; None for all."""
        return _TAKES[self.kind]

    @property
    def place(self) -> str:
        """Its URL without the query, for logs and `flask events`."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def receivers_of(settings: Settings) -> Sequence[Receiver]:
    """Return all receivers, in the order of the settings."""
    return tuple(_receivers_of(settings))


def _receivers_of(settings: Settings) -> Iterator[Receiver]:
    for url in settings.webhook_urls:
        yield Receiver("webhook", url)
    for url, client_id in zip_longest(settings.backchannel_logout_urls, settings.backchannel_logout_client_ids):
        yield Receiver("logout", url, audience=client_id or url)
    for url, audience, token in zip_longest(
        settings.ssf_push_urls, settings.ssf_push_audiences, settings.ssf_push_tokens
    ):
        yield Receiver("ssf", url, audience=audience or url, token=token or "")
