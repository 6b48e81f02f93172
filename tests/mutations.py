"""How much the suite sees: deliberate faults in the rules, each with the narrow tests that must fail because of it.

Not a test: run by hand (`make mutations`, or `make mutations ARGS="cap rls"` for some rules). Each fault is made in a copy of the
repository, and its tests run on the copy; a fault that none of them sees is a hole. One line per fault, and 1 as exit code where any
survived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT, python_path

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", "build", "target", "logs", "__pycache__", "*.egg-info")

MACROS, MODELS = "dbt_project/macros", "dbt_project/models"
OBJECTS = "warehouse/objects"
UNIT = "tests/dbt/test_build.py::test_unit_tests_pass"
WINDOWS = "tests/dbt/test_windows.py"
GUARD = "tests/warehouse/test_guard.py"
LIVE = "tests/dbt/test_live.py"
POLICIES = "tests/dbt/test_marts.py"
ISOLATION = "tests/api/test_isolation.py"


@dataclass(frozen=True)
class Fault:
    """``old``, which stands in ``file`` once (or ``count`` times), becomes ``new``; ``tests`` are pytest's arguments."""

    rule: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    count: int = 1


FAULTS = (
    # --- price
    Fault("price", "a GB-month has 31 days", f"{MACROS}/meters.sql", '"price_days": "30"', '"price_days": "31"', ("tests/dbt/test_r2.py",)),
    Fault("price", "a price holds on the day it ends", f"{MACROS}/pricing.sql", "{{ price }}.effective_to > {{ needed }}.usage_date", "{{ price }}.effective_to >= {{ needed }}.usage_date", (UNIT,)),
    Fault("price", "a price begins a day late", f"{MACROS}/pricing.sql", "{{ price }}.effective_from <= {{ needed }}.usage_date", "{{ price }}.effective_from < {{ needed }}.usage_date", (UNIT,)),
    Fault("price", "the shortest model name wins", f"{MACROS}/pricing.sql", "length(candidate.model) desc", "length(candidate.model)", (UNIT,)),
    Fault("price", "a plan's price does not win", f"{MACROS}/pricing.sql", "candidate.plan <> '' desc,", "", (UNIT,)),
    Fault("price", "nano is a snapshot of its model", f"{MACROS}/pricing.sql", "-latest|-preview.*)$", "-latest|-preview.*|-nano)$", (UNIT,)),
    Fault("price", "output tokens cost as input does", f"{MACROS}/pricing.sql", "price_of('output_tokens', 'output_price', 'output_per')", "price_of('output_tokens', 'input_price', 'input_per')", (UNIT,)),
    Fault("price", "cached input costs as input does", f"{MACROS}/pricing.sql", "price_of(part ~ '_tokens', part ~ '_price', part ~ '_per')", "price_of(part ~ '_tokens', 'input_price', 'input_per')", (UNIT,)),
    Fault("price", "a missing price is 0 an hour early", f"{MACROS}/attribution.sql", "> interval '72 hours'", "> interval '71 hours'", (f"{WINDOWS}::test_a_price_that_does_not_come_is_0_after_72_hours",)),
    Fault("price", "two prices of one day are no fault", "costs/rules/price_book.py", "if price.begins < other.ends:", "if False:", ("tests/costs/test_price_book.py",)),
    Fault("price", "a number's month has 30 days, too", f"{MACROS}/meters.sql", '"price_days": "month"', '"price_days": "30"', (UNIT,)),
    # --- window
    Fault("window", "a build replaces the day after it", f"{MACROS}/window.sql", "{{ column }} >= {{ window_start() }} and {{ column }} < {{ window_end() }}", "{{ column }} >= {{ window_start() }} and {{ column }} <= {{ window_end() }}", (WINDOWS, "-k", "replaces_its_days or order_nor_split")),
    Fault("window", "a build leaves its first day out", f"{MACROS}/window.sql", "{{ column }} >= {{ window_start() }} and", "{{ column }} > {{ window_start() }} and", (WINDOWS, "-k", "replaces_its_days or order_nor_split")),
    Fault("window", "the last day is left out", "ingestion/windows.py", "return cls(first, last + timedelta(days=1))", "return cls(first, max(last, first + timedelta(days=1)))", ("tests/ingestion/test_windows.py",)),
    Fault("window", "a window holds its end", "ingestion/windows.py", "self.start <= day < self.end", "self.start <= day <= self.end", ("tests/ingestion/test_windows.py",)),
    # --- attribution
    Fault("attribution", "an owner keeps the day it ends", f"{MACROS}/window.sql", "{{ version }}.valid_to > {{ day }}", "{{ version }}.valid_to >= {{ day }}", (UNIT,)),
    Fault("attribution", "an owner begins a day late", f"{MACROS}/window.sql", "{{ version }}.valid_from <= {{ day }}", "{{ version }}.valid_from < {{ day }}", (UNIT,)),
    Fault("attribution", "a trunk's calls are outbound", f"{MACROS}/attribution.sql", "in ('inbound', 'trunking-originating')", "in ('inbound')", (UNIT,)),
    Fault("attribution", "a key's tenant goes before its project's", f"{MODELS}/intermediate/openai/int_openai_usage.sql", "coalesce(project.tenant_id, api_key.tenant_id", "coalesce(api_key.tenant_id, project.tenant_id", (UNIT,)),
    # --- cap
    Fault("cap", "the last unit is over the cap", f"{OBJECTS}/limits.sql", "when p_used > p_cap then", "when p_used >= p_cap then", (UNIT,)),
    Fault("cap", "the threshold itself warns not", f"{OBJECTS}/limits.sql", "p_percent_used >= p_warning_threshold_pct", "p_percent_used > p_warning_threshold_pct", (UNIT,)),
    Fault("cap", "a tenant's own cap of none is the plan's", f"{MODELS}/intermediate/int_tenant_month_limits.sql", "case when own_limits.tenant_id is not null then own_limits.monthly_cap else plan_limits.monthly_cap end", "coalesce(own_limits.monthly_cap, plan_limits.monthly_cap)", (UNIT,)),
    Fault("cap", "the guard lets one more through", f"{OBJECTS}/access.sql", "measured.requested <= measured.cap as fits", "measured.requested <= measured.cap + 1 as fits", (GUARD,)),
    Fault("cap", "the guard forgets what is reserved", f"{OBJECTS}/access.sql", "measured.used + measured.reserved + measured.requested <=", "measured.used + measured.requested <=", (GUARD,)),
    Fault("cap", "a reservation holds its room after its end", f"{OBJECTS}/access.sql", "and (provisional.expires_at is null or provisional.expires_at > clock_timestamp())", "", (GUARD,)),
    Fault("cap", "what is live is counted in any unit", "dbt_project/functions/usage_as_built.sql", "case when {{ is_channel_unit() }} then unit_count else 0 end", "unit_count", (LIVE,)),
    Fault("cap", "what is live is priced without its plan", "dbt_project/functions/usage_as_built.sql", "coalesce(versions.plan, '') as plan", "'' as plan", (LIVE,)),
    # --- settlement
    Fault("settlement", "a day is final a day early", f"{MACROS}/settlement.sql", "({{ day }} >= {{ as_of_date() }} - {{ lookback_days() }})", "({{ day }} > {{ as_of_date() }} - {{ lookback_days() }})", (UNIT,)),
    Fault("settlement", "images are among a channel's tokens", f"{MACROS}/settlement.sql", "ops.is_channel_unit(channel, unit)", "true", (UNIT,)),
    Fault("settlement", "the latest event speaks for all", f"{MACROS}/settlement.sql", "order by occurred_at, event_key)", "order by occurred_at desc, event_key)", (UNIT,)),
    Fault("settlement", "two percent are no drift", f"{MACROS}/settlement.sql", "1 if percent is none else percent", "2 if percent is none else 2 * percent", (UNIT,)),
    Fault("settlement", "an open day's sum takes back what was tracked", f"{MODELS}/intermediate/int_settled_aggregates.sql", "greatest(provider_unit_count - tracked_unit_count, 0)", "provider_unit_count - tracked_unit_count", (UNIT,)),
    Fault("settlement", "a completed call of no minutes is a use", f"{MODELS}/intermediate/int_provider_record_keys.sql", "{{ is_unused('status', 'voice') }} or (status = 'completed' and duration_seconds = 0)", "{{ is_unused('status', 'voice') }}", (UNIT,)),
    # --- row-level security
    Fault("rls", "every row is one's own", f"{OBJECTS}/row_level_security.sql", "own := $c$tenant_id = (select", "own := $c$true or tenant_id = (select", (POLICIES, "-k", "own_rows or without_a_tenant")),
    Fault("rls", "any role sees all", f"{OBJECTS}/row_level_security.sql", "true) = 'root_admin')$c$", "true) <> 'root_admin')$c$", (POLICIES, "-k", "own_rows or without_a_tenant")),
    Fault("rls", "a tenant sees all forecasts", f"{OBJECTS}/forecasts.sql", "tenant_id = (select current_setting('metering.tenant_id', true))", "true", ("tests/api/forecast", ISOLATION)),
    Fault("rls", "a tenant sees all blocked actions", f"{OBJECTS}/access.sql", "access_decisions.tenant_id = (select current_setting('metering.tenant_id', true))", "true", ("tests/api", "-k", "blocked")),
    Fault("rls", "a tenant names another in the query", "api/auth/access.py", "tenant_id not in (None, caller.tenant_id)", "False", (ISOLATION, "tests/api/auth")),
    Fault("rls", "a tenant's admin is the owner", "api/auth/access.py", 'if caller.role != "root_admin":', "if False:", (ISOLATION, "tests/api/auth")),
    Fault("rls", "a product's token speaks for every tenant", "collector/auth.py", "return self.tenants is None or tenant_id in self.tenants", "return True", ("tests/collector",)),
)  # fmt: skip


