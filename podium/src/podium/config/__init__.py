"""Settings: one table, read from flags, the environment, one TOML file and defaults. Values of secrets are in no text."""

from podium.config.kinds import duration_or_never_s, duration_s, size_bytes
from podium.config.load import FILE_VARIABLE, ConfigError, load_settings
from podium.config.reference import settings_reference
from podium.config.settings import NEEDED_APART, Setting, Settings, rows

__all__ = [
    "FILE_VARIABLE",
    "NEEDED_APART",
    "ConfigError",
    "Setting",
    "Settings",
    "duration_or_never_s",
    "duration_s",
    "load_settings",
    "rows",
    "settings_reference",
    "size_bytes",
]
