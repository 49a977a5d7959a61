"""The mails that wait in the queue, composed as they would be sent now."""

import re
from typing import NamedTuple

from app.stores.keys import unprefixed as keys
from app.stores.mail import _parse_notice
from app.web.services import EXTENSION


class Letter(NamedTuple):
    kind: str
    to: str
    secret: str  # behind the # of its link; "" if there is none
    text: str


def letters_of(app, redis, kind=""):
    """Those of a kind, oldest first. One that is not to be sent any more is left out."""
    found = []
    for _, fields in redis.xrange(keys.mail.waiting):
        notice = _parse_notice(fields["notice"].encode())
        if kind in ("", notice.kind):
            with app.app_context():
                message = app.extensions[EXTENSION].delivery._compose(notice)
            if message is not None:
                text = message.get_body(["plain"]).get_content()
                secret = re.search(r"#(\S+)", text)
                found.append(Letter(notice.kind, message["To"], secret[1] if secret else "", text))
    return found
