"""`metering demo push-over-cap`: sends text messages until a tenant is over its cap, and shows what turns.

They go the way a product's go: through a wrapped Twilio client, over the demo's sandbox. That one has no guard, or the
last ones would be blocked before the cap is passed; the one tried afterwards has. Hard stop is switched on in the demo's
own tenants.csv where it is off, since only then is anybody blocked.
"""

from __future__ import annotations

import asyncio
import csv
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.table import Table

from cli import demo_state, environment
from cli.amounts import coloured
from cli.demo import PUSH_FEATURE, sandbox_dataset
from cli.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from usage_metering import TrackedTwilio, UsageGuard, UsageTracker

CHANNEL = "sms"
SEGMENTS = 10
BODY = "Open house this Saturday from ten to four, come and see us. ".ljust(60) * 25  # 1,500 characters: 10 segments
RECIPIENT = "+15005550100"
MOST_MESSAGES = 20_000
BATCH = 200


@dataclass(frozen=True)
class Seen:
    """What a tenant's pages and a product's access check say at one moment, from the API's answers."""

    tenant_status: str
    status: str
    used: float
    cap: float | None
    percent: float | None
    allowed: bool
    reason: str | None


@dataclass(frozen=True)
class Pushed:
    """What happened: before and after one rolling run, and the guarded client's refusal."""

    before: Seen
    after: Seen
    messages: int
    blocked: str


def run_push(tenant: str, *, console: Console) -> Pushed:
    """Push the demo's tenant over its SMS cap and show what turns.

    Raises:
        UsageError: the demo has no such tenant, or it has no SMS cap.
        CommandFailed: there is no demo, or the cap did not block.
    """
    from sandbox import running

    demo = demo_state.DemoState.load()
    with ExitStack() as stack:
        if demo.is_running:
            console.print("over the running demo")
            os.environ.update(demo.environment)
        else:
            console.print("no demo runs: over its database, with a sandbox for the length of this command")
            os.environ.update(demo.environment)
            sandbox = stack.enter_context(running(sandbox_dataset(days=demo.days), process=True))
            os.environ.update(sandbox.environment())
        environment.prepare()
        database = demo_state.location_of(os.environ["METERING_DATABASE_URL"])
        if database != demo.database:
            raise CommandFailed(
                f"the demo is in {demo.database}, not in {database}: unset METERING_DATABASE_URL, or run it there"
            )
        return push(tenant, api_url=demo.served_at, console=console)


def push(tenant: str, *, api_url: str | None, console: Console) -> Pushed:
    """Send until the cap is passed, run the rolling run, try a guarded message; the environment names everything.

    Args:
        api_url: the API to ask; None: one in this process.

    Raises:
        UsageError, CommandFailed: see `run_push`.
    """
    from cli.rebuild import parse_window, run_rebuild
    from usage_metering import TrackedTwilio, UsageGuard, UsageTracker

    directory = Path(os.environ["METERING_TENANT_DIRECTORY"])
    sender = sender_of(directory, tenant)
    before = asyncio.run(look(tenant, api_url))
    with (
        UsageTracker(spool_dir=demo_state.folder() / "spool") as tracker,
        closing(UsageGuard(tracker=tracker, timeout=10)) as guard,
    ):
        if hard_stop(directory, tenant):
            console.print(f"hard stop of {tenant}: switched on in {directory / 'tenants.csv'}")
        sent = _send_until_over(tenant, sender, TrackedTwilio(_client(sender), tracker), tracker, guard)
        console.print(f"sent {sent} text messages of {SEGMENTS} segments through the tracked Twilio client")
        console.print("the rolling run: ingest and build today")
        run_rebuild(parse_window(None, None, 1), None, console=console)
        after = asyncio.run(look(tenant, api_url))
        blocked = _try_guarded(tenant, sender, TrackedTwilio(_client(sender), tracker, guard))
    pushed = Pushed(before, after, sent, blocked)
    console.print(_table(tenant, pushed))
    console.print(f'a tracked SMS with the guard is blocked: "{blocked}"')
    if after.status != "over_cap" or after.allowed:
        raise CommandFailed(f"{tenant} is not over its cap after the run (status {after.status}): see the Dagster UI")
    return pushed


# Sending


def sender_of(directory: Path, tenant: str) -> dict[str, str]:
    """Return what the tenant sends from, as the directory has it: ``{resource_type: resource_id}`` of one resource.

    Raises:
        UsageError: the directory has no such tenant, or nothing of it at Twilio.
    """
    if tenant not in {row["tenant_id"] for row in _rows(directory / "tenants.csv")}:
        raise UsageError(f"the demo has no tenant {tenant}: see {directory / 'tenants.csv'}")
    owned = {
        row["resource_type"]: row["resource_id"]
        for row in reversed(_rows(directory / "tenant_resources.csv"))
        if row["tenant_id"] == tenant and row["provider"] == "twilio" and not row["valid_to"]
    }
    for kind in ("messaging_service", "phone_number", "subaccount"):
        if kind in owned:
            return {kind: owned[kind]}
    raise UsageError(f"{tenant} has no Twilio resource in {directory / 'tenant_resources.csv'}")


