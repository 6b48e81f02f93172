"""Fixtures of the browser tests: the application served on a port, a real Chromium, and what every page must pass.

METERING_CHROMIUM names the browser, else a chromium on the PATH is taken. Where METERING_BROWSER_REQUIRED is set, as in CI,
there must be one. Screenshots go to build/screenshots, which CI keeps.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

from api.auth.tokens import Principal
from api.dashboard.sessions import Sessions, signing_key
from api.main import create_app
from tests.api.conftest import SECRET, clone, make_settings
from tests.dashboard.conftest import populate

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 360, "height": 780}
DESKTOP = {"width": 1440, "height": 900}
WIDE = {"width": 1920, "height": 1080}
# WCAG 2.0 to 2.2, A and AA, and what axe's authors recommend beside them.
AXE = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}


def chromium_path() -> str:
    """Return the browser's path; without one the tests are skipped on a newcomer's machine, and fail in CI."""
    named = os.environ.get("METERING_CHROMIUM")
    found = named or next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)
    if found is None:
        remedy = "no chromium: apt-get install chromium, or name one in METERING_CHROMIUM"
        assert not os.environ.get("METERING_BROWSER_REQUIRED"), remedy
        pytest.skip(remedy)
    return found


# Of the package, not of the session: while Playwright is there its event loop runs in this thread, and no test could use asyncio.run.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def world(server: str, template: str) -> Iterator[str]:
    """URL of the pages' database, as its owner. Read it only; one that is changed comes from `own_world`."""
    with clone(server, template) as url:
        populate(url)
        yield url


@pytest.fixture
def own_world(server: str, template: str) -> Iterator[str]:
    """URL of a database of this test's own."""
    with clone(server, template) as url:
        populate(url)
        yield url


@contextmanager
def served(database_url: str, **variables: str) -> Iterator[str]:
    """Serve the application on a free port; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(make_settings(database_url, **variables))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the application did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)


@pytest.fixture(scope="session")
def site(world: str) -> Iterator[str]:
    """Address of the application over the pages' database."""
    with served(world) as address:
        yield address


@dataclass
class Visitor:
    """Opens pages as somebody, in one kind of screen. Complaints of the browser fail the test when it ends."""

    site: str
    context: BrowserContext
    complaints: list[str]

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", self._crash)
        page.goto(self.site + path, wait_until="load")
        return page

    def _console(self, message: ConsoleMessage) -> None:
        # A refused style or script (CSP) is an error here too.
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _crash(self, error: Error) -> None:
        self.complaints.append(str(error))


Visit = Callable[..., Visitor]


def link_for(role: str, tenant_id: str | None = None) -> str:
    """Return the path of a one-time sign-in link."""
    principal = Principal(f"{tenant_id or 'root'}-admin", role, tenant_id)  # type: ignore[arg-type]
    return f"/sign-in/link/{Sessions(signing_key(None, SECRET)).link_code(principal, timedelta(minutes=5))}"


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """`visit("tenant_admin", "acme", dark=True, size=PHONE).open("/settings/billing-usage")`; role None: a stranger.

    ``javascript=False`` takes scripts away; ``at`` is the address of another application.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visitor(
        role: str | None,
        tenant_id: str | None = None,
        *,
        dark: bool = False,
        size: dict[str, int] = DESKTOP,
        javascript: bool = True,
        at: str = "",
    ) -> Visitor:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            reduced_motion="reduce",
            is_mobile=size is PHONE,
            has_touch=size is PHONE,
        )
        contexts.append(context)
        found = Visitor(at or site, context, complaints)
        if role is not None:
            # Without a page: the link's own, its button and the page behind it cost as much as what a test is about, and have their own test.
            answer = context.request.post(
                found.site + link_for(role, tenant_id), headers={"Origin": found.site}, max_redirects=0
            )
            assert answer.status == 303, answer.text()
        return found

    yield visitor
    for context in contexts:
        context.close()
    assert not complaints, complaints


def check_accessible(page: Page) -> None:
    """Fail where axe finds a violation (contrast, names, labels, table headers, landmarks …)."""
    results: Any = Axe().run(page, options=AXE)
    found = [
        f"{violation['id']}: {violation['help']}\n"
        + "\n".join(
            f"    {node['html'][:200]}\n    {node.get('failureSummary', '')}" for node in violation["nodes"][:4]
        )
        for violation in results.response["violations"]
    ]
    assert not found, "\n".join(found)


def check_fits(page: Page) -> None:
    """Fail where the page itself scrolls sideways (tables do that in their own frames), or touch targets are small."""
    assert page.viewport_size is not None
    # Not window.innerWidth: on a phone that grows with a page that does not fit.
    screen = page.viewport_size["width"]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= screen, f"the page is {width} px wide on a screen of {screen} px"


def check_compressed_size(page: Page, path: str, most: int = 300_000) -> None:
    """Fail where opening a page afresh, with all that it loads, transfers ``most`` bytes or more."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(path, wait_until="networkidle")
    assert received
    assert sum(received) < most, f"{sum(received):,.0f} bytes"


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page, for CI's artifacts."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def tab_stops(page: Page, most: int = 80) -> list[dict[str, str]]:
    """Return what the tab key reaches, in order: tag, text, and whether one sees that it is there."""
    stops: list[dict[str, str]] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
                const e = document.activeElement;
                if (!e || e === document.body) return null;
                const box = e.getBoundingClientRect();
                const style = getComputedStyle(e);
                return JSON.stringify({tag: e.tagName, text: (e.getAttribute('aria-label') || e.textContent).trim(),
                    visible: String(box.width > 0 && box.height > 0), outline: style.outlineStyle});
            }"""
        )
        if stop is None:
            break
        stops.append(json.loads(stop))
    return stops
