"""Records with an id of their own: where a unit is answered again, only the rows that differ are written.

A day that is read again says of most of its records what is stored. Leaving those rows as they stand spares their entries in the
indexes, the log and the vacuum. Read are the units and what is staged of them, whatever the length of the history behind them: an id
is looked up in the rest of the table only where it is new to its unit, by the primary key. Units of which nothing is stored are not compared:
that would cost half as much as writing them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql

from ingestion.database import is_spread
from ingestion.load.unchanged import arrays, content_columns, staged_value
from ingestion.sources.reading import Unit

# What tells a record's newer state from its older one; the first of these columns that its table has.
NEWEST_BY = ("date_updated", "end_time", "created")
# What is to be inserted, with the alias ``s``: of what `find_changes` has noted, and of units of which nothing is stored.
NEW = "(select s.* from {staged} as s inner join changes on changes.staged_at = s.ctid where changes.stored_at is null order by {order}) as s"
FIRST = "(select distinct on ({order}) s.* from {staged} as s order by {order}, coalesce(s.{newest}, '-infinity') desc, s.ctid desc) as s"
# The records that have appeared or vanished, with their days: with what `find_changes` has noted, and of units of which nothing was stored.
CHANGED = (
    "select {id} as id, min(usage_date) as usage_date from changes"
    " where stored_at is null or staged_at is null group by {id} having count(*) = 1"
)
# Of what is staged: its size tells the planner how many they are, where it knows nothing of a new day.
CAME = "select s.{id} as id, s.usage_date from {staged} as s"


@dataclass(frozen=True)
class Staged:
    """What a load holds of a table: its schema, the columns that it has of the table (none: nothing was loaded), and the columns of the
    records' key, last the id by which tracked events name them.
    """

    table: str
    dataset: str
    columns: Sequence[str]
    keys: Sequence[str]

    def fill(self, statement: str, **others: sql.Composable) -> sql.Composed:
        """Return a statement with the names of both tables (``stored``, ``staged``), their columns and key, and ``others``."""
        stored = sql.Identifier("raw", self.table)
        nothing = sql.SQL("(select t.ctid, t.* from {stored} as t limit 0)").format(stored=stored)
        return sql.SQL(statement).format(
            stored=stored,
            staged=sql.Identifier(self.dataset, self.table) if self.columns else nothing,
            columns=_list(map(sql.Identifier, self.columns)),
            id=sql.Identifier(self.keys[-1]),
            newest=sql.Identifier(next((name for name in NEWEST_BY if name in self.columns), self.keys[-1])),
            order=self.order(),
            **others,
        )

    def same_key(self, one: str, other: str) -> sql.Composed:
        """Return the condition that rows of two aliases are of one record."""
        return sql.SQL(" and ").join(
            sql.SQL("{}.{key} = {}.{key}").format(sql.SQL(one), sql.SQL(other), key=sql.Identifier(key))
            for key in self.keys
        )

    def same_row(self, other: str, key: str) -> sql.Composed:
        """Return the condition that a stored row (alias ``t``) is the one that ``other`` names, whose column ``key`` has its id.

        By its place, which is found at once; on Citus, where each worker has rows of the same places, by what tells it from all others.
        """
        if not is_spread():
            return sql.SQL("t.ctid = {}.stored_at").format(sql.Identifier(other))
        return sql.SQL(
            "t.{id} = {other}.{key} and t.account_id = {other}.account_id and t.usage_date = {other}.usage_date"
        ).format(other=sql.Identifier(other), id=sql.Identifier(self.keys[-1]), key=sql.Identifier(key))

    def stored_alike(self) -> sql.Composed:
        """Return the table of what is stored; on Citus, which cannot ask it row by row, what has an id that is staged."""
        if not is_spread():
            return self.fill("{stored}")
        return self.fill("(select * from {stored} where {id} in (select {id} from {staged}) offset 0)")

    def order(self) -> sql.Composed:
        """Return what rows with the alias ``s`` are written in the order of: that of the key's index, which on disk takes half as long."""
        return _list([sql.SQL('{} collate "C"').format(sql.Identifier("s", key)) for key in self.keys])


def find_changes(connection: psycopg.Connection, load: Staged, units: Iterable[Unit]) -> set[Unit]:
    """Note in the temporary table ``changes`` what differs between the units and what is staged; return the units in which anything does.

    A record that stands on two pages is one: in its newest state; of two in the same state the one that was read later.
    """
    says = _said(connection, load)
    # Only ours: whoever has a table of that name keeps it.
    connection.execute("drop table if exists pg_temp.changes")
    connection.execute(
        load.fill(
            "create temporary table changes on commit drop as"
            " select coalesce(t.account_id, s.account_id) as account_id, coalesce(t.usage_date, s.usage_date) as usage_date,"
            "   coalesce(t.{id}, s.{id}) as {id}, t.tid as stored_at, s.tid as staged_at, s.{newest} as newest"
            " from (select stored.ctid as tid, stored.* from {stored} as stored"
            "   inner join unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date)"
            "     on stored.account_id = unit.account_id and stored.usage_date = unit.usage_date) as t"
            " full join (select staged.ctid as tid, staged.* from {staged} as staged) as s"
            "   on {same} and t.account_id = s.account_id and t.usage_date = s.usage_date"
            " where t.tid is null or s.tid is null or ({stored_content}) is distinct from ({staged_content})",
            same=load.same_key("t", "s"),
            stored_content=_list([sql.Identifier("t", name) for name, _ in says]),
            staged_content=_list([staged_value(name, kind, load.columns, "s") for name, kind in says]),
        ),
        arrays(units),
    )
    connection.execute("analyze changes")
    if load.columns:
        connection.execute(
            load.fill(
                "delete from changes using {staged} as other where {same} and changes.staged_at is not null"
                " and (coalesce(changes.newest, '-infinity'), changes.staged_at) < (coalesce(other.{newest}, '-infinity'), other.ctid)",
                same=load.same_key("changes", "other"),
            )
        )
    changed = connection.execute("select distinct account_id, usage_date from changes")
    return {Unit(load.table, account, day) for account, day in changed}