def hard_stop(directory: Path, tenant: str) -> bool:
    """Switch the tenant's hard stop on in tenants.csv; return whether it was off."""
    path = directory / "tenants.csv"
    rows = _rows(path)
    row_of_tenant = next(row for row in rows if row["tenant_id"] == tenant)
    if row_of_tenant["usage_hard_stop_enabled"].strip().lower() == "true":
        return False
    row_of_tenant["usage_hard_stop_enabled"] = "true"
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return True


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _client(sender: dict[str, str]) -> Any:
    from twilio.rest import Client

    client = Client(
        os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"], account_sid=sender.get("subaccount")
    )
    client.api.base_url = os.environ["TWILIO_BASE_URL"]
    return client


def _message(sender: dict[str, str], client: Any) -> dict[str, str]:
    """Return how one message is asked for."""
    if "messaging_service" in sender:
        side = {"messaging_service_sid": sender["messaging_service"]}
    elif "phone_number" in sender:
        side = {"from_": sender["phone_number"]}
    else:
        side = {"from_": client.incoming_phone_numbers.list(limit=1)[0].phone_number}
    return {"to": RECIPIENT, "body": BODY, **side}


def _send_until_over(
    tenant: str, sender: dict[str, str], client: TrackedTwilio, tracker: UsageTracker, guard: UsageGuard
) -> int:
    from usage_metering import usage_context

    message = _message(sender, client)
    sent = 0
    while True:
        access = guard.check(tenant, CHANNEL)
        if access.used is None:
            raise UsageError(f"{tenant} is not in the marts yet: run `metering rebuild --days 1`")
        if access.cap is None:
            raise UsageError(f"{tenant} has no SMS cap to push it over")
        missing = access.cap - access.used
        if missing < 0:
            return sent
        if sent >= MOST_MESSAGES:
            raise CommandFailed(f"{tenant} is not over its SMS cap after {sent} messages")
        with usage_context(tenant_id=tenant, feature=PUSH_FEATURE):
            count = min(BATCH, int(missing) // SEGMENTS + 1)
            for _ in range(count):
                client.messages.create(**message)
        sent += count
        if not tracker.flush():
            raise CommandFailed("the events did not reach the database: see `metering events status`")


def _try_guarded(tenant: str, sender: dict[str, str], client: TrackedTwilio) -> str:
    """Return what a guarded client says instead of sending.

    Raises:
        CommandFailed: it sent.
    """
    from usage_metering import UsageCapReached, usage_context

    message = _message(sender, client)
    try:
        with usage_context(tenant_id=tenant, feature=PUSH_FEATURE):
            client.messages.create(**message)
    except UsageCapReached as refusal:
        return str(refusal)
    raise CommandFailed(f"a guarded message of {tenant} was sent although the cap is passed: is its hard stop on?")


# Looking


async def look(tenant: str, api_url: str | None) -> Seen:
    """Return what the API says of the tenant's text messages.

    Raises:
        CommandFailed: it answers with an error.
    """
    if api_url is not None:
        async with httpx.AsyncClient(base_url=api_url, timeout=30) as client:
            return await _seen(client, tenant)
    from api.main import create_app

    app = create_app()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo", timeout=30) as client,
    ):
        return await _seen(client, tenant)


async def _seen(client: httpx.AsyncClient, tenant: str) -> Seen:
    from cli.tokens import mint

    client.headers["Authorization"] = f"Bearer {mint('tenant_admin', tenant, '5m')}"
    summary = await _get(client, "/api/billing/usage/summary")
    access = await _get(client, f"/api/billing/usage/channels/{CHANNEL}/access")
    channel = next(row for row in summary["channels"] if row["channel"] == CHANNEL)
    return Seen(
        tenant_status=summary["status"],
        status=channel["status"],
        used=channel["used"],
        cap=channel["cap"],
        percent=channel["percentUsed"],
        allowed=access["allowed"],
        reason=access["reason"],
    )


async def _get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await client.get(path)
    if response.status_code != 200:
        raise CommandFailed(f"{path} answered {response.status_code}: {response.text[:200]}")
    return dict(response.json())


def _table(tenant: str, pushed: Pushed) -> Table:
    table = Table(title=f"Text messages of {tenant}", title_justify="left")
    for name in ("", "before", "after one rolling run"):
        table.add_column(name)
    both = (pushed.before, pushed.after)
    table.add_row("status chip", *(coloured(seen.status) for seen in both))
    table.add_row("tenant's status", *(coloured(seen.tenant_status) for seen in both))
    table.add_row("used of cap", *(f"{seen.used:,.0f} of {seen.cap or 0:,.0f} ({seen.percent} %)" for seen in both))
    table.add_row("access route", *(_shown_answer(seen) for seen in both))
    return table


def _shown_answer(seen: Seen) -> str:
    return "allowed" if seen.allowed else f"not allowed: {seen.reason}"