def made(fault: Fault, folder: Path) -> str:
    """Make the fault in the copy; return the text that was there.

    Raises:
        SystemExit: what it changes is no longer there: the table above must follow the code.
    """
    path = folder / fault.file
    text = path.read_text()
    if text.count(fault.old) != fault.count:
        raise SystemExit(f"{fault.rule}, {fault.what}: {fault.file} has {text.count(fault.old)} times: {fault.old}")
    path.write_text(text.replace(fault.old, fault.new))
    return text


def is_caught(fault: Fault, folder: Path) -> bool:
    """Whether one of the fault's tests fails on the copy.

    Raises:
        SystemExit: the tests did not run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *fault.tests]
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": python_path(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 1):
        raise SystemExit(f"{fault.rule}, {fault.what}: pytest ended with {ran.returncode}\n{ran.stdout[-2000:]}")
    return ran.returncode == 1


def main(rules: Sequence[str]) -> int:
    """Run the faults of ``rules``, or all; print what became of each."""
    chosen = [fault for fault in FAULTS if not rules or fault.rule in rules]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="metering-mutations-") as parent:
        folder = Path(parent) / "repository"
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
        for fault in chosen:
            began = time.monotonic()
            text = made(fault, folder)
            try:
                caught = is_caught(fault, folder)
            finally:
                (folder / fault.file).write_text(text)
            survived += not caught
            state = "caught" if caught else "SURVIVED"
            print(
                f"{state:8} {time.monotonic() - began:4.0f} s  {fault.rule}: {fault.what} ({' '.join(fault.tests)})",
                flush=True,
            )
    print(f"{len(chosen) - survived} of {len(chosen)} faults are seen")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
