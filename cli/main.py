"""`metering`: the commands, each a thin function that starts something of a room."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import environment, folders
from cli.archive import archive, restore
from cli.close import close, costs
from cli.errors import FAILED, WRONG_USAGE, CommandFailed, UsageError
from cli.events import events as events_app
from cli.missing import remedy
from cli.options import Port, parse_day
from cli.prices import prices as prices_app
from cli.secret_files import read_secret_files

app = typer.Typer(
    name="metering",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What did each tenant use, what did it cost us, how near its cap is it.",
)


@app.callback()
def _before_any_command() -> None:
    read_secret_files()


app.add_typer(events_app, name="events")
app.add_typer(prices_app, name="prices")
app.command()(close)
app.command()(costs)
app.command()(archive)
app.command()(restore)
# An error that was raised from itself has no end.
MOST_CAUSES = 20
# Where no terminal says how wide it is (CI, a pipe), tables take the width they need.
WIDTH = None if sys.stdout.isatty() else 140
out = Console(width=WIDTH)
err = Console(stderr=True, width=WIDTH)


@app.command()
def migrate() -> None:
    """Create, upgrade or repair roles, schemas, landing tables, policies and DAGSTER_HOME. Safe to run again."""
    from cli.instance import migrate_all

    environment.prepare()
    before, after = migrate_all(lambda what: out.print(f"repaired: {what}"))
    state = "up to date" if before == after else f"migrated from {before or 'nothing'}"
    out.print(f"database {state} (revision {after}), DAGSTER_HOME {os.environ['DAGSTER_HOME']}")


@app.command()
def rebuild(
    first: Annotated[str | None, typer.Option("--from", help="First day, included (2026-10-01).")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included; default: today.")] = None,
    days: Annotated[int | None, typer.Option("--days", help="Today and the days before, this many in all.")] = None,
    only: Annotated[str | None, typer.Option("--only", help="ingest or build.")] = None,
) -> None:
    """Ingest and build a range of days, through the same Dagster job that the UI launches."""
    from cli.rebuild import parse_window, run_rebuild

    if only not in (None, "ingest", "build"):
        raise UsageError(f"--only takes ingest or build, not {only}")
    window = parse_window(first, last, days)
    environment.prepare()
    run_rebuild(window, only, console=err)


@app.command("what-if")
def what_if(
    plan: Annotated[str | None, typer.Option("--plan", help="The plan to propose.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="For this tenant only; default: every tenant.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A CSV of proposed plans, caps and prices: see docs/prices.md.")
    ] = None,
    month: Annotated[str | None, typer.Option("--month", help="A month such as 2026-10; default: this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with all digits.")] = False,
) -> None:
    """Replay a month's real usage through other plans, caps and prices: revenue, cost, margin, caps."""
    from cli.what_if import run_what_if

    run_what_if(plan=plan, tenant=tenant, file=file, month=month, as_json=as_json)


@app.command()
def prove(
    days: Annotated[int, typer.Option("--days", help="How many days, chosen at random.", min=1)] = 3,
    date: Annotated[
        list[str] | None, typer.Option("--date", help="This day (2026-10-05) instead; may be repeated.")
    ] = None,
) -> None:
    """Build past days anew from raw into a scratch schema and compare them with the marts, as the nightly job does."""
    from cli.prove import run_prove

    run_prove(days, date or [], console=out)


@app.command()
def token(
    role: Annotated[
        str, typer.Option("--role", help="tenant_admin or root_admin, for the API; tracker, for the collector.")
    ],
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="The tenant of a tenant_admin; a tracker's, such as acme,globex (all)."),
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", help="The services that a tracker may write of, with commas (all).")
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="Validity: 90s, 30m, 1h, 7d.")] = "1h",
) -> None:
    """Print a bearer token and nothing else."""
    from cli.tokens import mint, mint_tracker

    environment.supply_secrets()
    if role == "tracker":
        print(mint_tracker(tenant, service, ttl))
        return
    if service is not None:
        raise UsageError("--service is for the role tracker")
    print(mint(role, tenant, ttl))


@app.command("tenant-webhook-secret")
def tenant_webhook_secret(
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant whose webhook checks signatures by it.")],
) -> None:
    """Print the secret of a tenant's webhook and nothing else. Each tenant has its own; METERING_TENANT_WEBHOOK_KEY gives it."""
    from costs.alerts.webhooks import SECRET_RULE, secret_of, secret_of_tenant

    key = secret_of(environment.require("METERING_TENANT_WEBHOOK_KEY", "the secrets of tenants' webhooks come from it"))
    if key is None:
        raise UsageError(f"METERING_TENANT_WEBHOOK_KEY must be {SECRET_RULE}")
    print(secret_of_tenant(key, tenant))


