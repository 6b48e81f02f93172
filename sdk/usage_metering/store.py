"""The way into PostgreSQL: lines of the spool become rows, each once for ever, in one transaction a batch.

What has been taken stands in raw.usage_event_keys: an event under its key; what came with a key that says something else
(and a decision or a refusal, which have no key) under one made of its content, so that it too is written only once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import psycopg

from usage_metering.bounded import BoundedConnection
from usage_metering.events import LONGEST_TEXT, UsageEvent, canonical, storable
from usage_metering.redact import NUMBER_HASH
from usage_metering.spool import Line
from usage_metering.taxonomy import NUMBER_SERVICES, UNATTRIBUTED

log = logging.getLogger("metering.tracking")

DISTRIBUTION = "METERING_DISTRIBUTION"
EVENT, DECISION, REFUSAL, LEASE_END = "e", "d", "r", "l"

ANSWER_MARGIN = 0.5
"""Seconds beyond the server's own limit after which a statement's answer is not waited for any more."""

MONTHS_MADE_WITHIN = timedelta(days=750)
"""Events further from today than this go to the default partition: a wrong clock makes no partitions."""

COLUMNS = {
    "event_key": "text",
    "payload_hash": "text",
    "occurred_at": "timestamptz",
    "tenant_id": "text",
    "service": "text",
    "operation": "text",
    "channel": "text",
    "direction": "text",
    "source": "text",
    "feature": "text",
    "activity": "text",
    "model": "text",
    "units": "numeric",
    "input_tokens": "bigint",
    "cached_input_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "cache_write_1h_tokens": "bigint",
    "output_tokens": "bigint",
    "external_id": "text",
    "resource_id": "text",
    "lead_id": "text",
    "message_id": "text",
    "flow_execution_id": "text",
    "metadata": "jsonb",
    "reservation": "text",
    "idempotency_key": "text",
}
_NO_COLUMNS = ("payload_hash", "metadata", "reservation", "idempotency_key")
_TABLE = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
_NAMES = ", ".join(COLUMNS)
_EVENT_NAMES = ", ".join(name for name in COLUMNS if name not in _NO_COLUMNS)


def _field(name: str) -> str:
    """Return what of a line goes into a column."""
    if COLUMNS[name] == "jsonb":
        return f"nullif(body -> '{name}', 'null')"
    return f"body ->> '{name}'" if COLUMNS[name] == "text" else f"(body ->> '{name}')::{COLUMNS[name]}"


CREATE = f"create temporary table if not exists incoming_events (line_number integer, {_TABLE}) on commit drop"
LINES_AT_ONCE = 1_000
"""Lines that one statement brings: bodies of up to 33 kB each are in memory three times meanwhile."""

# As jsonb, whose fields are found by their names at once; `json_to_record` over a table of the lines takes twice as long.
PARSE = f"""
insert into incoming_events (line_number, {_NAMES})
select line_number, {", ".join(map(_field, COLUMNS))}
from (
    select %s + line_number - 1 as line_number, line::jsonb as body
    from string_to_table(%s, e'\\n') with ordinality as lines (line, line_number)
    offset 0
) as lines
"""

# What else there is to do, and what the cap is told.
ABOUT = f"""
select
    array_agg(distinct date_trunc('month', occurred_at at time zone 'UTC')::date),
    array_agg(distinct reservation) filter (where reservation is not null),
    bool_or(idempotency_key is null and coalesce(external_id, '') = ''),
    bool_or(tenant_id = '{UNATTRIBUTED}'),
    bool_or(idempotency_key is not null)
from incoming_events
"""

# What a webhook reported about a number of which the caller knew no tenant: whose number it was on that day.
ATTRIBUTE = f"""
with numbers as (
    select resource_id, usage_date, ops.tenant_of_number(resource_id, usage_date) as tenant_id
    from (
        select distinct resource_id, (occurred_at at time zone 'UTC')::date as usage_date
        from incoming_events
        where tenant_id = '{UNATTRIBUTED}' and service = any(%s) and resource_id ~ %s
    ) as unknown
)
update incoming_events as events set tenant_id = numbers.tenant_id
from numbers
where numbers.tenant_id is not null
    and events.tenant_id = '{UNATTRIBUTED}'
    and events.service = any(%s)
    and events.resource_id = numbers.resource_id
    and (events.occurred_at at time zone 'UTC')::date = numbers.usage_date
