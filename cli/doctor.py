"""`metering doctor`: one line per thing that must be right."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from rich.console import Console

from cli import environment
from cli.unusable import unusable_settings

OK, WARNING, WRONG = "ok", "warning", "wrong"
# What freshness is a matter of.
CALENDAR = ("METERING_AS_OF", "METERING_START_DATE")
MARKS = {OK: "[green]ok     [/]", WARNING: "[yellow]warning[/]", WRONG: "[red]wrong  [/]"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is right, and (where not) what to do."""

    name: str
    state: str
    detail: str


def diagnose(*, console: Console, test_alerts: bool = False) -> int:
    """Print a line per finding; return how many are wrong. ``test_alerts``: send a message by each medium, too."""
    wrong = 0
    for finding in chain(findings(), send_test_alerts() if test_alerts else ()):
        console.print(f"{MARKS[finding.state]} {finding.name}: {finding.detail}", highlight=False)
        wrong += finding.state == WRONG
    return wrong


def findings() -> Iterator[Finding]:
    """Look at everything, in the order in which one thing needs the other."""
    environment.prepare()
    unusable = unusable_settings()
    yield from (Finding("setting", WRONG, line) for line in unusable.values())
    url = os.environ["METERING_DATABASE_URL"]
    database = _database(url)
    yield database
    if database.state == OK:
        yield _sessions(url)
        migrations = _migrations(url)
        yield migrations
        yield from _roles(url)
        if migrations.state == OK:
            yield _objects(url)
            yield _rights(url)
            yield from _distribution(url)
            yield _totals(url)
            yield _known_read(url)
            yield from _half_built(url)
            yield from _archive(url)
            yield from _replica()
    yield _dagster_home()
    yield from _secrets()
    yield from _operations()
    yield from _providers()
    yield _directory()
    yield _alerts()
    if database.state == OK and unusable.keys().isdisjoint(CALENDAR):
        yield from _freshness(url)


def _attempt(name: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, OK, look())
    except Exception as error:  # a doctor reports whatever it meets
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        return Finding(name, WRONG, f"{reason}: {remedy}")


def _database(url: str) -> Finding:
    from warehouse.migrate import connect

    def look() -> str:
        with connect(url) as connection:
            version = connection.info.server_version
            return f"PostgreSQL {version // 10_000}.{version % 10_000}, database {connection.info.dbname}"

    return _attempt("database", look, "check METERING_DATABASE_URL and that the server runs")


def _sessions(url: str) -> Finding:
    from warehouse.pooling import keeps_sessions

    def look() -> str:
        if keeps_sessions(url):
            return "each connection keeps its own"
        raise RuntimeError("a pooler deals them out by the transaction, so that two builds could run at once")

    return _attempt("sessions", look, "let METERING_DATABASE_URL lead to PostgreSQL, or to a pool in session mode")


def _migrations(url: str) -> Finding:
    from warehouse.migrate import connect, current, head

    with connect(url) as connection:
        revision = current(connection)
    if revision == head():
        return Finding("migrations", OK, f"at revision {revision}")
    return Finding("migrations", WRONG, f"at revision {revision}, not {head()}: run `metering migrate`")


def _objects(url: str) -> Finding:
    from warehouse.migrate import connect
    from warehouse.objects import find_changed

    with connect(url) as connection:
        changed = find_changed(connection)
    if not changed:
        return Finding("functions, views and triggers", OK, "as in warehouse/objects")
    return Finding("functions, views and triggers", WRONG, f"not as in {', '.join(changed)}: run `metering migrate`")


def _roles(url: str) -> Iterator[Finding]:
    from warehouse.roles import LOGIN_VARIABLES
    from warehouse.urls import ROLES, as_role

    for role in ROLES:
        explicit = os.environ.get(LOGIN_VARIABLES.get(role, ""), "")
        # compose makes a URL of an empty password where none is set: the role is not to log in.
        role_url = explicit if explicit and urlsplit(explicit).password != "" else as_role(url, role)

        def look(role: str = role, role_url: str = role_url) -> str:
            with psycopg.connect(role_url, connect_timeout=10) as connection:
                row = connection.execute("select current_user").fetchone()
                if row is None or row[0] != role:
                    raise RuntimeError(f"connects as {row[0] if row else 'nobody'}")
            return "connects"

        yield _attempt(
            f"role {role}", look, f"run `metering migrate`, or check {LOGIN_VARIABLES.get(role, 'its grants')}"
        )


