"""What a demo leaves for the commands that work upon it: which database it filled, and where its sandbox and pages are."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli import folders
from cli.errors import CommandFailed

# What another process must set to see the same world; the sandbox's own variables come on top.
KEPT = ("METERING_TENANT_DIRECTORY", "METERING_START_DATE", "METERING_AS_OF")


@dataclass(frozen=True)
class DemoState:
    """One demo: the last one that was built here."""

    database: str  # place and name, never the whole URL: that may hold a password
    days: int
    environment: dict[str, str] = field(default_factory=dict)
    sandbox_url: str | None = None
    api_url: str | None = None  # None: it does not serve
    last_day: str = ""
    code: str = ""  # digest of what it was built by: cli/standing_demo.py

    @property
    def is_running(self) -> bool:
        """Whether its sandbox answers."""
        return self.sandbox_url is not None and answers(f"{self.sandbox_url}/_sandbox")

    @property
    def served_at(self) -> str | None:
        """Where its pages answer; None: nowhere."""
        return self.api_url if self.api_url and answers(f"{self.api_url}/healthz") else None

    def save(self) -> None:
        path = state_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls) -> DemoState:
        """Return the last demo.

        Raises:
            CommandFailed: there was none.
        """
        try:
            return cls(**json.loads(state_file().read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            raise CommandFailed("there is no demo yet: run `make demo`, or `make demo ARGS=--once`") from None


def folder() -> Path:
    """Return the demo's folder: its tenant directory, its state, its spool."""
    return folders.local_folder() / "demo"


def state_file() -> Path:
    return folder() / "demo.json"


def location_of(database_url: str) -> str:
    """Return where a database is, without who connects to it."""
    return database_url.partition("://")[2].rpartition("@")[2].partition("?")[0]


def kept_environment(sandbox: dict[str, str]) -> dict[str, str]:
    """Return the variables that another process needs, those of the sandbox among them."""
    return {**{name: os.environ[name] for name in KEPT if os.environ.get(name)}, **sandbox}


def answers(url: str) -> bool:
    """Whether something answers there within a moment."""
    try:
        urllib.request.urlopen(url, timeout=3).close()
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True
