"""A sender of alerts that is killed: a process decides and sends, dies at random, and the next one takes over.

What it proves: every message that was decided reaches the provider, under one idempotency id, and no tenant is sent the
same thing twice within 24 hours. The test suite runs it small, `make bench ARGS=alerts` at full size.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

ACCOUNT = "AC" + "0" * 32
# From one sender to the next, on their clock: 250 of them are still less than a day.
MINUTES = 2
# What a sender takes seconds to import: it is to be killed at work.
PRELOADED = ["costs.alerts.outbox", "costs.alerts.senders"]


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes:
        decided: messages, four for each alert.
        lost: alerts that were sent by no medium, and messages that still wait; to be empty.
        given_up: mails and posts that were in doubt twice and had not arrived, whose SMS was sent: the price of no third copy.
        doubled: ids that the provider got more than once.
        repeated: what was sent twice within a day under two ids; to be empty.
    """

    decided: int
    lost: list[str]
    given_up: list[str]
    doubled: dict[str, int]
    repeated: list[str]
    kills: int
    killed_inside: int
    seconds: float


class Provider:
    """Twilio's and SendGrid's sending, a webhook and Slack's, as far as the sender needs them, with a memory of every message that was
    taken.
    """

    def __init__(self, delay: float, seed: int = 1) -> None:
        self.taken: list[tuple[str, str, str]] = []  # medium, idempotency id, body
        self.messages: list[dict[str, Any]] = []
        self.delay = delay
        self.fail_with: int | None = None
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def take(self, medium: str, key: str, body: str, record: dict[str, Any] | None) -> None:
        """Take a message, then think for a while before answering: there the caller may die."""
        time.sleep(self._chance.uniform(0, self.delay))
        with self._lock:
            self.taken.append((medium, key, body))
            if record is not None:
                self.messages.append(record)
        time.sleep(self._chance.uniform(0, self.delay))


@contextmanager
def serving(provider: Provider) -> Iterator[str]:
    """Serve the provider on a free port; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if provider.fail_with is not None:
                self.answer(provider.fail_with, {"code": 20000, "message": "to +15550001111", "status": 500})
            elif self.path == "/v3/mail/send":
                mail = json.loads(content)
                provider.take("email", mail["custom_args"]["idempotency_id"], mail["subject"], None)
                self.answer(202, None)
            elif self.path in ("/webhook", "/slack"):
                posted = json.loads(content)
                alert = posted.get("alert")
                body = f"{alert['tenantName']}: {alert['message']}" if alert else posted["text"].splitlines()[0]
                provider.take(self.path[1:], self.headers["webhook-id"], body, None)
                self.answer(200, None)
            else:
                form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
                message = {
                    "sid": f"SM{random.getrandbits(128):032x}",
                    "status": "queued",
                    # The senders' clock runs ahead of this one.
                    "date_created": format_datetime(datetime.now(UTC) + timedelta(days=1)),
                    **{name.lower(): value for name, value in form.items()},
                }
                provider.take("sms", self.headers["Idempotency-Key"], form["Body"], message)
                self.answer(201, message)

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            matching = [m for m in provider.messages if m["to"] == query["To"][0] and m["from"] == query["From"][0]]
            self.answer(200, {"messages": matching[::-1], "next_page_uri": None, "page_size": 1000})

        def answer(self, status: int, body: Any) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Message-Id", "mail")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(ConnectionError):  # the caller was killed
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def settings_of(base_url: str) -> dict[str, str]:
    """Return the variables of a sender that sends to ``base_url``."""
    return {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_BASE_URL": base_url,
        "TWILIO_PHONE_NUMBER": "+15550002222",
        "ADMIN_PHONE_NUMBER": "+15550001111",
        "SENDGRID_API_KEY": "SG.key",
        "SENDGRID_BASE_URL": base_url,
        "SENDGRID_FROM_EMAIL": "alerts@example.com",
        "ADMIN_EMAIL": "admin@example.com",
        "METERING_ALERT_WEBHOOK_URL": f"{base_url}/webhook",
        "METERING_ALERT_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 4,
        "METERING_ALERT_SLACK_URL": f"{base_url}/slack",
    }


def _work(url: str, base_url: str, tenants: int, minutes: float, began: Any) -> None:
    """Decide about that many tenants and send: what the asset does, ``minutes`` from now."""
    from costs.alerts import Condition, settle
    from costs.alerts.outbox import deliver
    from costs.alerts.senders import AlertSettings

    conditions = [
        Condition(
            f"t{number}", "threshold", "critical", None, "Monthly usage has exceeded $100.00", {}, f"Tenant {number}"
        )
        for number in range(tenants)
    ]
    settings = AlertSettings.model_validate(settings_of(base_url))
    with psycopg.connect(url, autocommit=True) as connection:
        began.set()
        later = timedelta(minutes=minutes)
        settle(connection, ["threshold"], conditions, routes=settings.routes(), now=datetime.now(UTC) + later)
        deliver(connection, settings.senders(), lambda: datetime.now(UTC) + later)


def judge(decided: Mapping[str, str], taken: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the ids of the messages that are lost, and of those that were given up after an SMS about the same.

    Args:
        decided: each message's state in the outbox by its id, which ends in its medium.
        taken: ids that the provider has.
    """
    missing = {key for key, state in decided.items() if state == "waiting" or key not in taken}
    sent_sms = {key for key, state in decided.items() if state == "sent" and key in taken and key.endswith("-sms")}
    given_up = {
        key
        for key in missing
        if not key.endswith("-sms") and decided[key] == "withdrawn" and f"{key.rpartition('-')[0]}-sms" in sent_sms
    }
    return missing - given_up, given_up


