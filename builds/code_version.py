"""Which code computes the figures: a digest of the dbt project's models and macros."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from builds.dbt_manifest import project_folder

FOLDERS = ("models", "macros")


def code_version() -> str:
    """Return the first 16 hexadecimal digits of a sha256 over every SQL file that makes a figure.

    Seeds are data and have versions of their own; a comment in a model makes another version, which costs nothing: a version
    is a name, and only a figure that changes is written down under it.
    """
    return _digest(project_folder())


@functools.cache
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for name in FOLDERS for path in (folder / name).rglob("*.sql")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
