"""The SDK comes alone: importing it loads none of the pipeline's libraries, and none of the wrapped ones."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.paths import python_path

HEAVY = (
    "adbc_driver_postgresql",
    "dagster",
    "dbt",
    "dlt",
    "fastapi",
    "openai",
    "pyarrow",
    "sendgrid",
    "sqlalchemy",
    "twilio",
)
CODE = "import sys, usage_metering; print(*sorted({name.split('.')[0] for name in sys.modules}))"


def test_importing_loads_nothing_heavy() -> None:
    environ = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run([sys.executable, "-c", CODE], env=environ, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())
