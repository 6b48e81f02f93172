"""The SDK's wheel in an environment of its own, beside a product whose packages are called like rooms of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.paths import ROOT
from tests.sdk.conftest import Base

SDK = ROOT / "sdk"
REQUIREMENTS = [*map(Requirement, tomllib.loads((SDK / "pyproject.toml").read_text())["project"]["dependencies"])]
ROOMS = ("api", "cli", "collector", "costs", "ingestion", "orchestration", "sandbox", "tests", "warehouse")
BROUGHT = {"phonenumberslite", "psycopg", "psycopg-binary", "psycopg-pool", "typing-extensions"}
LARGEST_WHEEL = 150_000
PRODUCT = """
import importlib, json, sys
from usage_metering import UsageGuard, UsageTracker, usage_context

with UsageTracker() as tracker, usage_context(tenant_id="acme", feature="orders"):
    key = tracker.record(service="internal", idempotency_key="order-1")
access = UsageGuard().check("acme", "sms", units=1)
own = {name: importlib.import_module(name).OWNER for name in sys.argv[1:]}
print(json.dumps({"key": key, "allowed": access.allowed, "cap": int(access.cap), "own": own}))
"""


@dataclass(frozen=True)
class Host:
    """A product's folder, and an environment with what the wheel brings and nothing else."""

    folder: Path
    binaries: Path
    wheel: Path

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "METERING_", "VIRTUAL_"))
        }
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.folder,
            env=clean | environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def brought(requirement: Requirement) -> set[str]:
    """Return the names of what a requirement installs here, what those require included."""
    extras = {"", *requirement.extras}
    needed = map(Requirement, distribution(requirement.name).requires or ())
    held = [
        one for one in needed if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)
    ]
    return {requirement.name}.union(*map(brought, held))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = tmp_path_factory.mktemp("host")
    source = shutil.copytree(
        SDK, folder / "sdk", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-index", "--no-deps"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")

    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [*pip, "--python", str(python), "install", *offline, "--no-compile", str(wheel)], check=True, timeout=120
    )
    (site,) = environment.glob("lib/python*/site-packages")
    for name in set().union(*map(brought, REQUIREMENTS)):
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))

    product = folder / "product"
    for room in ROOMS:
        (product / room).mkdir(parents=True)
        (product / room / "__init__.py").write_text('OWNER = "the product"\n')
    return Host(product, environment / "bin", wheel)


def test_the_wheel_puts_one_name_into_an_environment(host: Host) -> None:
    with zipfile.ZipFile(host.wheel) as wheel:
        names = wheel.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"usage_metering"}
    assert "usage_metering/py.typed" in names
    assert host.wheel.stat().st_size < LARGEST_WHEEL


def test_it_brings_little() -> None:
    assert set().union(*map(brought, REQUIREMENTS)) <= BROUGHT


def test_a_product_records_asks_and_has_its_own_packages(host: Host, base: Base, tmp_path: Path) -> None:
    base.make_marts(cap=10)
    (host.folder / "main.py").write_text(PRODUCT)
    settings = {
        "METERING_DATABASE_URL": base.url,
        "METERING_PII_KEY": "key",
        "METERING_SPOOL_DIR": str(tmp_path / "spool"),
        "METERING_AS_OF": "2026-11-20",
        "METERING_GUARD_TIMEOUT_MS": "20000",
    }
    done = host.run("python", "main.py", *ROOMS, **settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "key": "internal:acme:order-1",
        "allowed": True,
        "cap": 10,
        "own": dict.fromkeys(ROOMS, "the product"),
    }
    assert base.rows("select tenant_id, feature from raw.usage_events") == [("acme", "orders")]
    status = host.run("usage-metering", "events", "status", **settings)
    assert "nothing waits" in status.stdout, status.stderr


def test_the_sandbox_says_what_to_install(host: Host) -> None:
    done = host.run("usage-metering", "sandbox")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        'usage-metering: the sandbox comes with the application: pip install "usage-metering[pipeline]", then metering sandbox'
    ]
