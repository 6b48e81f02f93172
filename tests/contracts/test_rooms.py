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


def test_no_room_is_more_than_a_quarter_of_the_code() -> None:
    """Of what a reader reads: Python and SQL that runs, not tests, benches and generated folders."""
    sizes: dict[str, int] = {}
    for pattern in ("*.py", "*.sql"):
        for path in ROOT.rglob(pattern):
            where = path.relative_to(ROOT).parts
            if (
                not {"tests", "bench", "findings", "build", "docs"} & set(where)
                and not where[0].startswith(".")
                and "target" not in where
            ):
                sizes[where[0]] = sizes.get(where[0], 0) + len(path.read_text().splitlines())
    whole = sum(sizes.values())
    assert {room: lines for room, lines in sizes.items() if lines > whole / 4} == {}
