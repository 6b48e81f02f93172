"""The data the sandbox serves: lists of the providers' own resources, and the tenant directory that goes with
them.

What belongs here: the shape of the data and its JSON and CSV forms. Names of lists are in `lists.py`, how it is made up in `generate/`, how
it changes with the clock in `views.py`, how it is served in a module per provider.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from sandbox import views
from sandbox.generate import generate
from sandbox.lists import (
    BUCKET_LISTS,
    COUNTED_LISTS,
    DIRECTORY_COLUMNS,
    IDENTITY,
    LISTS,
    R2_LISTS,
    Record,
    Row,
    without_collector,
)
from sandbox.times import as_utc

# Money in JSON numbers stays exact in both directions.
ENCODER = msgspec.json.Encoder(decimal_format="number")
DECODER = msgspec.json.Decoder(float_hook=Decimal)

# What a provider shows of a record at a moment; the other lists do not change.
SEEN: dict[str, Callable[[Record, float], Record | None]] = {
    "twilio_calls": views.call_at,
    "twilio_recordings": views.recording_at,
    **dict.fromkeys(("twilio_messages", "twilio_phone_numbers"), views.message_at),
    "stripe_balance_transactions": views.transaction_at,
    **dict.fromkeys(R2_LISTS, views.measured_at),
    **dict.fromkeys((*BUCKET_LISTS, *COUNTED_LISTS), views.bucket_at),
}


def _unchanging(record: Record, _moment: float) -> Record:
    return views.plain(record)


@dataclass
class Dataset:
    """Everything one sandbox knows: the providers' resources, optionally with a `_sandbox` key.

    Aggregates carry `date` ("YYYY-MM-DD"). `missing_buckets` names days, by list, that an aggregates list
    leaves out of its answers.
    """

    twilio_accounts: list[Record] = field(default_factory=list)
    twilio_messages: list[Record] = field(default_factory=list)
    twilio_calls: list[Record] = field(default_factory=list)
    twilio_recordings: list[Record] = field(default_factory=list)
    twilio_phone_numbers: list[Record] = field(default_factory=list)
    openai_projects: list[Record] = field(default_factory=list)
    openai_usage_completions: list[Record] = field(default_factory=list)
    openai_usage_embeddings: list[Record] = field(default_factory=list)
    openai_costs: list[Record] = field(default_factory=list)
    anthropic_usage: list[Record] = field(default_factory=list)
    anthropic_costs: list[Record] = field(default_factory=list)
    sendgrid_subusers: list[Record] = field(default_factory=list)
    sendgrid_stats: list[Record] = field(default_factory=list)
    sendgrid_subuser_stats: list[Record] = field(default_factory=list)
    sendgrid_category_stats: list[Record] = field(default_factory=list)
    stripe_accounts: list[Record] = field(default_factory=list)
    stripe_balance_transactions: list[Record] = field(default_factory=list)
    openai_usage_images: list[Record] = field(default_factory=list)
    openai_usage_audio_speeches: list[Record] = field(default_factory=list)
    openai_usage_audio_transcriptions: list[Record] = field(default_factory=list)
    openai_usage_moderations: list[Record] = field(default_factory=list)
    openai_usage_vector_stores: list[Record] = field(default_factory=list)
    openai_usage_code_interpreter_sessions: list[Record] = field(default_factory=list)
    openai_usage_file_search_calls: list[Record] = field(default_factory=list)
    openai_usage_web_search_calls: list[Record] = field(default_factory=list)
    r2_operations: list[Record] = field(default_factory=list)
    r2_storage: list[Record] = field(default_factory=list)
    missing_buckets: dict[str, list[str]] = field(default_factory=dict)
    tenants: list[Row] = field(default_factory=list)
    tenant_resources: list[Row] = field(default_factory=list)
    tenant_limits: list[Row] = field(default_factory=list)

    @classmethod
    def generate(cls, *, seed: int = 7, tenants: int = 6, first: date, last: date, scale: float = 1.0) -> Dataset:
        """Made-up usage of `tenants` (at least 6) tenants on the days first..last, both included.

        The same arguments give the same bytes. `scale` multiplies the volume of every channel. Raises
        ValueError.
        """
        return cls(**generate(seed=seed, tenants=tenants, first=first, last=last, scale=scale))

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Reads what `dump` writes; an absent file is an empty list. Raises ValueError naming a malformed
        file.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder of sandbox data")
        values: dict[str, Any] = {}
        for name in (*LISTS, "missing_buckets"):
            path = folder / f"{name}.json"
            if path.exists():
                with without_collector():
                    values[name] = _read_json(path, dict if name == "missing_buckets" else list)
        for name in DIRECTORY_COLUMNS:
            path = folder / f"{name}.csv"
            if path.exists():
                with path.open(newline="", encoding="utf-8") as lines:
                    values[name] = list(csv.DictReader(lines))
        return cls(**values)

    def dump(self, folder: str | Path) -> None:
        """Writes one JSON file a list, a record a line, and the directory's CSV files if there are any."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in LISTS:
            lines = b",\n".join(ENCODER.encode(record) for record in getattr(self, name))
            (folder / f"{name}.json").write_bytes(b"[\n" + lines + b"\n]\n" if lines else b"[]\n")
        (folder / "missing_buckets.json").write_bytes(ENCODER.encode(self.missing_buckets) + b"\n")
        if self.tenants:
            self.write_directory(folder)

    def write_directory(self, folder: str | Path) -> None:
        """Writes tenants.csv, tenant_resources.csv and tenant_limits.csv, as METERING_TENANT_DIRECTORY takes
        them.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns in DIRECTORY_COLUMNS.items():
            rows: list[Row] = getattr(self, name)
            extra = sorted({key for row in rows for key in row} - set(columns))
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as lines:
                writer = csv.DictWriter(lines, [*columns, *extra], lineterminator="\n", restval="")
                writer.writeheader()
                writer.writerows(rows)

    def at(self, now: datetime) -> Dataset:
        """What the providers would answer at `now`, as a data set without any `_sandbox` keys."""
        moment = as_utc(now).timestamp()
        seen: dict[str, list[Record]] = {}
        for name in LISTS:
            view = SEEN.get(name, _unchanging)
            shown = (view(record, moment) for record in getattr(self, name))
            seen[name] = [record for record in shown if record is not None]
        return replace(self, **seen)  # type: ignore[arg-type]

    def put(self, name: str, record: Record) -> None:
        """Adds a record, or replaces the one of the same identity. Raises ValueError for an unknown list."""
        records, identity = self._list(name), IDENTITY[name]
        key = tuple(record.get(column) for column in identity)
        for position, existing in enumerate(records):
            if tuple(existing.get(column) for column in identity) == key:
                records[position] = record
                return
        records.append(record)

    def delete(self, name: str, **where: str) -> int:
        """Removes the records whose fields, as text, equal all of `where`; returns how many."""
        records = self._list(name)
        kept = [
            record for record in records if not all(str(record.get(column)) == value for column, value in where.items())
        ]
        removed = len(records) - len(kept)
        records[:] = kept
        return removed

    def _list(self, name: str) -> list[Record]:
        if name not in LISTS:
            raise ValueError(f"{name}: no such list (one of {', '.join(LISTS)})")
        records: list[Record] = getattr(self, name)
        return records


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = DECODER.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected a JSON {'object' if kind is dict else 'list'}")
    return value


assert {item.name for item in fields(Dataset)} >= set(LISTS)
