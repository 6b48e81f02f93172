"""Sends final daily usage to Stripe Billing Meters: an example for a billing service, explained in docs/billing-integration.md."""

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

METERS = {"sms": "sms_segments", "mms": "mms_messages", "voice": "voice_minutes", "email": "emails", "ai": "ai_tokens"}
OLDEST = timedelta(days=35)  # Stripe takes no timestamp beyond

LEDGER = """
create table if not exists meter_events (
    identifier text primary key,
    tenant_id text not null,
    day text not null,
    channel text not null,
    revision integer not null,
    units integer not null,
    sent_at text,
    unique (tenant_id, day, channel, revision)
)
"""


def identifier(tenant_id: str, day: str, channel: str, revision: int) -> str:
    """Return the event's name: the same for the same revision of the same day, whoever asks and whenever."""
    text = json.dumps([tenant_id, day, channel, revision])
    return "usage-" + hashlib.sha256(text.encode()).hexdigest()[:40]


def final_days(tenant_id: str, first: date, last: date) -> list[dict]:
    """Return the rows of a tenant's final days, both ends included, of the channels that have a meter."""
    query = urlencode({"tenantId": tenant_id, "from": first, "to": last})
    request = Request(
        f"{os.environ['METERING_API_URL']}/api/billing/usage/daily?{query}",
        headers={"Authorization": f"Bearer {os.environ['METERING_API_TOKEN']}"},
    )
    with urlopen(request, timeout=30) as answer:
        rows = json.load(answer)["rows"]
    return [row for row in rows if row["isFinal"] and row["channel"] in METERS]


def write_down(ledger: sqlite3.Connection, tenant_id: str, rows: list[dict]) -> int:
    """Give each day whose total is not the last one written down a new revision; return how many there are."""
    new = 0
    with ledger:
        for row in rows:
            cell = (tenant_id, row["date"], row["channel"])
            revision, units = ledger.execute(
                "select coalesce(max(revision), 0), coalesce((select units from meter_events as newest"
                " where newest.tenant_id = ?1 and newest.day = ?2 and newest.channel = ?3"
                " order by revision desc limit 1), 0)"
                " from meter_events where tenant_id = ?1 and day = ?2 and channel = ?3",
                cell,
            ).fetchone()
            if row["unitCount"] != units:
                ledger.execute(
                    "insert into meter_events values (?, ?, ?, ?, ?, ?, null)",
                    (identifier(*cell, revision + 1), *cell, revision + 1, row["unitCount"]),
                )
                new += 1
    return new


def send(ledger: sqlite3.Connection, customers: dict[str, str], now: datetime) -> list[str]:
    """Send what is not sent, oldest revision first; return the identifiers that are too old for a meter.

    Those are for a person: an invoice item or a credit note in the open month.
    """
    too_old = []
    waiting = ledger.execute(
        "select identifier, tenant_id, day, channel, units from meter_events where sent_at is null"
        " order by tenant_id, day, channel, revision"
    ).fetchall()
    for name, tenant_id, day, channel, units in waiting:
        noon = datetime.combine(date.fromisoformat(day), time(12), UTC)
        if now - noon > OLDEST:
            too_old.append(name)
            continue
        post(
            {
                "event_name": METERS[channel],
                "identifier": name,
                "timestamp": int(noon.timestamp()),
                "payload[stripe_customer_id]": customers[tenant_id],
                "payload[value]": units,
            }
        )
        with ledger:
            ledger.execute("update meter_events set sent_at = ? where identifier = ?", (now.isoformat(), name))
    return too_old


def post(event: dict) -> None:
    """Send one meter event; that Stripe has it already is as good."""
    request = Request(
        f"{os.environ.get('STRIPE_BASE_URL', 'https://api.stripe.com')}/v1/billing/meter_events",
        data=urlencode(event).encode(),
        headers={"Authorization": f"Bearer {os.environ['STRIPE_API_KEY']}"},
    )
    try:
        urlopen(request, timeout=30).close()
    except HTTPError as error:
        message = json.load(error).get("error", {}).get("message", "")
        if error.code != 400 or event["identifier"] not in message:
            raise


def nightly() -> list[str]:
    """Write down and send the days that a change may reach back to; return what is too old for a meter."""
    with closing(sqlite3.connect(os.environ["BILLING_LEDGER"])) as ledger:
        ledger.execute(LEDGER)
        now = datetime.fromisoformat(os.environ["BILLING_NOW"])
        customers = {"acme": "cus_acme"}
        for tenant in customers:
            write_down(ledger, tenant, final_days(tenant, now.date() - timedelta(days=60), now.date()))
        return send(ledger, customers, now)


if __name__ == "__main__":
    for name in nightly():
        print(f"{name} is too old for a meter: bill it by hand")
