"""Marts of every provider, explained: 200 lines drawn at random are recomputed from what the API says of them; their FOCUS export is valid."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from cli.explain import days_between, explained, export_focus
from costs.rules.explain import problems, recompute
from tests.e2e.conftest import LAST
from tests.e2e.system import System
from tests.focus.validator import excused_rules, find_python, validate
from tests.proof import IS_PROOF

DRAWN = 200
# Columns of few words; of the others it is a row's kind whether they are empty. The validator looks at each rule for each row.
WORDS = (
    *(
        "ChargeCategory",
        "ChargeClass",
        "ConsumedUnit",
        "PricingCategory",
        "PricingUnit",
        "ServiceName",
        "SkuMeter",
        "SubAccountType",
    ),
    *("x_Component", "x_CostStatus", "x_Direction", "x_Evidence", "x_Operation"),
)
OF_EACH_KIND = 2
FIRST = LAST - timedelta(days=13)
SECRET = "a secret for tests that is long enough"


def test_lines_drawn_at_random_are_explained_to_the_digit(built_system: System) -> None:
    system = built_system
    lines = system.query(
        "select tenant_id, date::text, line_id, estimated_cost_usd from marts.usage_lines order by 1, 2, 3"
    )
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {mint('root_admin', None, timedelta(hours=1), SECRET)}"
        for tenant, day, line_id, cost in random.Random(20261121).sample(lines, DRAWN):
            answer = client.get(
                f"/api/admin/usage/{tenant}/explain", params={"date": day, "line": line_id, "records": 500}
            )
            (line,) = json.loads(answer.text, parse_float=Decimal)["lines"]
            assert problems(line, day) == [], (tenant, day, line)
            assert recompute(line) == cost


def test_the_command_line_explains_a_day(built_system: System) -> None:
    day = LAST - timedelta(days=5)
    lines, _ = explained("acme", day, None, None)
    assert lines
    for line in lines:
        assert len(line["records"]["items"]) == line["records"]["total"]
        assert problems(line, day.isoformat()) == []


def test_the_focus_export_has_all_costs_and_is_valid(built_system: System, tmp_path: Path) -> None:
    system, file = built_system, tmp_path / "focus.csv"
    export_focus(days_between(FIRST.isoformat(), LAST.isoformat()), None, file)
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    billed = sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))
    assert [(billed,)] == system.query(
        "select sum(coalesce(billed_cost_usd, estimated_cost_usd, 0)) from marts.usage_daily where date >= %s", FIRST
    )
    # It takes a minute; `make focus` has it read all of the demo's.
    if IS_PROOF and find_python() is not None:
        few = some_of_each_kind(rows)
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, rows[0])
            writer.writeheader()
            writer.writerows(few)
        assert validate(file).complaints(list(excused_rules())) == []


def some_of_each_kind(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    kinds: dict[tuple[object, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        kinds[tuple(value if name in WORDS else bool(value) for name, value in row.items())].append(row)
    return [row for alike in kinds.values() for row in alike[:OF_EACH_KIND]]
