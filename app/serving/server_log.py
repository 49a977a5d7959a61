"""gunicorn's own lines, in the form of all others and without what clients sent."""

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
        """Leave the lines to the handler of all others."""
        self.cfg = cfg
        logs.configure(load_settings(os.environ))
        self.error_log.propagate = True
        # Its details are the paths that were asked for, and how requests began that broke off.
        self.error_log.setLevel(max(logging.root.level, logging.INFO))
        self._access_log_enabled = False  # app/web/front.py tells of requests, by their routes

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """gunicorn quotes a header that it cannot read, and that may be a token with a blank in the wrong place."""
        kind = sys.exc_info()[0]
        super().warning(_QUOTE.sub(rf"\1: {kind.__name__ if kind else ''}", str(msg)), *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        """A request that failed where no application caught it is told without its URI."""
        if str(msg).startswith("Error handling request"):
            self.error("a request failed in the server", exc_info=True, extra={"is_private": True})
        else:
            super().exception(msg, *args, **kwargs)
