"""A month closed by the command line over real ingests: what the provider says later is booked, what a hand does is found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime

import pytest

from costs.closing import verify_month
from tests.e2e.system import System
from tests.e2e.test_changes_at_the_provider import a_message

DAY = "2026-10-15"
OCTOBER = {
    "usage_daily": "date",
    "usage_summary": "date",
    "billing_usage_daily": "date",
    "usage_activity_daily": "date",
    "usage_monthly": "month",
    "tenant_monthly": "month",
    "tenant_usage_status": "month",
}


def october(system: System) -> dict[str, list[str]]:
    marts = system.marts()
    return {
        name: [row for row in marts[name] if str(json.loads(row)[column]).startswith("2026-10")]
        for name, column in OCTOBER.items()
    }


# The close proves the month first: a build of all of it.
@pytest.mark.timeout(600)
def test_a_closed_month_stands_while_the_provider_goes_on(
    built_system: System, metering: Callable[..., tuple[object, str, str]]
) -> None:
    system = built_system
    code, _, err = metering("close", "2026-11")
    assert (code, err) == (1, "metering: 2026-11 is not over: it can be closed from 2026-12-04 on\n")

    code, out, err = metering("close", "2026-10", "--by", "the accountant")
    assert code == 0, err
    found = re.search(r"2026-10 is closed: (\d+) rows, root ([0-9a-f]{64})", out)
    assert found is not None
    root = found[2]
    before = october(system)
    assert all(before.values())

    # The same records again: another load, the same digests.
    system.refresh(DAY, DAY)
    code, out, err = metering("close", "verify", "2026-10", "--root", root, "--strict")
    assert (code, err) == (0, "")
    assert f"{found[1]} rows, root {root}" in out
    assert system.query("select count(*) from ops.cost_adjustments") == [(0,)]

    # The provider corrects one message, forgets one, and says of one that it was sent in November.
    wanted = datetime.fromisoformat(DAY).strftime("%d %b %Y")
    messages = [
        message
        for message in system.sandbox.dataset.twilio_messages
        if wanted in str(message["date_sent"])
        and message["direction"] == "outbound-api"
        and message["num_media"] == "0"
        and message["status"] == "delivered"
    ]
    corrected, forgotten, moved = (dict(message) for message in messages[:3])
    system.sandbox.put("twilio_messages", corrected | {"num_segments": str(int(str(corrected["num_segments"])) + 4)})
    system.sandbox.delete("twilio_messages", sid=str(forgotten["sid"]))
    system.sandbox.put("twilio_messages", moved | {"date_sent": "Mon, 02 Nov 2026 10:00:00 +0000"})
    system.refresh(DAY, DAY, providers=["twilio"])
    system.rebuild("2026-11-02", "2026-11-02")
    assert october(system) == before
    ((booked, months, days),) = system.query(
        "select sum(cost_usd) * 100, array_agg(distinct booked_month), array_agg(distinct date::text) from ops.cost_adjustments"
    )
    assert (months, days) == (["2026-11"], [DAY])
    assert system.query("select sum(adjustment_cents) from marts.tenant_monthly where month = '2026-11'") == [(booked,)]
    code, out, err = metering("close", "verify", "2026-10", "--strict")
    noted = re.findall(r"on record: raw.twilio_messages: (\d) records? changed by ingest", out)
    assert sum(map(int, noted)) == 3
    assert code == 1
    assert verify_month(system.database_url, "2026-10").findings == []

    # A hand in the table, on a record of a day that was read again since.
    other = a_message(system, "2026-10-16")
    system.execute("update raw.twilio_messages set price = price - 0.0001 where sid = %s", other["sid"])
    code, _, err = metering("close", "verify", "2026-10")
    assert code == 1
    assert re.search(f'raw.twilio_messages {{"sid": "{other["sid"]}".*}}: changed since the close', err)
    # Reading it again brings the provider's word back.
    system.refresh("2026-10-16", "2026-10-16", providers=["twilio"])
    assert verify_month(system.database_url, "2026-10").findings == []