def _rights(url: str) -> Finding:
    from warehouse.migrate import connect
    from warehouse.roles import find_gaps

    with connect(url) as connection:
        gaps = find_gaps(connection)
    if not gaps:
        return Finding("owners, rights and policies", OK, "as migrate makes them")
    return Finding("owners, rights and policies", WRONG, f"{'; '.join(gaps)}: run `metering migrate`")


def _distribution(url: str) -> Iterator[Finding]:
    """Look at the workers of a Citus cluster; nothing where neither the setting nor the database has to do with one."""
    from warehouse.distribution import KEYS, find_gaps, is_citus, workers

    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:

        def look() -> str:
            if gaps := find_gaps(connection):
                raise RuntimeError(gaps)
            return f"{len(KEYS)} tables on {workers(connection)} workers, which let the roles in" if is_citus() else ""

        finding = _attempt(
            "distribution",
            look,
            "run `metering migrate`, and let each worker accept the coordinator's owner and metering_transformer",
        )
    if finding.detail:
        yield finding


def _totals(url: str) -> Finding:
    from warehouse.migrate import connect

    with connect(url) as connection:
        wrong = connection.execute(
            "select tenant_id, channel, month, direction from ops.wrong_live_usage_totals() order by 1, 2, 3, 4"
        ).fetchall()
    if not wrong:
        return Finding("totals of the cap", OK, "the sum of what has arrived since the last build")
    detail = f"{len(wrong)} not the sum of their rows, the first: {', '.join(wrong[0])}: run `select ops.recount_live_usage()` as the owner"
    return Finding("totals of the cap", WRONG, detail)


def _known_read(url: str) -> Finding:
    """Read as the API what is known to be there: row-level security answers what it hides with no rows, not with an error."""
    from warehouse.urls import role_url

    count = "select count(*) from marts.tenants"

    def look() -> str:
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute("select to_regclass('marts.tenants') is not null").fetchone()
            if row != (True,):
                return "nothing built yet"
            # The owner of the mart is not bound by its policies.
            connection.execute("set local role metering_transformer")
            there = connection.execute(count).fetchone()
        with psycopg.connect(
            role_url("metering_api", url, "METERING_API_DATABASE_URL"), connect_timeout=10
        ) as connection:
            connection.execute("select set_config('metering.role', 'root_admin', true)")
            seen = connection.execute(count).fetchone()
        if seen != there:
            raise RuntimeError(f"it sees {seen[0] if seen else 0} of {there[0] if there else 0} tenants")
        return f"sees all {there[0] if there else 0} tenants"

    return _attempt(
        "the API's view", look, "run `metering migrate`; METERING_API_DATABASE_URL must be the same database"
    )


def _half_built(url: str) -> Iterator[Finding]:
    """Name the days that a build left half made; the nightly run takes them."""
    from builds import ledger
    from builds.build_lock import BUILD_LOCK

    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        is_free = connection.execute("select pg_try_advisory_lock(%s)", (BUILD_LOCK,)).fetchone()
        days = ledger.unfinished_days(connection) if is_free == (True,) else None
    if days is not None:
        first, last = days.days()[0], days.days()[-1]
        remedy = f"the nightly run takes them; sooner: `metering rebuild --from {first} --to {last} --only build`"
        yield Finding(
            "builds", WARNING, f"one that failed left days half made, the first {first}, the last {last}: {remedy}"
        )


