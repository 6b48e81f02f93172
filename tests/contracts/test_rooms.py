"""Rooms hold what they are called: import-linter checks who imports whom, this what a file is about."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.contracts.test_dependencies import imports

ROOT = Path(__file__).parents[2]


def test_every_file_of_orchestration_imports_dagster() -> None:
    files = [path for path in (ROOT / "orchestration").rglob("*.py") if path.name != "__init__.py"]
    assert files
    other = [str(path.relative_to(ROOT)) for path in files if "dagster" not in imports(ast.parse(path.read_text()))]
    assert not other, "without Dagster: builds/, costs/ or ingestion/ is the place"
