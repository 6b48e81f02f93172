"""docs/examples/frameworks: each program runs with the published packages, and each of its calls is one event. `make proof` only: it
installs them, beside openai 2, which two of them still need.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Dataset, Sandbox, running
from tests.paths import ROOT
from tests.proof import IS_PROOF
from tests.sdk.conftest import Base

FOLDER = ROOT / "docs/examples/frameworks"
PROGRAMS = sorted(FOLDER.glob("*.py"))

pytestmark = [
    pytest.mark.skipif(not IS_PROOF, reason="installs the frameworks: make proof"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("frameworks") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    requirements = [
        *FOLDER.joinpath("requirements.txt").read_text().split(),
        "phonenumberslite",
        "psycopg[binary,pool]",
    ]
    pip = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"pip cannot install the frameworks here: {installed.stderr.strip()[-200:]}")
    return venv / "bin/python"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running(Dataset()) as served:
        yield served


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.stem for program in PROGRAMS])
def test_each_call_is_one_event(program: Path, python: Path, sandbox: Sandbox, base: Base, tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR")},
        **sandbox.environment(),
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "sdk"),
        "METERING_DATABASE_URL": base.url,
        "METERING_PII_KEY": "a key for tests",
        "METERING_SPOOL_DIR": str(tmp_path / "spool"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }
    done = subprocess.run([python, program], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = base.rows(
        "select tenant_id, service, operation, feature, external_id is not null, units > 0 from raw.usage_events"
    )
    assert rows == [("acme", "openai", "chat_completion", "chat", True, True)] * 2