def run_crashes(url: str, *, kills: int, delay: float = 0.01, seed: int = 1) -> Outcome:
    """Kill ``kills`` senders, each at a random moment of its work, then let one finish.

    Args:
        url: a migrated database without alerts.
        delay: most seconds that the provider takes, before it has the message and once more after.
    """
    chance = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    started = time.monotonic()
    inside = killed = tenants = runs = 0
    provider = Provider(delay, seed)
    with serving(provider) as base_url:
        while killed < kills:
            tenants += 2
            runs += 1
            last = datetime.now(UTC) + timedelta(minutes=runs * MINUTES)
            began = context.Event()
            process = context.Process(target=_work, args=(url, base_url, tenants, runs * MINUTES, began))
            process.start()
            began.wait(60)
            time.sleep(chance.uniform(0, 10 * delay))
            # Neither one that was done before nor one that had not begun counts as a kill.
            if process.is_alive():
                process.kill()
                killed += 1
            process.join()
            with psycopg.connect(url) as connection:
                row = connection.execute(
                    "select count(*) from ops.alert_outbox where doubts > 0 and state = 'waiting' and next_attempt_at > %s",
                    (last,),
                ).fetchone()
                inside += row[0] if row else 0
        # What is in doubt rests, longer and longer: a later one takes it.
        for more in (100, 200):
            began = context.Event()
            last_one = context.Process(target=_work, args=(url, base_url, tenants, runs * MINUTES + more, began))
            last_one.start()
            last_one.join(120)
    with psycopg.connect(url) as connection:
        decided = dict(connection.execute("select idempotency_id, state from ops.alert_outbox").fetchall())
    copies = Counter(key for _, key, _ in provider.taken)
    lost, given_up = judge(decided, copies)
    deliveries = Counter(
        (medium, body) for medium, body in {key: (medium, body) for medium, key, body in provider.taken}.values()
    )
    return Outcome(
        decided=len(decided),
        lost=sorted(lost) if len(decided) >= 4 * tenants else ["undecided alerts"],
        given_up=sorted(given_up),
        doubled={key: count for key, count in sorted(copies.items()) if count > 1},
        repeated=sorted(f"{medium}: {body}" for (medium, body), count in deliveries.items() if count > 1),
        kills=killed,
        killed_inside=inside,
        seconds=time.monotonic() - started,
    )
