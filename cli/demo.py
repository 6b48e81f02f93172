"""`make demo`: the whole system on one machine, over the providers' sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
from rich.console import Console
from rich.table import Table

from cli import demo_state, environment, folders, standing_demo
from cli.amounts import coloured, usd
from cli.errors import CommandFailed

if TYPE_CHECKING:
    from sandbox import Dataset
    from sandbox.running import Sandbox

TENANTS = 8

EVENTS_PREFIX = "demo"
PUSH_FEATURE = "demo push over cap"
FORGET_EVENTS = """
with events as (
    delete from raw.usage_events
    where load_id like 'demo-%%' or feature = %(push_feature)s
    returning event_key, external_id
),

keys as (
    delete from raw.usage_event_keys using events where usage_event_keys.event_key = events.event_key
)

delete from ops.live_usage using events where live_usage.key in (events.event_key, events.external_id)
"""
USAGE = """
select
    tenants.name,
    tenants.plan_label,
    status.channel,
    status.metric,
    status.used,
    status.cap,
    status.percent_used,
    status.status,
    monthly.estimated_cost_cents / 100 as cost_usd
from marts.tenant_usage_status as status
inner join marts.tenants as tenants on tenants.tenant_id = status.tenant_id
left join marts.usage_monthly as monthly
    on monthly.tenant_id = status.tenant_id
    and monthly.month = status.month
    and monthly.channel = status.channel
where status.month = %(month)s
    and (status.used > 0 or status.cap is not null)
order by tenants.name, status.channel, status.metric
"""


@dataclass(frozen=True)
class Ports:
    """Where the demo serves. None: analysts' tools are not let in."""

    api: int
    dagster: int
    postgres: int | None = None


def sandbox_dataset(*, tenants: int = TENANTS, days: int = 60, scale: float = 1.0) -> Dataset:
    """Return the sandbox's data for the last ``days`` days, today included."""
    from sandbox import Dataset
    from usage_metering.clock import as_of

    today = as_of().date()
    return Dataset.generate(tenants=tenants, first=today - timedelta(days=days - 1), last=today, scale=scale)


def run_demo(*, console: Console, once: bool, reset: bool, days: int, ports: Ports) -> None:
    """Print this month's usage against caps, then serve API and Dagster UI: of the demo that stands here, or of a new one.

    Args:
        once: end after the table.
        reset: build it anew, though it stands.
        days: of the sandbox, the last of them today.

    Raises:
        CommandFailed: it is served already, or cannot be.
    """
    from sandbox import running
    from usage_metering.clock import as_of

    started = time.monotonic()
    folder, today = demo_state.folder(), as_of().date()
    url = environment.database_url()
    reason = "--reset" if reset else standing_demo.why_not(url, days=days, today=today)
    if reason is None and not once and (address := demo_state.DemoState.load().served_at):
        raise CommandFailed(
            f"the demo is served already, at {address}: `metering sign-in-link --role root_admin` lets you in, Ctrl+C there ends it"
        )
    if reason is None:
        console.print(f"the demo of {days} days up to {today} stands here: `make demo ARGS=--reset` builds it anew")
    elif reason not in ("--reset", standing_demo.NEVER):
        console.print(f"a demo stands here, but {reason}: it is built anew")
    with ExitStack() as stack:
        dataset = sandbox_dataset(days=days)
        if reason is not None:
            console.print(f"[1/5] the providers' sandbox: {TENANTS} tenants, {days} days")
            # Half of a new one is none.
            demo_state.state_file().unlink(missing_ok=True)
            dataset.write_directory(folder / "directory")
        sandbox = stack.enter_context(running(dataset, process=True))
        os.environ.update(sandbox.environment())
        os.environ["METERING_TENANT_DIRECTORY"] = str(folder / "directory")
        os.environ.setdefault("METERING_START_DATE", (today - timedelta(days=days - 1)).isoformat())
        if reason is None:
            environment.prepare()
        else:
            _build(sandbox, dataset, days, console)
        with psycopg.connect(os.environ["METERING_DATABASE_URL"]) as connection:
            console.print(usage_table(connection, today))
        state = demo_state.DemoState(
            database=demo_state.location_of(os.environ["METERING_DATABASE_URL"]),
            days=days,
            environment=demo_state.kept_environment(sandbox.environment()),
            sandbox_url=sandbox.url,
            last_day=today.isoformat(),
            code=standing_demo.code_digest(),
        )
        state.save()
        console.print(f"done in {time.monotonic() - started:.0f} s")
        if not once:
            replace(state, api_url=f"http://127.0.0.1:{ports.api}").save()
            _serve(console, stack, ports)


def _build(sandbox: Sandbox, dataset: Dataset, days: int, console: Console) -> None:
    """Ingest and build the last ``days`` days of the sandbox."""
    from cli.instance import migrate_all
    from cli.rebuild import parse_window, run_rebuild

    console.print("[2/5] PostgreSQL, roles, schemas, Dagster home")
    environment.prepare()
    migrate_all()

    console.print("[3/5] tracked events: what a product with wrapped clients has recorded of it")
    _track(dataset)

    console.print(f"[4/5] ingest and build {days} days as one run")
    _see_releases(sandbox, dataset)
    run_rebuild(parse_window(None, None, days), None, console=console)

    console.print("[5/5] this month's usage against caps\n")


