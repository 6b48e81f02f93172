"""What Citus refuses, or answers with nothing, of SQL about a table that it has spread; read in the text, without Citus.

Of lines like the bad ones in tests/warehouse/test_distribution.py Citus 14 refused five. Settings of a transaction are silently without effect on
workers, and look-ups row by row are slow, or may be: these two are forbidden without having been seen to fail. What a schema shows by itself
(unique keys, identity, references, triggers) is looked for there, in the migrated database.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from warehouse.distribution import KEYS

SPREAD = rf'"?raw"?\."?(?:{"|".join(name.removeprefix("raw.") for name in KEYS)})"?(?!\w)'
# Qualifiers that are no alias of an outer query.
SCHEMAS = {"raw", "staging", "intermediate", "marts", "ops", "pg_catalog", "excluded"}


def reads_spread(text: str) -> bool:
    """Return whether the text reads a table that is spread."""
    return (
        re.search(rf"\b(?:from|join)\s+(?:only\s+)?(?:\"[^\"]+\"\.)?{SPREAD}", _plain(text), re.IGNORECASE) is not None
    )


def obstacles(text: str, volatile: Collection[str], *, in_one_call: bool = False) -> list[str]:
    """Return a line for each obstacle in SQL.

    Args:
        volatile: names of functions that are.
        in_one_call: whether the text reaches the server as one string, as a migration does.
    """
    plain = _plain(text)
    return [*_calls(plain, in_one_call), *_functions(plain), *_statements(plain, volatile), *_look_ups(plain)]


def _plain(text: str) -> str:
    """Return SQL without comments and what literals say."""
    return re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL))


def _calls(text: str, in_one_call: bool) -> Iterator[str]:
    """An index of a table that is spread comes to the workers as the whole string that it stands in."""
    statements = [statement for statement in text.split(";") if statement.strip()]
    index = re.compile(
        rf"\s*(?:create (?:unique )?index\b.*\son|drop index\b.*)\s+(?:only\s+)?{SPREAD}", re.IGNORECASE | re.DOTALL
    )
    if in_one_call and len(statements) > 1 and any(index.match(statement) for statement in statements):
        yield "an index of a table that is spread, and other statements in one call"


def _functions(text: str) -> Iterator[str]:
    """A setting of a transaction that a function makes does not reach workers: under policies every row would be hidden. A list of no
    columns is none of a result that the coordinator keeps for the rest of a statement.
    """
    for body in re.split(r"\bcreate (?:or replace )?function\b", text, flags=re.IGNORECASE):
        if reads_spread(body) and re.search(r"\bset_config\s*\([^;]*\btrue\s*\)", body, re.IGNORECASE):
            yield "set_config(…, true) beside a table that is spread"
        if reads_spread(body) and re.search(r"\bselect\s+from\b", body, re.IGNORECASE):
            yield "select without columns beside a table that is spread"


def _statements(text: str, volatile: Collection[str]) -> Iterator[str]:
    for statement in text.split(";"):
        changed = re.search(
            rf"\b(?:delete\s+from|update)\s+(?:only\s+)?{SPREAD}.*?\bwhere\b(.*)", statement, re.IGNORECASE | re.DOTALL
        )
        for name in re.findall(r"(\w+)\s*\(", changed[1]) if changed else ():
            if name.lower() in volatile:
                yield f"a volatile function in the where of a table that is spread: {name}"
        if re.search(rf"\bcreate\s+policy\b.*?\bon\s+{SPREAD}.*\(\s*select\b", statement, re.IGNORECASE | re.DOTALL):
            yield "a policy with a subquery on a table that is spread"


def _look_ups(text: str) -> Iterator[str]:
    """What is asked again for each row of an outer query."""
    for before, inner in _subqueries(text):
        if not reads_spread(inner):
            continue
        named = {
            name.lower() for name in re.findall(r"\b(?:from|join|as|,)\s+(?:[\w\"]+\.)*\"?(\w+)", inner, re.IGNORECASE)
        }
        named |= {name.lower() for name in re.findall(rf"{SPREAD}\s+(\w+)", inner, re.IGNORECASE)}
        outer = (
            {name.lower() for name in re.findall(r"(?<![\w.\"])([a-z_]\w*)\.\w+", inner, re.IGNORECASE)}
            - named
            - SCHEMAS
        )
        if re.search(r"\blateral\s*$", before, re.IGNORECASE):
            yield "a lateral look-up in a table that is spread"
        elif outer:
            yield f"a subquery over a table that is spread asks for {', '.join(sorted(outer))}"


def _subqueries(text: str) -> Iterator[tuple[str, str]]:
    """Yield each select in brackets, with what stands before it."""
    opened: list[int] = []
    for place, letter in enumerate(text):
        if letter == "(":
            opened.append(place)
        elif letter == ")" and opened:
            start = opened.pop()
            inner = text[start + 1 : place]
            if re.match(r"\s*(?:select|with)\b", inner, re.IGNORECASE):
                yield text[:start], inner
