"""Where the repository is, and what the commands keep in it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def local_folder() -> Path:
    """Return `.local/` of the repository: the embedded database, generated secrets, DAGSTER_HOME."""
    return ROOT / ".local"
