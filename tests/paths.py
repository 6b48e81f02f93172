"""Where the project is, for tests that start a process of their own."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_path(root: Path = ROOT) -> str:
    """Return the PYTHONPATH of a checkout: its rooms, and the SDK beside them."""
    return os.pathsep.join((str(root), str(root / "sdk")))