def _track(dataset: Dataset) -> None:
    """Bring the data set's events; those of an earlier demo go, whose data set was another one."""
    from sandbox.events.tracked import tracked_events
    from usage_metering.clock import as_of
    from usage_metering.pii import Hasher
    from usage_metering.store import Store, chunks, event_line

    url = os.environ["METERING_DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute(FORGET_EVENTS, {"push_feature": PUSH_FEATURE})
    store = Store(url)
    events = tracked_events(dataset, as_of(), Hasher(os.environ["METERING_PII_KEY"]))
    for lines in chunks((event_line(event, time.time()) for event in events), 20_000):
        store.load(lines, prefix=EVENTS_PREFIX)
    store.close()


def _see_releases(sandbox: Sandbox, dataset: Dataset) -> None:
    """Let Twilio's lists of numbers be read as they were around each release: they tell of now only, and a release is dated by the
    first list without the number. Daily runs would have seen it.
    """
    from ingestion.config import IngestSettings
    from ingestion.run import ingest_provider
    from ingestion.windows import Window
    from usage_metering.clock import as_of

    settings, url = IngestSettings.from_environment(), os.environ["METERING_DATABASE_URL"]
    notes = [number.get("_sandbox", {}) for number in dataset.twilio_phone_numbers]
    releases = {datetime.fromisoformat(note["vanishes_at"]) for note in notes if "vanishes_at" in note}
    for release in sorted(releases):
        for moment in (release - timedelta(minutes=1), release):
            if moment <= as_of():
                sandbox.now = moment
                day = Window.of_days(moment.date(), moment.date())
                ingest_provider("twilio", day, settings=settings, database_url=url, as_of=moment)
    sandbox.now = None


def usage_table(connection: psycopg.Connection, today: date) -> Table:
    """Return the month's usage against caps: a row per tenant and limit."""
    rows = connection.execute(USAGE, {"month": today.strftime("%Y-%m")}).fetchall()
    table = Table(title=f"Usage against caps, {today:%B %Y}", title_justify="left")
    for name in ("Tenant", "Plan", "Channel", "Metric"):
        table.add_column(name)
    for name in ("Used", "Cap", "%", "Cost of channel, USD"):
        table.add_column(name, justify="right")
    table.add_column("Status")
    previous = None
    for tenant, plan, channel, metric, used, cap, percent, status, cost in rows:
        if previous not in (None, tenant):
            table.add_section()
        table.add_row(
            tenant if tenant != previous else "",
            (plan or "–") if tenant != previous else "",
            channel,
            metric,
            f"{used:,.0f}",
            f"{cap:,.0f}" if cap is not None else "no cap",
            f"{percent:.1f}" if percent is not None else "",
            usd(cost) if cost is not None else "",
            coloured(status),
        )
        previous = tenant
    return table


def _serve(console: Console, stack: ExitStack, ports: Ports) -> None:
    from cli.tokens import mint, sign_in_link

    analysts = _let_analysts_in(stack, ports.postgres) if ports.postgres is not None else None

    # On a machine of one's own the owner may give commands; the pages link into the Dagster UI.
    os.environ.setdefault("METERING_API_OPERATIONS", "true")
    os.environ.setdefault("METERING_DAGSTER_URL", f"http://127.0.0.1:{ports.dagster}")
    # Started in the background, we inherit "ignore SIGINT", and would hand it on to those who should end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    children = {
        "the API": subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "api.main:app",
                "--port",
                str(ports.api),
                "--log-level",
                "warning",
            ],
            cwd=folders.ROOT,
            start_new_session=True,
        ),
        "the Dagster UI": subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dagster",
                "dev",
                "-p",
                str(ports.dagster),
            ],
            cwd=folders.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ),
    }
    for child in children.values():
        stack.callback(_end, child)
    address = f"http://127.0.0.1:{ports.api}"
    console.print(f"\nPages       {address} (sign in by one of the links below; each works once)")
    console.print(f"API         {address}/docs")
    console.print(f"Dagster UI  http://127.0.0.1:{ports.dagster} (ready in about 20 s)")
    if analysts:
        console.print(f"Analysts    {analysts} (reads the marts: docs/analysts.md)", highlight=False, soft_wrap=True)
    # Not wrapped: a link or token with a line break in it cannot be copied.
    console.print(
        f"\nsign in as root admin:\n{sign_in_link('root_admin', None, '12h', address)}"
        f"\n\nsign in as tenant acme:\n{sign_in_link('tenant_admin', 'acme', '12h', address)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"\ntoken of a root admin:\n{mint('root_admin', None, '12h')}", highlight=False, soft_wrap=True)
    console.print(
        f"\ntoken of tenant acme:\n{mint('tenant_admin', 'acme', '12h')}",
        highlight=False,
        soft_wrap=True,
    )
    console.print("\nCtrl+C ends it; `metering stop` then also stops the embedded PostgreSQL.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            time.sleep(0.5)
            for name, child in children.items():
                if child.poll() is not None:
                    raise CommandFailed(f"{name} ended with exit code {child.returncode}: is its port already in use?")
    except KeyboardInterrupt:
        console.print("\nstopping")


def _let_analysts_in(stack: ExitStack, port: int) -> str:
    """Open the port until the demo ends; return the URL for analysts' tools, whose password stays the same from demo to demo."""
    from cli.instance import migrate_all
    from warehouse import gateway

    # The demo that stands here may be of a version without the role.
    migrate_all()
    password = environment.kept_secret("METERING_ANALYST_PASSWORD")
    url = os.environ["METERING_DATABASE_URL"]
    return stack.enter_context(gateway.listening(url, "metering_analyst", password, port))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end; what is left of its session after that is killed: `dagster dev` has children of its own."""
    child.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
