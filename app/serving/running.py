"""The settings that this process runs with, and those that it forks."""

import logging
from collections.abc import Mapping

from app.config import ConfigError, Settings, load_settings

log = logging.getLogger(__name__)

_before: list[Settings] = []  # none or one


def settings_to_run_with(env: Mapping[str, str]) -> Settings:
    """Load the settings; where they became bad since this process or its parent did so, go on with those before.

    Whoever reloads a service means to keep it: a database that is half copied is no reason to end it.

    Raises: ConfigError where there are none before
    """
    try:
        _before[:] = [load_settings(env)]
    except ConfigError as problems:
        if not _before:
            raise
        log.error("the settings became bad, and those before stay in force: %s", problems)
    return _before[0]
