#!/usr/bin/env bash
# twilio 9.13.0: a datetime with a time zone is sent as its wall clock with a Z, which is another moment.
#
# The client's own datetimes are aware (`message.date_sent` is in UTC), and an aware datetime is one moment, whatever its zone. One would expect
# it to be converted, or refused. Seen of one moment, 2026-11-02 08:00 UTC, as UTC, Berlin and New York write it:
#
#                                             UTC                     Berlin, +01:00          New York, -05:00
#   messages.list(date_sent_after=…)          2026-11-02T08:00:00Z    2026-11-02T09:00:00Z    2026-11-02T03:00:00Z
#   calls.list(start_time_after=…)            the same three
#   recordings.list(date_created_after=…)     the same three
#   messages.create(send_at=…)                the same three
#   messages of 00:30 to 23:30, one an hour   16                      15                      21
#
# The last line is what `messages.list(date_sent_after=…)` returns of a server that keeps to the moment it is asked for. Nothing warns.
#
# Why a user of usage metering cares: who goes on reading from the newest moment that is stored, and has it in a zone east of Greenwich (as a
# database session may hand it over), asks for less than there is: the messages of the first hours are never read, and their cost is
# nobody's. West of it they are read twice. And days by a business's own zone start at the wrong hour. What helps:
# `moment.astimezone(UTC)` before each call.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; nothing is sent.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'twilio==9.13.0' 'tzdata==2026.6' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
SENT = [MIDNIGHT + timedelta(hours=hour, minutes=30) for hour in range(24)]


class Provider(HttpClient):
    """Answers as Twilio does, which takes a Z for UTC; `asked` is the moment of the last request."""

    def request(self, method, url, params=None, data=None, *others, **more):
        (self.asked,) = (value for name, value in {**(params or {}), **(data or {})}.items() if name in NAMES)
        if method == "POST":
            return Response(201, json.dumps({"sid": "SM1"}))
        after = datetime.fromisoformat(self.asked)
        found = [{"sid": f"SM{moment:%H}", "date_sent": format_datetime(moment)} for moment in SENT if moment >= after]
        kind = url.rpartition("/")[2].removesuffix(".json").lower()
        return Response(200, json.dumps({kind: found if kind == "messages" else [], "page": 0, "next_page_uri": None, "uri": url}))


NAMES = ("DateSent>", "StartTime>", "DateCreated>", "SendAt")
provider = Provider(None, False, None)
client = Client("AC1", "none", http_client=provider)
ways = {
    "messages.list": lambda moment: client.messages.list(date_sent_after=moment),
    "calls.list": lambda moment: client.calls.list(start_time_after=moment),
    "recordings.list": lambda moment: client.recordings.list(date_created_after=moment),
    "messages.create": lambda moment: client.messages.create(
        to="+15005550006", body="x", messaging_service_sid="MG1", schedule_type="fixed", send_at=moment
    ),
}
moment = MIDNIGHT.replace(hour=8)
assert all(message.date_sent.tzinfo is UTC for message in client.messages.list(date_sent_after=moment)), "its own datetimes are aware"
expected = {"UTC": ("2026-11-02T08:00:00Z", 16), "Europe/Berlin": ("2026-11-02T09:00:00Z", 15), "America/New_York": ("2026-11-02T03:00:00Z", 21)}
changed = 0
for zone, (sent, number) in expected.items():
    there = moment.astimezone(ZoneInfo(zone))
    asked = {}
    for way, call in ways.items():
        call(there)
        asked[way] = provider.asked
    found = len(client.messages.list(date_sent_after=there))
    same = (set(asked.values()), found) == ({sent}, number)
    changed += not same
    print(f"{there.isoformat()} is sent as {' '.join(sorted(set(asked.values())))}: {found} messages {'' if same else 'CHANGED'}")
sys.exit(changed)
PYTHON
echo "as stated"