def _archive(url: str) -> Iterator[Finding]:
    """Look for each archived month's manifest, and for what waits for the month to be restored."""
    from archive import archive_store, lost_manifests, waiting_months
    from ingestion.archived import archived_months

    with psycopg.connect(url, connect_timeout=10) as connection:
        months = archived_months(connection)
        if not months:
            return

        def look() -> str:
            if lost := lost_manifests(connection, archive_store()):
                raise RuntimeError(lost[0])
            return f"{len(months)} month{'s' if len(months) > 1 else ''}, the last {max(months)}"

        yield _attempt("archive", look, "`metering restore` needs it")
        for month in waiting_months(connection):
            remedy = f"run `metering restore {month}`, `metering rebuild` over it, `metering archive {month}`"
            yield Finding(
                f"archive of {month}",
                WARNING,
                f"events came for it since, or a record left it, and no build knows: {remedy}",
            )


MOST_BEHIND_SECONDS = 60


def _replica() -> Iterator[Finding]:
    """Say of the replica that the API reads, where it is one, how far it may be behind."""
    from api.kit.queries import REPLICA
    from api.settings import Settings, SettingsError

    try:
        settings = Settings.model_validate({})
        with psycopg.connect(settings.database_url(), connect_timeout=10) as connection:
            row = connection.execute(REPLICA).fetchone()
    except (SettingsError, psycopg.Error) as error:
        yield Finding("the API's server", WRONG, f"{str(error).splitlines()[-1]}: check METERING_API_DATABASE_URL")
        return
    is_replica, behind = row or (False, None)
    if not is_replica:
        return
    detail = "it does not know how far it is behind" if behind is None else f"at most {behind} s behind"
    if settings.primary_url() == settings.database_url():
        detail += "; alone in METERING_API_DATABASE_URL: name the primary, too, for caps and acknowledgements"
        yield Finding("replica", WARNING, detail)
    else:
        yield Finding("replica", WARNING if behind is None or behind > MOST_BEHIND_SECONDS else OK, detail)


def _dagster_home() -> Finding:
    home = Path(os.environ["DAGSTER_HOME"])
    if (home / "dagster.yaml").exists():
        return Finding("DAGSTER_HOME", OK, str(home))
    return Finding("DAGSTER_HOME", WRONG, f"no dagster.yaml in {home}: run `metering migrate`")


def _secrets() -> Iterator[Finding]:
    pii = bool(os.environ.get("METERING_PII_KEY"))
    yield Finding("METERING_PII_KEY", OK if pii else WRONG, "set" if pii else "not set: phone numbers cannot be hashed")
    checks = bool(os.environ.get("METERING_JWT_SECRET") or os.environ.get("METERING_JWKS_URL"))
    yield Finding(
        "API tokens",
        OK if checks else WRONG,
        "can be checked" if checks else "set METERING_JWT_SECRET or METERING_JWKS_URL",
    )


def _operations() -> Iterator[Finding]:
    from api.settings import Settings, SettingsError

    settings = Settings.model_validate({})
    try:
        address = settings.dagster_internal_link() or settings.dagster_link()
        if not settings.operations:
            yield Finding("operator commands", OK, "off: the API only reads")
            return
    except SettingsError as error:
        yield Finding("operator commands", WRONG, str(error))
        return
    if not address:
        yield Finding("operator commands", WARNING, "on, but no day can be rebuilt: set METERING_DAGSTER_URL")
        return
    yield _attempt(
        "operator commands",
        partial(_reachable, f"{address}/server_info"),
        "start Dagster's web server, or check METERING_DAGSTER_URL",
    )


def _providers() -> Iterator[Finding]:
    from ingestion.config import IngestSettings
    from ingestion.run import PROVIDERS
    from usage_metering.failures import ConfigError

    try:
        settings = IngestSettings.from_environment()
    except ConfigError as error:
        yield Finding("ingestion settings", WRONG, str(error))
        return
    for name, spec in PROVIDERS.items():
        if not settings.credentialed(name):
            yield Finding(name, WARNING, f"skipped: set {', '.join(spec.required_variables)}")
            continue
        yield _attempt(name, partial(_reachable, settings.base_url(name)), "check its base URL")


def _reachable(base_url: str) -> str:
    # An HTTP error is an answer too; whether it lets us in is seen by its last read.
    try:
        urllib.request.urlopen(base_url, timeout=10).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    return f"answers at {base_url}"