def write_changes(connection: psycopg.Connection, load: Staged, load_id: str) -> list[tuple[str, date]]:
    """Write what `find_changes` has noted; return the records that left another unit for one of the load's, each with that unit's day."""
    connection.execute(
        load.fill(
            "delete from {stored} as t"
            " using (select * from changes where stored_at is not null and staged_at is null) as gone where {same}",
            same=load.same_row("gone", load.keys[-1]),
        )
    )
    if not load.columns:
        return []
    said = _said(connection, load)
    connection.execute(
        load.fill(
            "update {stored} as t set ({names}, load_id, loaded_at) = row ({values}, %(load_id)s, now())"
            " from (select s.*, changes.stored_at from {staged} as s inner join changes on s.ctid = changes.staged_at"
            "   where changes.stored_at is not null order by {order}) as s"
            " where {same}",
            same=load.same_row("s", load.keys[-1]),
            names=_list([sql.Identifier(name) for name, _ in said]),
            values=_list([staged_value(name, kind, load.columns, "s") for name, kind in said]),
        ),
        {"load_id": load_id},
    )
    return _insert(connection, load, NEW, load_id)


def stored_units(connection: psycopg.Connection, table: str, units: Iterable[Unit]) -> set[Unit]:
    """Return those of the units of which anything is stored."""
    found = connection.execute(
        # Unit by unit in the index: the planner, which knows nothing of new days, would rather read the whole table.
        sql.SQL(
            "select unit.* from unnest(%(accounts)s::text[], %(days)s::date[]) as unit (account_id, usage_date) cross join lateral"
            " (select from {} as t where t.usage_date = unit.usage_date and t.account_id = unit.account_id limit 1) as found"
        ).format(sql.Identifier("raw", table)),
        arrays(units),
    )
    return {Unit(table, account, day) for account, day in found}


def write_first(connection: psycopg.Connection, load: Staged, load_id: str) -> list[tuple[str, date]]:
    """Write what is staged of units of which nothing is stored: of each record what `find_changes` would take; return what `write_changes`
    does.
    """
    return _insert(connection, load, FIRST, load_id)


def _insert(connection: psycopg.Connection, load: Staged, new: str, load_id: str) -> list[tuple[str, date]]:
    """Insert the rows ``new``; return those that stood in another unit, and do no more, with that unit's day."""
    insert = load.fill(f"insert into {{stored}} ({{columns}}, load_id) select {{columns}}, %(load_id)s from {new}")
    # What a worker of Citus refuses comes without its code.
    refused = psycopg.errors.InternalError_ if is_spread() else psycopg.errors.UniqueViolation
    try:
        with connection.transaction():
            connection.execute(insert, {"load_id": load_id})
    except refused:
        left = connection.execute(
            load.fill(
                f"delete from {{stored}} as t using {new} where {{same}} returning t.{{id}}, t.usage_date",
                same=load.same_key("t", "s"),
            )
        ).fetchall()
        connection.execute(insert, {"load_id": load_id})
        return left
    return []


def touch_event_days(
    connection: psycopg.Connection,
    left: list[tuple[str, date]],
    load_id: str,
    changed: sql.Composable,
) -> None:
    """Mark for a build the days of the events whose records have appeared or vanished (``changed``, a query); those that ``left`` another
    unit were there before.

    Such an event counts on its record's day from now on, or on its own again: a message that was scheduled 35 days ahead must not
    count on both.
    """
    connection.execute(
        sql.SQL(
            "insert into ops.touched_days (usage_date, load_id)"
            " select distinct events.usage_date, %(load_id)s from ({changed}) as changed"
            " inner join raw.usage_events as events on events.record_key = changed.id"
            " where events.usage_date <> changed.usage_date and not changed.id = any(%(left)s::text[])"
            " on conflict do nothing"
        ).format(changed=changed),
        {"load_id": load_id, "left": [key for key, _ in left]},
    )


def _said(connection: psycopg.Connection, load: Staged) -> list[tuple[str, str]]:
    """Return the columns, each with its type, in which two rows of one record in one unit may differ."""
    alike = {"account_id", "usage_date", *load.keys}
    return [(name, kind) for name, kind in content_columns(connection, load.table) if name not in alike]


def _list(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
