"""Exit codes and the one way an error leaves the command: one line on stderr."""

from __future__ import annotations

DONE, FAILED, WRONG_USAGE = 0, 1, 2


class UsageError(Exception):
    """The call cannot be carried out as it was written (exit 2)."""


class CommandFailed(Exception):
    """The command ran and did not succeed (exit 1)."""