def _alerts() -> Finding:
    from costs.alerts.senders import CHANNELS, TENANT, AlertSettings

    settings = AlertSettings.from_environment()
    ready = settings.senders()
    told = {
        severity: [medium for medium in media if medium in ready and medium != TENANT]
        for severity, media in settings.routes().items()
    }
    if not told["critical"]:
        waiting = [f"{medium} ({settings.obstacle(medium)})" for medium in CHANNELS if medium not in ready]
        return Finding("alerts", WARNING, f"nobody is told of a critical one: set up one of {', '.join(waiting)}")
    lines = [f"{severity} by {', '.join(media) or 'no medium'}" for severity, media in told.items()]
    return Finding("alerts", OK, "; ".join([*lines, *(["tenants by their webhooks"] if TENANT in ready else [])]))


def send_test_alerts() -> Iterator[Finding]:
    """Send a test message by each medium that is set up, not by the outbox: whoever asks waits for the answer."""
    from costs.alerts.requesting import Outgoing, SendFailed
    from costs.alerts.senders import CHANNELS, AlertSettings

    settings = AlertSettings.from_environment()
    senders = settings.senders()
    for medium in CHANNELS:
        if medium not in senders:
            yield Finding(f"test by {medium}", WARNING, f"not sent: {settings.obstacle(medium)}")
            continue
        name = f"test-{uuid.uuid4().hex[:12]}-{medium}"
        text = "✅ Test of usage-metering: alerts arrive here"
        payload = {"id": name, "type": "test", "createdAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "message": text}
        try:
            senders[medium].send(Outgoing(name, text, "Sent by metering doctor --test-alerts.", payload=payload))
        except SendFailed as failure:
            yield Finding(f"test by {medium}", WRONG, str(failure))
        else:
            yield Finding(f"test by {medium}", OK, f"sent as {name}")


def _directory() -> Finding:
    directory = os.environ.get("METERING_TENANT_DIRECTORY")
    if not directory:
        return Finding("tenant directory", WRONG, "set METERING_TENANT_DIRECTORY to a folder or a database URL")
    if "://" in directory or (Path(directory) / "tenants.csv").exists():
        return Finding("tenant directory", OK, "a database" if "://" in directory else directory)
    return Finding("tenant directory", WRONG, f"no tenants.csv in {directory}")


def _freshness(url: str) -> Iterator[Finding]:
    from costs.alerts import expiring, totals_below_parts
    from costs.alerts.operations import STALE_AFTER
    from ingestion.run import PROVIDERS
    from orchestration.partitions import start_date
    from usage_metering.clock import as_of

    with psycopg.connect(url) as connection:
        try:
            rows = connection.execute(
                "select distinct on (provider) provider, status, error, finished_at from ops.ingest_runs"
                " order by provider, finished_at desc"
            ).fetchall()
            build = connection.execute("select finished_at, data_as_of from ops.current_build").fetchone()
        except psycopg.errors.UndefinedTable:
            return
        yield from (
            Finding(f"{one.provider} retention", WRONG, one.message)
            for one in expiring(connection, as_of().date(), start_date())
        )
        yield from (
            Finding("sendgrid totals", WRONG, one.message) for one in totals_below_parts(connection, as_of().date())
        )
    now = datetime.now(UTC)
    for provider, status, error, finished_at in rows:
        if provider not in PROVIDERS or status == "skipped":
            continue
        if status == "failed":
            yield Finding(f"{provider} last read", WRONG, f"{error} ({finished_at:%Y-%m-%d %H:%M} UTC)")
        elif now - finished_at > STALE_AFTER:
            yield Finding(f"{provider} last read", WRONG, f"{finished_at:%Y-%m-%d %H:%M} UTC: is the schedule running?")
        else:
            yield Finding(f"{provider} last read", OK, f"{finished_at:%Y-%m-%d %H:%M} UTC")
    if build is None:
        yield Finding("last build", WARNING, "none yet: run `metering rebuild --days 7`")
    else:
        yield Finding("last build", OK, f"{build[0]:%Y-%m-%d %H:%M} UTC")