@app.command("sign-in-link")
def sign_in_link(
    role: Annotated[str, typer.Option("--role", help="tenant_admin or root_admin.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="The tenant of a tenant_admin.")] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="Validity: 15m, 1h, at most 7d.")] = "1h",
    url: Annotated[str, typer.Option("--url", help="Address of the pages.")] = "http://127.0.0.1:8000",
) -> None:
    """Print a link that signs somebody in to the pages, once, and nothing else."""
    from cli.tokens import sign_in_link as link

    environment.supply_secrets()
    print(link(role, tenant, ttl, url))


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Serve the API and the pages."""
    import uvicorn

    environment.prepare()
    uvicorn.run("api.main:app", host=host, port=port, log_level="info", access_log=False)


@app.command()
def collect(
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Port = 8010,
) -> None:
    """Take usage events over HTTP, and answer about caps."""
    import uvicorn

    environment.prepare()
    uvicorn.run("collector.main:app", host=host, port=port, log_level="info", access_log=False)


@app.command()
def explain(
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant; `unattributed` for usage without one.")],
    day: Annotated[str, typer.Option("--date", help="A day (2026-11-20).")],
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.")] = None,
    line: Annotated[str | None, typer.Option("--line", help="Only the line with this id.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Recompute each line from its explanation alone.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lines as JSON, with all of their records.")
    ] = False,
) -> None:
    """Say why a day's figures are what they are: formula, price rows, attribution and raw records of each line."""
    from cli.explain import explained, show

    chosen_day = parse_day(day, "--date")
    environment.prepare()
    lines, adjustments = explained(tenant, chosen_day, channel, line)
    if as_json:
        print(json.dumps(lines, indent=2))
        return
    bad = show(out, lines, adjustments, check=check, day=chosen_day)
    if bad:
        raise CommandFailed(f"{bad} of {len(lines)} line(s) cannot be recomputed from their explanation")


@app.command()
def focus(
    output: Annotated[Path, typer.Option("--output", help="The file: .csv or .parquet.")],
    first: Annotated[
        str | None, typer.Option("--from", help="First day, included; default: 30 days with --to.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included; default: today.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's charges.")] = None,
    spec: Annotated[str, typer.Option("--spec", help="The version of FOCUS: 1.2 or 1.3.")] = "1.2",
) -> None:
    """Write cost and usage as a FOCUS file."""
    from cli.explain import days_between, export_focus

    days = days_between(first, last)
    environment.prepare()
    size = export_focus(days, tenant, output, spec)
    err.print(f"{output}: {size:,} bytes, {days.first} to {days.last}")


@app.command()
def env() -> None:
    """Print the exports that make `dagster dev`, `dbt build` and `uvicorn api.main:app` work by hand."""
    for name, value in sorted(environment.prepare().items()):
        print(f"export {name}={shlex.quote(value)}")


@app.command(
    "run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
)
def run_command(command: Annotated[list[str], typer.Argument(help="The command and its arguments.")]) -> None:
    """Start a command whose secrets stand in files: NAME_FILE names the file of NAME."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be started: {error.strerror}") from None


@app.command()
def docs(
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Port = 8030,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the page (one HTML file) here instead of serving it.")
    ] = None,
) -> None:
    """Serve dbt's documentation: models, columns, tests, lineage."""
    from cli.docs import serve, write_docs

    environment.prepare()
    page = write_docs()
    if output is None:
        serve(page, host, port, err)
    else:
        output.write_bytes((page / "index.html").read_bytes())
        err.print(f"{output}: {output.stat().st_size:,} bytes", highlight=False)


@app.command()
def doctor(
    test_alerts: Annotated[
        bool, typer.Option("--test-alerts", help="Send a test message by each medium of alerts that is set up.")
    ] = False,
) -> None:
    """Check every connection, role, migration, credential and the freshness of each source."""
    from cli.doctor import diagnose

    problems = diagnose(console=out, test_alerts=test_alerts)
    if problems:
        raise CommandFailed(f"{problems} problem(s) found")


@app.command()
def sandbox(
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Port = 8020,
    tenants: Annotated[int, typer.Option("--tenants", help="Each shows something of its own.", min=6, max=10_000)] = 6,
    days: Annotated[int, typer.Option("--days", help="Days of data, up to today.", min=1, max=3_660)] = 60,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the volume.", min=0.001, max=1_000)] = 1.0,
    data: Annotated[Path | None, typer.Option("--data", help="Serve these JSON files instead.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--write-directory", help="Write the tenant directory here.")
    ] = None,
) -> None:
    """Serve the providers' APIs locally, over known data."""
    from cli.demo import sandbox_dataset
    from sandbox import Dataset
    from sandbox import serve as serve_sandbox

    try:
        dataset = Dataset.load(data) if data else sandbox_dataset(tenants=tenants, days=days, scale=scale)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if directory:
        dataset.write_directory(directory)
    err.print(f"the providers' sandbox: http://{host}:{port} (Ctrl+C ends it)", highlight=False, soft_wrap=True)
    serve_sandbox(dataset, host, port)


demo_app = typer.Typer(
    invoke_without_command=True, help="Everything in one command, on an embedded PostgreSQL and the providers' sandbox."
)
app.add_typer(demo_app, name="demo")


@demo_app.callback()
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Stop after the table.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Build it anew, though it stands.")] = False,
    days: Annotated[int, typer.Option("--days", help="Days of history.", min=1, max=3_660)] = 60,
    api_port: Annotated[int, typer.Option("--api-port", min=1, max=65_535)] = 8000,
    dagster_port: Annotated[int, typer.Option("--dagster-port", min=1, max=65_535)] = 3000,
    postgres_port: Annotated[
        int | None,
        typer.Option("--postgres-port", help="Let analysts' tools in here, with a password.", min=1, max=65_535),
    ] = None,
) -> None:
    """Everything in one command, on an embedded PostgreSQL and the providers' sandbox."""
    if context.invoked_subcommand is not None:
        return
    from cli.demo import Ports, run_demo

    if postgres_port is not None and not environment.is_embedded():
        raise UsageError("--postgres-port is for the embedded PostgreSQL: yours has a port of its own")
    ports = Ports(api=api_port, dagster=dagster_port, postgres=postgres_port)
    run_demo(console=out, once=once, reset=reset, days=days, ports=ports)


@demo_app.command("push-over-cap")
def push_over_cap(
    tenant: Annotated[str, typer.Option("--tenant", help="A tenant of the demo with an SMS cap.")] = "acme",
) -> None:
    """Send text messages until a tenant of the demo is over its SMS cap, and show what turns within one rolling run."""
    from cli.push_over_cap import run_push

    run_push(tenant, console=out)


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL."""
    from warehouse import embedded

    was_running = embedded.stop(folders.local_folder() / "pg")
    out.print("the embedded PostgreSQL is stopped" if was_running else "the embedded PostgreSQL was not running")


def _known_errors() -> dict[type[BaseException], int]:
    """Return every error that is ours, with its exit code. What is not here is a bug and keeps its traceback."""
    from warehouse.errors import WarehouseConfigError, WarehouseError

    known: dict[type[BaseException], int] = {
        UsageError: WRONG_USAGE,
        WarehouseConfigError: WRONG_USAGE,
        CommandFailed: FAILED,
        WarehouseError: FAILED,
    }
    if "usage_metering.failures" in sys.modules:
        from usage_metering.failures import ConfigError

        known[ConfigError] = WRONG_USAGE
    if "ingestion.failures" in sys.modules:
        from ingestion.failures import IngestionError

        known[IngestionError] = FAILED
    if "costs.rules.price_book" in sys.modules:
        from costs.rules.price_book import PriceBookError

        known[PriceBookError] = FAILED
    if "costs.scenarios" in sys.modules:
        from builds.scratch import ScratchFailed
        from costs.scenarios import ScenarioError

        known |= {ScenarioError: WRONG_USAGE, ScratchFailed: FAILED}
    return known


def _explained(error: BaseException) -> tuple[str, int] | None:
    """Return the line and the exit code of an expected error: one of ours, a library that is not installed, or a database that could
    not do its part (full, gone, restarted, out of connections), whichever driver says it and however deep. None: a bug.
    """
    if isinstance(error, ModuleNotFoundError):
        line = remedy(error)
        return None if line is None else (line, FAILED)
    known = next((code for kind, code in _known_errors().items() if isinstance(error, kind)), None)
    if known is not None:
        return str(error), known
    cause: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if cause is None:
            break
        if isinstance(cause, _database_errors()):
            first_line = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
            return (
                f"the database failed: {first_line}; see to it (`metering doctor`), then run the command again",
                FAILED,
            )
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def _database_errors() -> tuple[type[BaseException], ...]:
    """Return what drivers that are loaded call an operational error. A wrong statement is another class: a bug."""
    drivers = ("psycopg", "psycopg2", "sqlalchemy.exc")
    return tuple(sys.modules[name].OperationalError for name in drivers if name in sys.modules)


def run() -> None:
    """Entry point: run the command; an error is one clear line on stderr and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        explained = _explained(error)
        if explained is None:
            raise
        line, code = explained
        print(f"metering: {line}", file=sys.stderr)
        raise SystemExit(code) from None
