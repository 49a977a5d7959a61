"""The settings of this process and of its forks, at start and after a reload."""

import logging
from collections.abc import Mapping

from app.config import ConfigError, Settings, load_settings

log = logging.getLogger(__name__)

_in_force: list[Settings] = []  # empty, or one element


def load_or_keep_settings(env: Mapping[str, str]) -> Settings:
    """Load the settings. If they are bad, return the settings that this process or its parent loaded last.

    A reload with bad settings must not end the service. For example, a database may be only half copied.

    Raises:
        ConfigError: The settings are bad, and no settings were loaded before.
    """
    try:
        _in_force[:] = [load_settings(env)]
    except ConfigError as problems:
        if not _in_force:
            raise
        log.error("the settings became bad, and those before stay in force: %s", problems)
    return _in_force[0]
