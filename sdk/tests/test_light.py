"""An import loads what it needs and nothing else: not a client that a product may have, and for the context not even a driver."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

SDK = Path(__file__).parents[1]
OWN = {"usage_metering"}
TRACKING = {"phonenumbers", "psycopg", "psycopg_binary", "psycopg_pool", "typing_extensions"}


def loaded(code: str) -> set[str]:
    """Return the installed packages that a process has loaded after ``code``."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"]
    environ = {**os.environ, "PYTHONPATH": str(SDK)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split()) & (packages_distributions().keys() | OWN)


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("import usage_metering", OWN),
        ("from usage_metering import UsageEvent, set_usage_context, usage_context", OWN),
        ("from usage_metering import *", OWN | TRACKING),
        ("import usage_metering.command", OWN | TRACKING),
    ],
)
def test_an_import_loads_nothing_that_it_does_not_need(code: str, most: set[str]) -> None:
    assert OWN <= loaded(code) - loaded("pass") <= most
