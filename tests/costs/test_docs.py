"""docs/explain.md: its code recomputes docs/examples/explained_line.json, a line as the API answers it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from costs.rules.explain import Price, Quantities, formula_of, terms_of

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "explain.md").read_text(encoding="utf-8")
EXAMPLE = (DOCS / "examples" / "explained_line.json").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_example_is_recomputed_by_the_code_of_the_page() -> None:
    (code,) = blocks("python")
    line = json.loads(EXAMPLE)
    exec(compile(code, "docs/explain.md", "exec"), {"line": line})
    line["estimatedCostUsd"] = "0.1086076"
    with pytest.raises(AssertionError):
        exec(compile(code, "docs/explain.md", "exec"), {"line": line})


def test_the_formula_of_the_example_is_that_of_its_quantities() -> None:
    line = json.loads(EXAMPLE)
    prices = [
        Price(row["priceId"], row["component"], Decimal(row["unitPriceUsd"]), Decimal(row["per"]))
        for row in line["priceSet"]["prices"]
    ]
    used = Quantities(Decimal(line["unitCount"]), line["inputTokens"], line["cachedInputTokens"], line["outputTokens"])
    terms = terms_of(line["service"], used, prices)
    assert terms is not None
    assert formula_of(terms) == line["formula"]
