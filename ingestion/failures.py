"""What can go wrong on the way in; each message is one line that names the thing and the remedy, and never a secret.

IngestionError
├── DirectoryError            the tenant directory is wrong: names file and row
├── MonthArchived             the days asked for are in an archive, not in the database
└── ProviderError             a provider did not answer
    ├── PermanentProviderError    asking again is no use: credentials, rights, a request it refuses
    └── TransientProviderError    it was throttling, failing or away for longer than our retries
        └── UnusableResponse            it answered, but with nothing that can be read; its other lists may be fine
"""

from __future__ import annotations


class IngestionError(Exception):
    """Base of this room's errors."""


class DirectoryError(IngestionError):
    """The tenant directory cannot be loaded; nothing of it was."""


class MonthArchived(IngestionError):
    """Days of an archived month were asked for; nothing was read or changed."""


class ProviderError(IngestionError):
    """A provider did not answer a request."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PermanentProviderError(ProviderError):
    """Asking again would be answered in the same way."""


class TransientProviderError(ProviderError):
    """It may answer later; our retries are used up."""


class UnusableResponse(TransientProviderError):
    """A list contradicts itself or cannot be read: it is not an answer, and says nothing about the provider's other lists."""