"""

# Callers' own keys were global once, and now are of a tenant and service (`events.scoped_key`). One use that is told by both
# versions is one event: it keeps the key that was stored first. Lines of the earlier version may still be in a spool.
SPELLED_ANEW = """
update incoming_events as events set event_key = keys.event_key
from raw.usage_event_keys as keys
where events.idempotency_key is null
    and coalesce(events.external_id, '') = ''
    and keys.event_key = raw.scoped_event_key(events.tenant_id, events.service, events.event_key)
"""
SPELLED_BEFORE = """
with earlier as (
    select incoming.line_number, incoming.event_key as new_key, keys.event_key, keys.payload_hash, keys.usage_date
    from incoming_events as incoming
    inner join raw.usage_event_keys as keys on incoming.idempotency_key = keys.event_key
    where raw.is_event_of(keys.event_key, keys.usage_date, incoming.tenant_id, incoming.service)
),

found_again as (
    insert into raw.usage_event_keys (event_key, payload_hash, usage_date)
    select distinct on (new_key) new_key, payload_hash, usage_date from earlier order by new_key
    on conflict do nothing
)

update incoming_events as events set event_key = earlier.event_key
from earlier
where events.line_number = earlier.line_number
"""

# In the order of the keys: two flushes that bring the same events wait for each other instead of dying together. Of several lines with
# one key it is the first. No row where every line brought a new key, as nearly always.
TAKE = """
with taken as (
    insert into raw.usage_event_keys (event_key, payload_hash, usage_date)
    select event_key, payload_hash, (occurred_at at time zone 'UTC')::date from incoming_events order by event_key, line_number
    on conflict do nothing
    returning event_key
)
select coalesce(array_agg(event_key), '{}') from taken having count(*) < %s
"""
LEAVE_NEW = """
delete from incoming_events
where line_number not in (select min(line_number) from incoming_events where event_key = any(%s::text[]) group by event_key)
"""
INSERT = f"""
insert into raw.usage_events ({_EVENT_NAMES}, metadata, load_id)
select {_EVENT_NAMES}, coalesce(metadata, '{{}}'), %s from incoming_events
"""
# Where the events are spread over workers (`METERING_DISTRIBUTION=citus`): by a function, which adds the key that they are spread by.
INSERT_SPREAD = "select raw.add_events(%s, jsonb_agg(to_jsonb(incoming_events))) from incoming_events"
ADD_LIVE_USAGE = """
select ops.add_live_records(
    %s,
    coalesce(array_agg(distinct coalesce(nullif(external_id, ''), event_key)), '{}'),
    coalesce(array_agg(distinct (occurred_at at time zone 'UTC')::date), '{}'),
    %s
)
from incoming_events
"""

CONFLICTS = """
with conflicts as (
    select distinct on (incoming.event_key, incoming.payload_hash)
        incoming.*,
        (incoming.occurred_at at time zone 'UTC')::date as usage_date,
        'conflict:' || incoming.payload_hash || ':' || incoming.event_key as content_key
    from incoming_events as incoming
    inner join raw.usage_event_keys as keys on incoming.event_key = keys.event_key
    where incoming.payload_hash <> keys.payload_hash
    order by incoming.event_key, incoming.payload_hash, incoming.line_number
),

taken as (
    insert into raw.usage_event_keys (event_key, payload_hash, usage_date)
    select content_key, payload_hash, usage_date from conflicts order by content_key
    on conflict do nothing
    returning event_key
)

insert into raw.rejected_records (table_name, account_id, usage_date, record_key, reason, record, load_id)
select 'usage_events', conflicts.tenant_id, conflicts.usage_date, conflicts.event_key,
    'this key was recorded before with other data', lines.body::jsonb - 'reservation', %s
from conflicts
inner join unnest(%s::integer[], %s::text[]) as lines (line_number, body) on conflicts.line_number = lines.line_number
where conflicts.content_key in (select event_key from taken)
"""
# Each line's key as it is now, and whether what was stored under it says something else.
STORED_AS = """
select incoming.event_key, incoming.payload_hash <> keys.payload_hash
from incoming_events as incoming
inner join raw.usage_event_keys as keys on incoming.event_key = keys.event_key
order by incoming.line_number
"""

TAKE_ONCE = """
insert into raw.usage_event_keys (event_key, payload_hash, usage_date) values (%s, %s, %s)
on conflict do nothing returning event_key
"""
DECIDED = """
insert into ops.access_decisions (decision_id, tenant_id, channel, units, allowed, status, reason, mode, feature, decided_at)
values (%(decision_id)s, %(tenant_id)s, %(channel)s, %(units)s, %(allowed)s, %(status)s, %(reason)s, 'database_unavailable',
    %(feature)s, %(decided_at)s)
