"""What to do when an asset is red: the text of docs/runbooks, at the asset itself.

The UI has no other place for it that works without a network: a link to a file is dead in a browser. So the metadata has the text,
and the path for those who want to change it.
"""

from __future__ import annotations

import functools
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg

ROOT = Path(__file__).parents[2]


class Runbook(Enum):
    """The runbooks that assets point to, by the name of their file."""

    PROVIDERS = "providers"
    DIRECTORY = "tenant-directory"
    MARTS = "marts"
    ALERTS = "alerts"

    @property
    def path(self) -> str:
        """Where it stands in the repository."""
        return f"docs/runbooks/{self.value}.md"


def runbook_metadata(runbook: Runbook) -> dict[str, Any]:
    """Return the metadata that shows a runbook; where the repository's docs are not installed, its path alone."""
    text = _text(runbook)
    shown = {"runbook_path": dg.MetadataValue.path(runbook.path)}
    return {"runbook": dg.MetadataValue.md(text), **shown} if text else shown


def with_runbook(description: str, runbook: Runbook) -> str:
    """Return the description with where to read on."""
    return f"{description.rstrip()}\n\nWhen something is wrong: metadata `runbook` of this asset ({runbook.path})."


@functools.cache
def _text(runbook: Runbook) -> str:
    path = ROOT / runbook.path
    return path.read_text() if path.exists() else ""
