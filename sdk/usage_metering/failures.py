"""What is not the product's fault nor a bug: each message is one line that names the thing and the remedy, and never a secret."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting is missing or cannot be used as it stands (a command's exit code 2)."""


class UsageError(Exception):
    """A command cannot be carried out as it was written (exit code 2)."""


class CommandFailed(Exception):
    """A command ran and did not succeed (exit code 1)."""
