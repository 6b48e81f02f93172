"""A Twilio whose one account sent any number of messages on one day, made up page by page: ``python -m bench.big_day_server ROWS WAIT``.

It costs next to nothing to serve: a page is a text in which the page's number is filled in. ``WAIT`` is how many seconds it lets a
page wait. It prints its port once it listens.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from urllib.parse import parse_qs, urlencode, urlsplit

DAY = date(2026, 11, 3)
ACCOUNT = "AC" + "1" * 32
PAGE = 1000
MARK = "70a6e0ff"
SECONDS = 86_400


def _template() -> str:
    """Return a page's records: in each, `MARK` stands for the page's number."""
    chance = random.Random(1)
    records = []
    for number in range(PAGE):
        sid = f"SM{chance.getrandbits(96):024x}{MARK}"
        at = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}"
        records.append(
            {
                "account_sid": ACCOUNT,
                "api_version": "2010-04-01",
                "body": "Reminder: your invoice is due on Friday.",
                "date_created": "@",
                "date_sent": "@",
                "date_updated": "@",
                "direction": "outbound-api",
                "error_code": None,
                "error_message": None,
                "from": f"+1808555{number % 40:04d}",
                "messaging_service_sid": None,
                "num_media": "0",
                "num_segments": str(1 + number % 3),
                "price": f"-{0.0079 * (1 + number % 3):.5f}",
                "price_unit": "USD",
                "sid": sid,
                "status": "delivered",
                "subresource_uris": {"media": f"{at}/Media.json", "feedback": f"{at}/Feedback.json"},
                "to": f"+1{201 + number % 700}{number % 10}@@@@{number // 10 % 100:02d}",
                "uri": f"{at}.json",
            }
        )
    return json.dumps(records)


class Twilio(BaseHTTPRequestHandler):
    """Answers lists; only that of messages holds anything."""

    protocol_version = "HTTP/1.1"
    rows = 0
    wait = 0.0
    template = ""

    def do_GET(self) -> None:
        """Answer one page."""
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        name = address.path.rsplit("/", 1)[-1].removesuffix(".json")
        if name == "Accounts":
            body = json.dumps({"accounts": [{"sid": ACCOUNT, "status": "active"}], "next_page_uri": None})
        elif name == "Messages":
            time.sleep(self.wait)
            body = self._messages(query)
        else:
            lists = {"Calls": "calls", "Recordings": "recordings", "IncomingPhoneNumbers": "incoming_phone_numbers"}
            body = json.dumps({lists.get(name, "usage_records"): [], "next_page_uri": None})
        content = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _messages(self, query: dict[str, str]) -> str:
        """Return a page of those sent in the time asked for, newest first. All of a page were sent in one second."""
        start = datetime.combine(DAY, datetime.min.time(), UTC)
        pages = ceil(self.rows / PAGE)
        bounds = [
            datetime.fromisoformat(query.get(name, str(start + timedelta(days=offset)))) for name, offset in BOUNDS
        ]
        first, last = (min(max(0, ceil((when - start).total_seconds() / SECONDS * pages)), pages) for when in bounds)
        number = int(query.get("Page", last - 1))
        if number < first:
            return json.dumps({"messages": [], "next_page_uri": None})
        when = (start + timedelta(seconds=number * SECONDS // pages)).strftime("%a, %d %b %Y %H:%M:%S +0000")
        records = (
            self.template.replace(MARK, f"{number:08x}").replace("@@@@", f"{number:04d}").replace('"@"', f'"{when}"')
        )
        more = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?{urlencode({**query, 'Page': number - 1})}"
        return f'{{"messages": {records}, "next_page_uri": {json.dumps(more if number > first else None)}}}'

    def log_message(self, *_: object) -> None:
        """Say nothing."""


BOUNDS = (("DateSent>", 0), ("DateSent<", 1))


def main(rows: int, wait: float) -> None:
    """Serve until the process is ended."""
    Twilio.rows, Twilio.wait, Twilio.template = rows, wait, _template()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Twilio)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
