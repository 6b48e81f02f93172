"""Whether pages stay quick and light with a thousand tenants and a year."""

from __future__ import annotations

import time
import urllib.request
from datetime import date, timedelta
from statistics import median

import psycopg

from bench.api import AS_OF, DAYS, TENANT, serving
from bench.report import Ratio, at_most
from bench.stage import stage
from cli.tokens import mint
from ingestion.windows import Window
from sandbox import Dataset

TENANTS = 1_000
MONTHS = 12
RUNS = 15
SERVER_SECONDS = 0.2
TRANSFERRED_BYTES = 300_000

# (path, whether the owner asks). The tenant's are asked for other tenants in turn.
PAGES = (
    ("/settings/billing-usage", False),
    ("/settings/billing-usage?days=90", False),
    ("/admin/system-usage", True),
    ("/admin/usage", True),
    (f"/admin/usage/{TENANT}", True),
    ("/admin/alerts", True),
    ("/admin/reconciliation", True),
    ("/admin/data-freshness", True),
)
BY_DAY = ("usage_daily", "usage_summary", "usage_reconciliation")
BY_MONTH = ("usage_monthly", "tenant_usage_status", "tenant_monthly", "tenant_margin_monthly")


def run() -> list[Ratio]:
    """Each page's time in the server, and its bytes with compression, against what they may be."""
    first = AS_OF - timedelta(days=DAYS - 1)
    dataset = Dataset.generate(tenants=6, first=first, last=AS_OF)
    with stage(dataset, start=first, as_of=AS_OF) as system:
        system.rebuild(Window.of_days(first, AS_OF))
        rows = multiply(system.url, date(AS_OF.year, AS_OF.month - 1, 1))
        with serving() as port:
            return [ratio for path, is_root in PAGES for ratio in measured(port, path, is_root, rows)]


def multiply(url: str, month: date) -> int:
    """Give `TENANTS` tenants what the one has in ``month``, in each of the `MONTHS` up to the next; return the daily lines."""
    with psycopg.connect(url) as connection:
        connection.execute("set local role metering_transformer")
        _copy(connection, "tenants", "true", "")
        for mart in BY_DAY:
            # Every month has 28 days.
            _copy(connection, mart, "date between %(month)s and %(month)s + 27", "date", month)
        for mart in BY_MONTH:
            _copy(connection, mart, "month = to_char(%(month)s::date, 'YYYY-MM')", "month", month)
        counted = connection.execute("select count(*) from marts.usage_daily").fetchone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("analyze")
    assert counted is not None
    return int(counted[0])


def _copy(connection: psycopg.Connection, mart: str, chosen: str, when: str, month: date | None = None) -> None:
    rows = connection.execute(
        "select column_name from information_schema.columns "
        "where table_schema = 'marts' and table_name = %s order by ordinal_position",
        (mart,),
    ).fetchall()
    columns = [name for (name,) in rows]
    back = "make_interval(months => back)"
    changed = {
        "tenant_id": "'tenant-' || number",
        "name": "'Tenant ' || number",
        "id": "source.id || ':' || number || ':' || back",
        "date": f"(source.date - {back})::date",
        "month": f"to_char((source.month || '-01')::date - {back}, 'YYYY-MM')",
    }
    # The month after the copied one is the current one.
    months = f"generate_series(-1, {MONTHS - 2})" if when else "generate_series(0, 0)"
    values = ", ".join(changed.get(name, f"source.{name}") for name in columns)
    connection.execute(
        f"insert into marts.{mart} ({', '.join(columns)}) select {values} from marts.{mart} as source, "
        f"generate_series(1, {TENANTS}) as number, {months} as back "
        f"where source.tenant_id = '{TENANT}' and {chosen}".encode(),
        {"month": month},
    )


def measured(port: int, path: str, is_root: bool, rows: int) -> list[Ratio]:
    """Return a page's ratios of time and of bytes."""
    seconds, size = [], 0
    for number in range(1, RUNS + 2):
        token = mint("root_admin", None, "1h") if is_root else mint("tenant_admin", f"tenant-{number}", "1h")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
        )
        started = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            size = len(answer.read())
        seconds.append(time.perf_counter() - started)
    typical = median(seconds[1:])
    detail = f"{typical * 1000:.0f} ms, {size / 1000:.0f} kB; {TENANTS:,} tenants, {MONTHS} months, {rows:,} lines"
    return [
        at_most(f"{path}: time / {SERVER_SECONDS * 1000:.0f} ms", typical / SERVER_SECONDS, 1, detail),
        at_most(f"{path}: bytes / {TRANSFERRED_BYTES // 1000} kB", size / TRANSFERRED_BYTES, 1, detail),
    ]
