"""docs/examples/github-actions/dbt.yml: its commands exist, and (`make proof`) run in order on a database of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import typer.main
import yaml
from dbt.cli.main import cli as dbt

from cli.main import app
from tests.proof import LONG
from warehouse.migrate import MINIMUM_VERSION

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs/examples/github-actions/dbt.yml").read_text())
JOB = WORKFLOW["jobs"]["dbt"]
# Of the steps that run commands; the first installs what is installed here.
STEPS = [(step["name"], step["run"]) for step in JOB["steps"] if "run" in step and step["name"] != "Install"]
PORT = "8020"


def test_it_runs_for_each_change_on_a_server_that_is_new_enough() -> None:
    # YAML reads `on` as true.
    assert {"pull_request", "push"} == set(WORKFLOW[True])
    image = JOB["services"]["postgres"]["image"]
    assert re.fullmatch(r"postgres:\d+", image)
    assert int(image.partition(":")[2]) >= MINIMUM_VERSION
    user = JOB["services"]["postgres"]["env"]
    assert JOB["env"]["METERING_DATABASE_URL"] == (
        f"postgresql://{user['POSTGRES_USER']}:{user['POSTGRES_PASSWORD']}@localhost:5432/{user['POSTGRES_DB']}"
    )


def test_its_commands_and_their_options_exist() -> None:
    known = {"metering": typer.main.get_command(app), "dbt": dbt}
    found = [
        words.split()
        for _, script in STEPS
        for words in re.findall(r"^\s*((?:metering|dbt) .*?)\s*&?$", script, re.MULTILINE)
    ]
    assert {name for name, *_ in found} == set(known)
    for name, *words in found:
        command: Any = known[name]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not getattr(command, "commands", {}), (name, words)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@LONG
def test_its_steps_succeed_one_after_the_other(empty_database: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **{name: value.replace("dbt_project", str(ROOT / "dbt_project")) for name, value in JOB["env"].items()},
        "METERING_DATABASE_URL": empty_database,
        "METERING_TENANT_DIRECTORY": str(tmp_path / "directory"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    port = str(free_port())
    for name, script in STEPS:
        here = script.replace("metering sandbox", f"metering sandbox --port {port}").replace(PORT, port)
        step = subprocess.Popen(
            ["bash", "-e", "-c", here],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = step.communicate(timeout=1_200)
        finally:
            # Whatever a step leaves running, as the machine of a job is left.
            with suppress(ProcessLookupError):
                os.killpg(step.pid, signal.SIGKILL)
        assert (name, step.returncode, output[-2_000:] if step.returncode else "") == (name, 0, "")
    page = (tmp_path / "target" / "static_index.html").read_text()
    assert "usage_daily" in page
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select count(*) > 0 from marts.usage_daily").fetchone() == (True,)
