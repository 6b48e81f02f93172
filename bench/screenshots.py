"""`make screenshots`: pictures of every page, light and dark, desktop and phone, over the demo's database, into docs/screenshots.

They are what the README shows, made from the pages themselves. The demo must have been built (`make demo ARGS=--once`); whether
it runs does not matter: the pages are served here, for as long as it takes.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from api.auth.tokens import Principal, Role
from api.dashboard import paths
from api.dashboard.sessions import Sessions, signing_key
from api.main import create_app
from cli import demo_state, environment, folders
from cli.errors import CommandFailed

FOLDER = folders.ROOT / "docs" / "screenshots"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
TENANT = "acme"

# As much as one sees without scrolling: a whole page is too long to be looked at in a document.
SIZES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}

PAGES: dict[str, tuple[str, Role]] = {
    "usage": (paths.TENANT_PAGE, "tenant_admin"),
    "usage-quarter": (f"{paths.TENANT_PAGE}?days=90", "tenant_admin"),
    "system-usage": (paths.SYSTEM_USAGE, "root_admin"),
    "costs": (paths.COSTS, "root_admin"),
    "tenant-details": (f"{paths.COSTS}/{TENANT}", "root_admin"),
    "alerts": (paths.ALERTS, "root_admin"),
    "reconciliation": (paths.RECONCILIATION, "root_admin"),
    "data-freshness": (paths.FRESHNESS, "root_admin"),
}


def main(console: Console) -> None:
    """Take all pictures.

    Raises:
        CommandFailed: there is no demo, no browser, or a page that does not answer.
    """
    demo = demo_state.DemoState.load()
    os.environ.update(demo.environment)
    # The owner's buttons are part of the pages; nobody presses them here.
    os.environ["METERING_API_OPERATIONS"] = "true"
    os.environ.setdefault("METERING_DAGSTER_URL", "http://127.0.0.1:3000")
    environment.prepare()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        for size in SIZES:
            for theme in ("light", "dark"):
                for role in ("tenant_admin", "root_admin"):
                    _take(browser, address, role, size=size, theme=theme)
        browser.close()
    taken = sorted(FOLDER.glob("*.png"))
    total = sum(path.stat().st_size for path in taken)
    console.print(f"{len(taken)} pictures in {FOLDER.relative_to(folders.ROOT)}, {total / 1024:,.0f} kB")


def _take(browser: Browser, address: str, role: Role, *, size: str, theme: str) -> None:
    """Take the pages of one role on one kind of screen."""
    context = browser.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type]
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        is_mobile=size == "phone",
    )
    page = context.new_page()
    page.goto(address + _link(role))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: paths.SIGN_IN not in url)
    for name, (path, of_role) in PAGES.items():
        if of_role != role:
            continue
        answer = page.goto(address + path, wait_until="networkidle")
        if answer is None or answer.status != 200:
            raise CommandFailed(f"{path} answers {answer.status if answer else 'nothing'}: no picture of it")
        page.screenshot(path=FOLDER / f"{name}-{size}-{theme}.png")
    context.close()


def _link(role: Role) -> str:
    """Return the path of a one-time sign-in link."""
    principal = Principal(
        f"{TENANT}-admin" if role == "tenant_admin" else "owner", role, TENANT if role == "tenant_admin" else None
    )
    sessions = Sessions(signing_key(os.environ.get("METERING_SESSION_SECRET"), os.environ.get("METERING_JWT_SECRET")))
    return f"{paths.SIGN_IN}/link/{sessions.link_code(principal, timedelta(minutes=5))}"


def _chromium() -> str | None:
    """Return the browser: METERING_CHROMIUM, else one on the PATH, else (None) Playwright's own."""
    named = os.environ.get("METERING_CHROMIUM")
    return named or next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


@contextmanager
def _served() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > deadline:
            raise CommandFailed("the pages could not be served: is METERING_JWT_SECRET set?")
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)


if __name__ == "__main__":
    try:
        main(Console())
    except CommandFailed as error:
        print(f"screenshots: {error}", file=sys.stderr)
        sys.exit(1)
