"""dbt puts ephemeral models into a statement's leading `with`, and parses all of the statement to find it: a fifth of its own work.

`quick_ctes` finds it by how our models begin; any other statement is dbt's to parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

# White space and comments of one line, then `with`, but not `with recursive`.
LEADING_WITH = re.compile(r"(?:\s|--[^\n]*\n)*with\s+(?!\s|recursive\b)", re.IGNORECASE)


def injector(of_dbt: Any) -> Any:
    """Return what gives the same as ``of_dbt``, dbt's `inject_ctes_into_sql`, and asks it where the statement begins otherwise."""

    def inject_ctes(statement: str, ctes: Sequence[Any]) -> str:
        match = LEADING_WITH.match(statement)
        if match is None or not ctes:
            return str(of_dbt(statement, list(ctes)))
        injected = ", ".join(cte.sql for cte in ctes)
        return f"{statement[: match.end()]}{injected}, {statement[match.end() :]}"

    return inject_ctes


@contextmanager
def quick_ctes() -> Iterator[None]:
    """Let the dbt commands of this block put ephemeral models in without a parser."""
    from dbt import compilation

    with patch.object(compilation, "inject_ctes_into_sql", injector(compilation.inject_ctes_into_sql)):
        yield
