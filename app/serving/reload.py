"""The settings of this process and of those that it forks, at start and at a reload."""

import logging
from collections.abc import Mapping

from app.config import ConfigError, Settings, load_settings

log = logging.getLogger(__name__)

_in_force: list[Settings] = []  # none or one


def load_or_keep_settings(env: Mapping[str, str]) -> Settings:
    """Load the settings. If they are bad, return those that this process or its parent loaded last.

    A reload must not end the service, for example because a database is only half copied.

    Raises:
        ConfigError: The settings are bad, and none were loaded before.
    """
    try:
        _in_force[:] = [load_settings(env)]
    except ConfigError as problems:
        if not _in_force:
            raise
        log.error("the settings became bad, and those before stay in force: %s", problems)
    return _in_force[0]
