"""How well unusual days are told from usual ones, and what becomes of messages whose senders are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg

from bench.report import Ratio, at_least, at_most
from costs.anomaly import find_anomaly
from orchestration.alerts import ALERT_TYPES, Condition, settle
from orchestration.alerts.outbox import Message, deliver
from warehouse import embedded
from warehouse.migrate import migrate

FIRST = date(2026, 1, 5)
DAYS, WARM_UP = 180, 56
TENANTS = 60
SPIKE_SHARE = 0.01
KILLS = 200
WEEKS = ((1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.1), (1.0, 1.0, 1.0, 1.0, 1.2, 1.4, 1.3), (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0))


def run() -> list[Ratio]:
    """Labelled spikes among noisy, growing and sparse usage; 200 senders killed."""
    hits, told, spikes = _labelled()
    sent, queued, most, repeated = _killed()
    return [
        at_least("alerts: spikes that are told / all spikes (recall)", hits / spikes, 0.9, f"{hits} of {spikes}"),
        at_least("alerts: spikes among what is told (precision)", hits / told, 0.9, f"{hits} of {told}"),
        at_least("alerts: messages sent / decided, after 200 kills", sent / queued, 1, f"{sent} of {queued}"),
        at_most("alerts: times that a message went out at most", most, 2, f"{KILLS} kills"),
        at_most("alerts: decided twice within 24 h", repeated, 0, f"{repeated} of {queued}"),
    ]


def _labelled() -> tuple[int, int, int]:
    """Return spikes found, days told in all, and spikes there were. A spike is 3 to 8 times what the day would have been."""
    rng = random.Random(20260105)
    hits = told = spikes = 0
    for tenant in range(TENANTS):
        week, noise = WEEKS[tenant % len(WEEKS)], rng.uniform(0.05, 0.3)
        level, growth = 10 ** rng.uniform(1.3, 5), rng.uniform(-0.001, 0.003)
        usage: dict[date, float] = {}
        for number in range(DAYS):
            day = FIRST + timedelta(days=number)
            usual = level * (1 + growth) ** number * week[day.weekday()] * rng.lognormvariate(0, noise)
            is_spike = number >= WARM_UP and usual > 0 and rng.random() < SPIKE_SHARE
            usage[day] = round(usual * rng.uniform(3, 8)) if is_spike else round(usual)
            if number < WARM_UP:
                continue
            found = find_anomaly(usage, day, FIRST)
            spikes += is_spike
            told += found is not None
            hits += is_spike and found is not None
    return hits, told, spikes


def _send(url: str, log: str) -> None:
    def send(message: Message) -> str:
        time.sleep(random.uniform(0, 0.004))
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{message.idempotency_id}\n".encode())
        os.close(descriptor)
        time.sleep(random.uniform(0, 0.004))
        return "id"

    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            deliver(connection, {"sms": send, "email": send})
            time.sleep(0.01)


def _killed() -> tuple[int, int, int, int]:
    """Return messages sent, decided, how often one was sent at most, and those decided again within 24 hours."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="metering-bench-") as folder:
        url = embedded.start(Path(folder) / "pg")
        try:
            migrate(url)
            log = Path(folder) / "sent"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("create table marts.tenants (tenant_id text, name text)")
                now = datetime.now(UTC)
                for kill in range(KILLS):
                    holding = [Condition(f"t{kill}-{n}", "cap", "critical", "sms", "over") for n in range(5)]
                    for _ in range(2):  # a second evaluation decides nothing anew
                        settle(connection, ALERT_TYPES, holding, media=["sms", "email"], now=now)
                    sender = multiprocessing.get_context("fork").Process(target=_send, args=(url, str(log)))
                    sender.start()
                    time.sleep(rng.uniform(0.02, 0.12))
                    assert sender.pid is not None
                    os.kill(sender.pid, signal.SIGKILL)
                    sender.join()
                deliver(connection, {medium: _logger(log) for medium in ("sms", "email")})
                decided = connection.execute(
                    "select queued.idempotency_id, alerts.tenant_id, queued.medium from ops.alert_outbox as queued"
                    " inner join ops.usage_alerts as alerts on alerts.id = queued.alert_id"
                ).fetchall()
            sent = Counter(log.read_text().split())
        finally:
            embedded.stop(Path(folder) / "pg")
    queued = {key for key, _, _ in decided}
    repeated = len(decided) - len({(tenant, medium) for _, tenant, medium in decided})
    return len(queued & set(sent)), len(queued), max(sent.values()), repeated


def _logger(log: Path):  # type: ignore[no-untyped-def]
    def send(message: Message) -> str:
        with log.open("a") as lines:
            lines.write(f"{message.idempotency_id}\n")
        return "id"

    return send
