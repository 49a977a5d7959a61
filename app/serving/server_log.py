"""Log lines of gunicorn itself, in the form of watch/logs.py and without anything that clients sent."""

import logging
import os
import re
import sys
from typing import Any

from gunicorn.glogging import Logger

from app.config import load_settings
from app.watch import logs

_QUOTE = re.compile(r"(Invalid request from ip=\S*): .*", re.DOTALL)


class ServerLog(Logger):
    def setup(self, cfg: Any) -> None:
        """Send gunicorn's lines to the common handler."""
        self.cfg = cfg
        logs.configure(load_settings(os.environ))
        self.error_log.propagate = True
        # The debug level would show requested paths, and the beginnings of incomplete requests.
        self.error_log.setLevel(max(logging.root.level, logging.INFO))
        self._access_log_enabled = False  # app/web/front.py logs requests, by route

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a warning.

        gunicorn quotes a malformed header in its message. It is left out, because it may contain a token.
        """
        kind = sys.exc_info()[0]
        super().warning(_QUOTE.sub(rf"\1: {kind.__name__ if kind else ''}", str(msg)), *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a request that failed outside the application. The URI is left out."""
        if str(msg).startswith("Error handling request"):
            self.error("a request failed in the server", exc_info=True, extra={"is_private": True})
        else:
            super().exception(msg, *args, **kwargs)
