"""What all providers' answers share: the data, the clock, the faults, and the log of requests.

One `State` serves one sandbox. Requests read it on the server's thread, tests change it from theirs: every
change goes through a method here, under the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from sandbox.dataset import Dataset
from sandbox.faults import Faults
from sandbox.index import Index
from sandbox.lists import Record
from sandbox.times import as_utc, utc_now

OPENAI_ADMIN_KEY = "sk-admin-sandbox"
OPENAI_API_KEY = "sk-proj-sandbox"
ANTHROPIC_API_KEY = "sk-ant-sandbox"
ANTHROPIC_ADMIN_KEY = "sk-ant-admin01-sandbox"
SENDGRID_API_KEY = "SG.sandbox"
STRIPE_API_KEY = "sk_test_sandbox"
CLOUDFLARE_API_TOKEN = "cloudflare-sandbox-token"
CLOUDFLARE_ACCOUNT_ID = "5a0db0c5" * 4
DEFAULT_ACCOUNT = "AC" + "0" * 32
DEFAULT_TOKEN = "sandbox-auth-token"


class State:
    def __init__(self, dataset: Dataset, now: datetime | None = None) -> None:
        self.dataset = dataset
        self.faults = Faults()
        self.requests: deque[str] = deque(maxlen=100_000)  # "GET /path?query", oldest first
        self.lock = threading.RLock()
        self._now = None if now is None else as_utc(now)
        self._indexes: dict[str, dict[str, Index]] = {}
        self._by_date: dict[str, dict[str, list[Record]]] = {}

    # --- the clock

    @property
    def now(self) -> datetime:
        """The sandbox's time: as set, or else the machine's."""
        return utc_now() if self._now is None else self._now

    def set_now(self, now: datetime | None) -> None:
        """Stops the sandbox's clock at `now`; None lets it run with the machine's again."""
        self._now = None if now is None else as_utc(now)

    # --- the data

    @contextmanager
    def changing(self) -> Iterator[Dataset]:
        """The data set, to change at will; what was indexed of it is forgotten afterwards."""
        with self.lock:
            try:
                yield self.dataset
            finally:
                self._indexes.clear()
                self._by_date.clear()

    def put(self, name: str, *records: Record) -> None:
        with self.changing() as dataset:
            for record in records:
                dataset.put(name, record)

    def delete(self, name: str, **where: str) -> int:
        with self.changing() as dataset:
            return dataset.delete(name, **where)

    # --- what is sent through the sandbox itself: cheap, since it happens often

    def append(self, name: str, record: Record) -> None:
        """Adds a record that is known to be new."""
        with self.lock:
            getattr(self.dataset, name).append(record)
            self._indexes.pop(name, None)

    def add_bucket(self, name: str, where: Record, sums: dict[str, int], fixed: Record) -> Record:
        """Adds `sums` to the aggregate that `where` (with its `date`) identifies, which is made if there is none."""
        with self.lock:
            same_day = self.on_date(name, date.fromisoformat(where["date"]))
            for record in same_day:
                if "_sandbox" not in record and all(record.get(field) == value for field, value in where.items()):
                    for field, amount in sums.items():
                        record[field] = (record.get(field) or 0) + amount
                    return record
            record = {**fixed, **where, **sums}
            self._add_of_day(name, record)
            return record

    def add_mail(self, day: date, subuser: str | None, nothing: Record, emails: int) -> None:
        """Counts mail in the account's stats and, if it is a subuser's, in that one's (`nothing`: metrics of 0)."""
        sent = {"requests": emails, "processed": emails, "delivered": emails}
        with self.lock:
            for name, owner in (("sendgrid_stats", None), ("sendgrid_subuser_stats", subuser)):
                if name == "sendgrid_subuser_stats" and subuser is None:
                    continue
                record = next((one for one in self.on_date(name, day) if one.get("subuser") == owner), None)
                if record is None:
                    record = {"date": day.isoformat(), "metrics": dict(nothing)}
                    if owner is not None:
                        record["subuser"] = owner
                    self._add_of_day(name, record)
                total = record.setdefault("_sandbox", {}).setdefault("sent", {})
                for metric, count in sent.items():
                    total[metric] = total.get(metric, 0) + count

    def _add_of_day(self, name: str, record: Record) -> None:
        getattr(self.dataset, name).append(record)
        if name in self._by_date:
            self._by_date[name].setdefault(str(record["date"]), []).append(record)

    def set_missing(self, buckets: dict[str, list[str]]) -> None:
        """Replaces `missing_buckets`: days, by list name, that answers leave out."""
        with self.changing() as dataset:
            dataset.missing_buckets = buckets

    def index(self, name: str, account_sid: str) -> Index:
        """The messages, calls or recordings of one Twilio account, in order of time."""
        if name not in self._indexes:
            by_account: dict[str, list[Record]] = {}
            for record in getattr(self.dataset, name):
                by_account.setdefault(str(record.get("account_sid")), []).append(record)
            self._indexes[name] = {sid: Index(name, records) for sid, records in by_account.items()}
        return self._indexes[name].get(account_sid) or Index(name, [])

    def on_date(self, name: str, day: date) -> list[Record]:
        """The aggregates of one day."""
        if name not in self._by_date:
            by_date: dict[str, list[Record]] = {}
            for record in getattr(self.dataset, name):
                by_date.setdefault(str(record.get("date")), []).append(record)
            self._by_date[name] = by_date
        return self._by_date[name].get(day.isoformat(), [])

    def is_missing(self, name: str, day: date) -> bool:
        return day.isoformat() in self.dataset.missing_buckets.get(name, ())

    def accounts(self) -> list[Record]:
        """Twilio's accounts, the main one first."""
        accounts = self.dataset.twilio_accounts or self._accounts_of_records()
        return sorted(accounts, key=lambda account: not _is_main(account))

    def _accounts_of_records(self) -> list[Record]:
        """Data given without accounts: those that the records name, the first of them as the main one."""
        named = {
            str(record["account_sid"])
            for name in ("twilio_messages", "twilio_calls", "twilio_recordings", "twilio_phone_numbers")
            for record in getattr(self.dataset, name)
            if record.get("account_sid")
        }
        sids = sorted(named) or [DEFAULT_ACCOUNT]
        return [{"sid": sid, "owner_account_sid": sids[0], "status": "active"} for sid in sids]

    def warm(self) -> None:
        """Builds the indexes now, so that the first request is as fast as the next."""
        with self.lock:
            for name in ("twilio_messages", "twilio_calls", "twilio_recordings"):
                self.index(name, "")

    def environment(self, url: str) -> dict[str, str]:
        """The variables that point the project at this sandbox, credentials included."""
        main = self.accounts()[0]
        return {
            "TWILIO_ACCOUNT_SID": str(main["sid"]),
            "TWILIO_AUTH_TOKEN": str(main.get("auth_token") or DEFAULT_TOKEN),
            "TWILIO_BASE_URL": url,
            "OPENAI_ADMIN_KEY": OPENAI_ADMIN_KEY,
            "OPENAI_API_KEY": OPENAI_API_KEY,
            "OPENAI_BASE_URL": f"{url}/v1",
            "ANTHROPIC_API_KEY": ANTHROPIC_API_KEY,
            "ANTHROPIC_ADMIN_KEY": ANTHROPIC_ADMIN_KEY,
            "ANTHROPIC_BASE_URL": url,
            "METERING_ANTHROPIC_HOSTS": url.partition("://")[2],
            "SENDGRID_API_KEY": SENDGRID_API_KEY,
            "SENDGRID_BASE_URL": url,
            "STRIPE_API_KEY": STRIPE_API_KEY,
            "STRIPE_BASE_URL": url,
            "CLOUDFLARE_API_TOKEN": CLOUDFLARE_API_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": CLOUDFLARE_ACCOUNT_ID,
            "CLOUDFLARE_BASE_URL": f"{url}/client/v4",
        }

    def describe(self) -> dict[str, Any]:
        """For the control endpoints: the clock and the faults in force."""
        faults = [asdict(fault) for fault in self.faults.listed()]
        return {"now": self.now.isoformat(), "fixed": self._now is not None, "faults": faults}


def _is_main(account: Record) -> bool:
    return account.get("owner_account_sid") in (None, account.get("sid"))
