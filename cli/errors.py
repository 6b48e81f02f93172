"""Exit codes and the one way an error leaves the command: one line on stderr. `usage-metering`, the SDK's command, has the same."""

from __future__ import annotations

from usage_metering.failures import CommandFailed, UsageError

__all__ = ["DONE", "FAILED", "WRONG_USAGE", "CommandFailed", "UsageError"]

DONE, FAILED, WRONG_USAGE = 0, 1, 2
