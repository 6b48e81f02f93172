"""What a setting that cannot be used raises: one line that names it and the remedy, and never a secret."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting is missing or cannot be used as it stands."""
