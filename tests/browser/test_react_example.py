"""The page in `docs/examples/react`: a client generated from this API's document compiles, what the document does not have does not, and
the built page shows a tenant's month from another origin.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from api.main import create_app
from tests.api.conftest import bearer, make_settings
from tests.browser.conftest import PHONE, Visit, check_accessible, check_fits, screenshot, served
from tests.paths import ROOT

EXAMPLE = ROOT / "docs/examples/react"
NPM = shutil.which("npm")
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b")
# What the document does not have, instead of what it has.
WRONG = (("groupBy: 'feature'", "groupBy: 7"), ("'week'", "'decade'"), ("row.isFinal", "row.final"))

pytestmark = [pytest.mark.skipif(not NPM, reason="needs Node.js with npm"), pytest.mark.timeout(300)]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served_files(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(15)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages and the types of this API."""
    folder = tmp_path_factory.mktemp("example") / "react"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "*.d.ts"))
    installed = run(folder, "ci", "--prefer-offline", "--no-audit", "--no-fund")
    if UNREACHABLE.search(installed.stderr):
        pytest.skip(f"npm reaches no registry here: {installed.stderr.strip()[-200:]}")
    assert installed.returncode == 0, installed.stderr
    document = create_app(make_settings("postgresql://x@127.0.0.1:1/x")).openapi()
    (folder / "openapi.json").write_text(json.dumps(document))
    generated = run(folder, "run", "types", METERING_OPENAPI="openapi.json")
    assert generated.returncode == 0, generated.stderr
    return folder


@pytest.fixture(scope="module")
def addresses(folder: Path, world: str) -> Iterator[tuple[str, str]]:
    """Addresses of the built page, and of the API that it reads and that lets it."""
    with served_files(folder / "dist") as page, served(world, METERING_CORS_ORIGINS=page) as api:
        built = run(folder, "run", "build", VITE_METERING_URL=api)
        assert built.returncode == 0, built.stdout + built.stderr
        yield page, api


def test_it_compiles_against_the_document(folder: Path) -> None:
    assert "getBillingUsageSummary: {" in (folder / "src/usage-api.d.ts").read_text()
    text = (folder / "src/main.tsx").read_text()
    wrong = [folder / "src" / f"wrong{number}.tsx" for number in range(len(WRONG))]
    for path, (good, bad) in zip(wrong, WRONG, strict=True):
        assert text.count(good) == 1
        path.write_text(text.replace(good, bad))
    refused = run(folder, "exec", "--", "tsc", "--noEmit")
    for path in wrong:
        path.unlink()
    assert set(re.findall(r"^src/(\w+)\.tsx\(", refused.stdout, re.M)) == {path.stem for path in wrong}, refused.stdout


def test_it_shows_a_tenants_month(visit: Visit, addresses: tuple[str, str]) -> None:
    site, api = addresses
    token = bearer("tenant_admin", "acme")["Authorization"].removeprefix("Bearer ")

    def body(period: str) -> dict[str, Any]:
        query = {"period": period}
        answer = httpx.get(f"{api}/api/billing/usage/summary", params=query, headers=bearer("tenant_admin", "acme"))
        return dict(answer.raise_for_status().json())

    page = visit(None, size=PHONE, at=site).open(f"/#{token}")
    summary = body("current")
    cost = float(summary["totalsForPeriod"]["estimatedCostUsd"])
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"{summary['tenantName']}, November 2026: ${cost:.2f}")
    channels, weeks = page.get_by_role("table").all()
    assert channels.get_by_role("row").count() == len(summary["channels"]) > 1
    expect(weeks).to_contain_text("so far")
    check_fits(page)
    check_accessible(page)
    screenshot(page, "react-example")

    page.get_by_label("Month").fill("2026-10")
    cost = float(body("2026-10")["totalsForPeriod"]["estimatedCostUsd"])
    expect(heading).to_have_text(f"{summary['tenantName']}, October 2026: ${cost:.2f}")
