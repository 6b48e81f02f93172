"""The page in `docs/examples/react`: a client generated from this API's document compiles, and what the document does not have does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.main import create_app
from tests.api.conftest import make_settings
from tests.paths import ROOT

EXAMPLE = ROOT / "docs/examples/react"
NPM = shutil.which("npm")
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b")


def run(folder: Path, *command: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(NPM), *command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.skipif(not NPM, reason="needs Node.js with npm")
@pytest.mark.timeout(300)
def test_it_compiles_against_the_document(tmp_path: Path) -> None:
    folder = tmp_path / "react"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "*.d.ts"))
    installed = run(folder, "ci", "--prefer-offline", "--no-audit", "--no-fund")
    if UNREACHABLE.search(installed.stderr):
        pytest.skip(f"npm reaches no registry here: {installed.stderr.strip()[-200:]}")
    assert installed.returncode == 0, installed.stderr
    document = create_app(make_settings("postgresql://x@127.0.0.1:1/x")).openapi()
    (folder / "openapi.json").write_text(json.dumps(document))

    generated = run(folder, "run", "types", METERING_OPENAPI="openapi.json")
    assert generated.returncode == 0, generated.stderr
    types = (folder / "src/usage-api.d.ts").read_text()
    assert "getBillingUsageSummary: {" in types
    built = run(folder, "run", "build", VITE_METERING_URL="https://usage.example.com")
    assert built.returncode == 0, built.stdout + built.stderr
    scripts = "".join(path.read_text() for path in (folder / "dist/assets").glob("*.js"))
    assert "https://usage.example.com" in scripts

    page = folder / "src/main.tsx"
    for good, bad in (("groupBy: 'feature'", "groupBy: 7"), ("'week'", "'decade'"), ("row.isFinal", "row.final")):
        text = page.read_text()
        assert text.count(good) == 1
        page.write_text(text.replace(good, bad))
        refused = run(folder, "exec", "--", "tsc", "--noEmit")
        assert refused.returncode != 0, bad
        page.write_text(text)