on conflict do nothing
"""
REFUSED = """
insert into raw.rejected_records (table_name, account_id, usage_date, record_key, reason, record, load_id)
values ('usage_events', %s, %s, %s, %s, %s, %s)
"""


LineResult = Literal["inserted", "duplicate", "rejected"]


@dataclass(frozen=True)
class Loaded:
    """What became of a batch of lines; they sum to its length. ``by_line``: of each, in their order, where all were events."""

    inserted: int = 0
    duplicates: int = 0
    rejected: int = 0
    by_line: tuple[LineResult, ...] = field(default=(), compare=False)

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(
            self.inserted + other.inserted,
            self.duplicates + other.duplicates,
            self.rejected + other.rejected,
            (*self.by_line, *other.by_line),
        )


class Store:
    """One connection to the database, made when needed and again when it breaks. For one thread at a time.

    Raises:
        psycopg.Error: from every method, when the database is away or does not take the lines for a reason that is
            not theirs (not migrated, no rights): the lines are not in it.
    """

    def __init__(self, url: str, *, connect_timeout: float = 5, statement_timeout: float = 60) -> None:
        self._url = url
        self._connect_timeout = max(2, round(connect_timeout))  # libpq takes less than 2 seconds for 2
        self._statement_timeout_ms = round(statement_timeout * 1000)
        self._patience = statement_timeout + ANSWER_MARGIN
        self._connection: BoundedConnection | None = None
        self._warned_of_live_usage = False
        self._insert = INSERT_SPREAD if os.environ.get(DISTRIBUTION, "").strip() == "citus" else INSERT

    def load(self, lines: Sequence[Line], *, prefix: str = "flush") -> Loaded:
        """Bring the lines in, all or none; a line that the database cannot hold goes to raw.rejected_records.

        So does one that nobody here understands, as a later version's: it must not hold up the lines behind it.
        """
        if not lines:
            return Loaded()
        try:
            return self._load(lines, prefix)
        except (psycopg.Error, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            if not _is_of_the_lines(error):
                raise
            if len(lines) == 1:
                return self._reject(lines[0], error, prefix)
        middle = len(lines) // 2
        return self.load(lines[:middle], prefix=prefix) + self.load(lines[middle:], prefix=prefix)

    def tenants_of(self, reservations: Sequence[str]) -> dict[str, str]:
        """Return the tenants of these reservations; one that is gone is not in it."""
        return dict(self.ask("select * from ops.tenants_of_reservations(%s)", list(reservations)))

    def recorded(self, keys: Iterable[str]) -> set[str]:
        """Return those of these record keys (a provider's ids, else events' own keys) of which an event is stored."""
        rows = self.ask("select * from raw.recorded_keys(%s)", list(keys))
        return {key for (key,) in rows}

    def tenants_of_keys(self, keys: Iterable[tuple[str, date]]) -> dict[tuple[str, date], str]:
        """Return the tenants of those that are keys of the directory, each on its day; without tenants' own ids."""
        requested = list(keys)
        rows = self.ask(
            "select * from ops.tenants_of_keys(%s, %s)", [key for key, _ in requested], [day for _, day in requested]
        )
        return {(key, day): tenant_id for key, day, tenant_id in rows}

    def ask(self, question: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query that changes nothing."""
        try:
            return self._connected().execute(question.encode(), parameters or None).fetchall()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self.close()
            raise
        finally:
            if self._connection is not None:
                self._connection.rollback()

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def forget(self) -> None:
        """Let go of a connection that is the parent process's."""
        self._connection = None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = BoundedConnection.connect(
                self._url,
                connect_timeout=self._connect_timeout,
                prepare_threshold=None,  # a pooler between us may hand each transaction to another session
                application_name="usage-metering tracker",
                keepalives_idle=30,
                tcp_user_timeout=30_000,
            )
            self._connection.patience = self._patience
        return self._connection

    def _load(self, lines: Sequence[Line], prefix: str) -> Loaded:
        load_id = f"{prefix}-{uuid.uuid4()}"
        connection = self._connected()
        try:
            with connection.transaction():
                connection.execute(f"set local statement_timeout = {self._statement_timeout_ms}".encode())
                events = [line for line in lines if line.kind == EVENT]
                loaded = self._load_events(connection, events, load_id) if events else Loaded()
                for line in lines:
                    if line.kind != EVENT:
                        loaded += self._load_other(connection, line, load_id)
            _require_commit(connection)
            return loaded
        except (psycopg.OperationalError, psycopg.InterfaceError):
            # Broken or in doubt: the next attempt has a fresh one.
            self.close()
            raise

    def _load_events(
        self, connection: psycopg.Connection[tuple[Any, ...]], events: Sequence[Line], load_id: str
    ) -> Loaded:
        connection.execute(CREATE.encode())
        with connection.cursor() as cursor:
            for begin in range(0, len(events), LINES_AT_ONCE):
                cursor.execute(PARSE.encode(), (begin, _joined(events[begin : begin + LINES_AT_ONCE])))
            months, reservations, is_any_unscoped, is_any_unattributed, is_any_scoped = next(
                cursor.execute(ABOUT.encode())
            )
            self._ensure_months(cursor, months)
            if is_any_unscoped:
                cursor.execute(SPELLED_ANEW.encode())
            if is_any_unattributed:
                services = list(NUMBER_SERVICES)
                cursor.execute(ATTRIBUTE.encode(), (services, f"^{NUMBER_HASH.pattern}$", services))
            if is_any_scoped:
                cursor.execute(SPELLED_BEFORE.encode())
            inserted: LineResult = "inserted"
            by_line = (inserted,) * len(events)
            some_only = cursor.execute(TAKE.encode(), (len(events),)).fetchone()
            if some_only is not None:
                (new,) = some_only
                by_line = _results(cursor.execute(STORED_AS.encode()), new)
                if "rejected" in by_line:
                    rejected = [number for number, result in enumerate(by_line) if result == "rejected"]
                    bodies = [events[number].body.decode() for number in rejected]
                    cursor.execute(CONFLICTS.encode(), (load_id, rejected, bodies))
                cursor.execute(LEAVE_NEW.encode(), (new,))
            cursor.execute(self._insert.encode(), (load_id,))
        loaded = Loaded(by_line.count("inserted"), by_line.count("duplicate"), by_line.count("rejected"), by_line)
        if loaded.inserted or reservations:
            self._add_live_usage(connection, load_id, reservations or [])
        return loaded

    def _ensure_months(self, cursor: psycopg.Cursor[tuple[Any, ...]], months: Sequence[date]) -> None:
        today = datetime.now(UTC).date()
        near = [month for month in months if abs(month - today) <= MONTHS_MADE_WITHIN]
        if near:
            cursor.execute("select raw.ensure_usage_event_months(%s::date[])", (near,))

    def _add_live_usage(
        self, connection: psycopg.Connection[tuple[Any, ...]], load_id: str, reservations: list[str]
    ) -> None:
        try:
            with connection.transaction():
                connection.execute(ADD_LIVE_USAGE, (load_id, reservations))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            # Before the first build there are no caps to hold, and that build takes these events in.
            if not self._warned_of_live_usage:
                self._warned_of_live_usage = True
                log.warning(
                    "events are taken, but count against no cap until the marts are built: %s", first_line(error)
                )

    def _load_other(self, connection: psycopg.Connection[tuple[Any, ...]], line: Line, load_id: str) -> Loaded:
        if line.kind not in (DECISION, REFUSAL, LEASE_END):
            raise ValueError(f"a line of the unknown kind {line.kind!r}")
        payload = json.loads(line.body)
        if line.kind == LEASE_END:
            connection.execute("select ops.release_usage(%s)", (payload["reservation"],))
            return Loaded(inserted=1)
        day = payload.pop("usage_date", None) or datetime.fromtimestamp(line.at_ms / 1000, UTC).date()
        digest = hashlib.sha256(canonical(payload)).hexdigest()
        kind = "decision" if line.kind == DECISION else "refusal"
        if connection.execute(TAKE_ONCE, (f"{kind}:{digest}", digest, day)).fetchone() is None:
            return Loaded(duplicates=1)
        if line.kind == DECISION:
            decision_id = payload.setdefault("decision_id", None)
            connection.execute(DECIDED, payload)
            if decision_id is not None:
                # Refused to the caller, while the answer that was lost may have held room for it.
                connection.execute("select ops.release_usage(%s)", (decision_id,))
            return Loaded(inserted=1)
        _refuse(
            connection, payload["tenant_id"], day, payload["record_key"], payload["reason"], payload["record"], load_id
        )
        return Loaded(rejected=1)

    def _reject(self, line: Line, error: Exception, prefix: str) -> Loaded:
        """Store a line that the database rejects in raw.rejected_records, with the reason."""
        message = first_line(error) if isinstance(error, psycopg.Error) else type(error).__name__
        log.error("the database rejected an event, which is now in raw.rejected_records: %s", message)
        try:
            payload = json.loads(line.body)
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            payload = {}
        record = {"line": ascii(line.body.decode("utf-8", "replace")).replace("\\u0000", "")}
        day = datetime.fromtimestamp(line.at_ms / 1000, UTC).date()
        reason = clipped(f"the database rejected it: {message}")
        connection = self._connected()
        with connection.transaction():
            _refuse(
                connection,
                clipped(str(payload.get("tenant_id", ""))),
                day,
                clipped(str(payload.get("event_key", ""))),
                reason,
                record,
                f"{prefix}-{uuid.uuid4()}",
            )
        _require_commit(connection)
        return Loaded(rejected=1, by_line=("rejected",))


def _is_of_the_lines(error: Exception) -> bool:
    """Return whether a smaller batch may pass: the fault is in a line, and not in the database's being away.

    Class 54 (a value too large, nested too deep) is an OperationalError to psycopg.
    """
    if not isinstance(error, psycopg.Error):
        return True
    if error.sqlstate is None:
        return isinstance(
            error, (psycopg.ProgrammingError, psycopg.DataError)
        )  # psycopg's own: a value, or one missing
    return isinstance(error, (psycopg.DataError, psycopg.IntegrityError)) or error.sqlstate.startswith("54")


def _require_commit(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Raise where the connection broke before the end of its transaction.

    psycopg's `transaction()` ends without a commit and without an error if it finds the connection broken, as it does
    when the rollback of a savepoint was what broke it (seen: events lost in a restart of the server).
    """
    if connection.closed:
        raise psycopg.OperationalError("the connection broke before the commit")


def _refuse(
    connection: psycopg.Connection[tuple[Any, ...]],
    tenant_id: str,
    day: date | str,
    record_key: str | None,
    reason: str,
    record: object,
    load_id: str,
) -> None:
    connection.execute(REFUSED, (tenant_id, day, record_key, reason, json.dumps(record), load_id))


def _joined(lines: Sequence[Line]) -> str:
    """Return the bodies as one text, a line each: outside of its texts, where JSON has none, a line's end is a space to it."""
    return "\n".join([line.body.decode().replace("\n", " ") for line in lines])


def _results(lines: Iterable[tuple[str, bool]], new: Sequence[str]) -> tuple[LineResult, ...]:
    """Return what became of each line; of several with one new key the first brought it."""
    waiting, results = set(new), list[LineResult]()
    for key, differs in lines:
        results.append("rejected" if differs else "inserted" if key in waiting else "duplicate")
        waiting.discard(key)
    return tuple(results)


def event_line(event: UsageEvent, at: float, reservation: str | None = None) -> Line:
    """Return the line of an event, recorded at ``at`` (Unix seconds)."""
    return Line(EVENT, int(at * 1000), event.to_json(reservation))


def decision_line(decision: dict[str, Any], at: float) -> Line:
    """Return the line of an answer that the guard gave without the database."""
    return Line(DECISION, int(at * 1000), _json({**decision, "id": str(uuid.uuid4())}))


def lease_end_line(reservation_id: str, at: float) -> Line:
    """Return the line that ends a lease: it stands behind the events that were recorded under it, and comes into force with or
    after them.
    """
    return Line(LEASE_END, int(at * 1000), _json({"reservation": reservation_id}))


def refusal_line(
    *, tenant_id: str, usage_date: date, record_key: str | None, reason: str, record: object, at: float
) -> Line:
    """Return the line of what was not an event; ``record`` must be free of personal data.

    The same refusal is kept once, on the day of its first report.
    """
    payload = {
        "tenant_id": clipped(tenant_id),
        "usage_date": usage_date.isoformat(),
        "record_key": None if record_key is None else clipped(record_key),
        "reason": clipped(reason),
        "record": record,
    }
    return Line(REFUSAL, int(at * 1000), _json(payload))


_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _json(value: object) -> bytes:
    return _ENCODE(value).encode("utf-8", "replace")


def clipped(text: str) -> str:
    """Return at most 500 characters of a text, as PostgreSQL can hold them."""
    return storable(text[:LONGEST_TEXT])


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line and without connection details."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def chunks(lines: Iterable[Line], size: int) -> Iterable[list[Line]]:
    """Yield the lines in lists of at most ``size``."""
    chunk: list[Line] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
