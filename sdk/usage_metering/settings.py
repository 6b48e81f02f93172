"""What the environment says to the SDK: which database, which spool folder, what to do when neither answers.

Read without a settings library: this runs inside other people's products, at import speed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from usage_metering.failures import ConfigError
from usage_metering.taxonomy import CHANNELS

ROLE = "metering_tracker"
TRACKER_VARIABLE = "METERING_TRACKER_DATABASE_URL"
OWNER_VARIABLE = "METERING_DATABASE_URL"
GUARD_TIMEOUT_VARIABLE = "METERING_GUARD_TIMEOUT_MS"
GUARD_TIMEOUT_MS = 250
LONGEST_GUARD_TIMEOUT_MS = 60_000
LONGEST_WAIT = 86_400.0
"""Seconds; of what a tracker waits for."""

FailMode = Literal["allow", "block"]


def tracker_url(explicit: str | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL under which events are brought and caps asked for; None where no database is named.

    METERING_TRACKER_DATABASE_URL is used as it is. ``explicit`` and METERING_DATABASE_URL may be the owner's: their
    sessions start in the role metering_tracker, which may insert events and ask, and nothing else.

    Raises:
        ConfigError: what is named is not a PostgreSQL URL (the message has no part of it).
    """
    variable, url = "database_url", explicit
    if not url:
        variable, url = TRACKER_VARIABLE, environ.get(TRACKER_VARIABLE, "").strip()
        if url:
            return _checked(url, variable)
    if not url:
        variable, url = OWNER_VARIABLE, environ.get(OWNER_VARIABLE, "").strip()
    return _in_role(_checked(url, variable)) if url else None


def seconds(name: str, value: object, longest: float) -> float:
    """Return a number of seconds that an argument says.

    Raises:
        ValueError: it is not a number above 0 and up to ``longest``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is {type(value).__name__}, not a number of seconds")
    if not 0 < value <= longest:
        raise ValueError(f"{name} is not between 0 and {longest:.0f} seconds")
    return float(value)


def guard_timeout(environ: Mapping[str, str] = os.environ) -> float:
    """Return within how many seconds the guard answers: METERING_GUARD_TIMEOUT_MS, else a quarter of one.

    Raises:
        ConfigError: it is not a whole number of milliseconds from 1 to 60000.
    """
    text = environ.get(GUARD_TIMEOUT_VARIABLE, "").strip() or str(GUARD_TIMEOUT_MS)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LONGEST_GUARD_TIMEOUT_MS):
        raise ConfigError(
            f"{GUARD_TIMEOUT_VARIABLE} takes a whole number of milliseconds from 1 to {LONGEST_GUARD_TIMEOUT_MS}"
        )
    return int(text) / 1000


def _checked(url: str, variable: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{variable} is not a PostgreSQL URL: write postgresql://user:password@host:5432/database")
    return url


def _in_role(url: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = query.get("options", "")
    if parts.username == ROLE or "role=" in options:
        return url
    query["options"] = f"{options} -crole={ROLE}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def spool_folder(url: str | None, explicit: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder where events wait: ``explicit``, else METERING_SPOOL_DIR, else one in the user's state folder.

    The default is ``$XDG_STATE_HOME/usage-metering/spool/<database>`` (``~/.local/state/…``), the last part a hash of
    the database's host, port and name: whoever finds a dead process's events there knows where they belong. It does
    not depend on the working directory, so that the next process finds what this one left. A folder that is named is
    for the events of one database; it must be on a local disk that outlives the process (in a container: a volume).
    """
    folder = explicit or environ.get("METERING_SPOOL_DIR", "").strip()
    if folder:
        return Path(folder).expanduser()
    state = environ.get("XDG_STATE_HOME", "").strip() or "~/.local/state"
    return Path(state).expanduser() / "usage-metering" / "spool" / _database_id(url)


def _database_id(url: str | None) -> str:
    if url is None:
        return "no-database"
    parts = urlsplit(url)
    address = f"{parts.hostname or ''}:{parts.port or 5432}{parts.path}"
    return hashlib.sha256(address.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class FailModes:
    """What the guard answers per channel when the database cannot be asked."""

    default: FailMode = "allow"
    by_channel: Mapping[str, FailMode] = field(default_factory=dict)

    def of(self, channel: str) -> FailMode:
        """Return the mode of ``channel``."""
        return self.by_channel.get(channel, self.default)

    @classmethod
    def parse(cls, text: str) -> FailModes:
        """Read METERING_GUARD_FAIL_MODE: ``allow``, ``block``, or a list such as ``block,sms=allow,ai=block``.

        Raises:
            ConfigError: an unknown channel or mode.
        """
        default: FailMode = "allow"
        by_channel: dict[str, FailMode] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            channel, _, mode = part.rpartition("=")
            channel, mode = channel.strip(), mode.strip()
            if mode not in ("allow", "block") or (channel and channel not in CHANNELS) or part.startswith("="):
                raise ConfigError(
                    f"METERING_GUARD_FAIL_MODE takes allow, block, or channel=mode pairs (sms=block,ai=allow), not {part}"
                )
            if channel:
                by_channel[channel] = mode  # type: ignore[assignment]
            else:
                default = mode  # type: ignore[assignment]
        return cls(default, by_channel)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> FailModes:
        """Read the variable; unset is ``allow``."""
        return cls.parse(environ.get("METERING_GUARD_FAIL_MODE", ""))
