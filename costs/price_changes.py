"""Days whose prices are not those that they were computed with: found by comparing the seed with the price books of builds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from builds.dbt_manifest import project_folder
from costs.rules.price_versions import PriceRow, price_changes, read_rows, version_of


class PriceBookUnreadable(Exception):
    """The seed cannot be read as a price book; the message names the row."""


def seed_file() -> Path:
    """Return where the price book of the next build stands."""
    return project_folder() / "seeds" / "price_book.csv"


def seed_rows() -> list[PriceRow]:
    """Return the rows that the next build will use.

    Raises:
        PriceBookUnreadable: names the row.
    """
    try:
        return read_rows(seed_file().read_text())
    except ValueError as error:
        raise PriceBookUnreadable(str(error)) from error


def kept_rows(connection: psycopg.Connection, version: str) -> list[PriceRow]:
    """Return the rows of a price book that a build has used; none of a version that none has."""
    with connection.cursor(row_factory=class_row(PriceRow)) as cursor:
        return cursor.execute(
            f"select {', '.join(PriceRow._fields)} from ops.price_book_rows where version = %s order by number".encode(),
            (version,),
        ).fetchall()


# A day is concerned where something was used that the price may be of. Lines are what was computed last, of closed days as well.
CONCERNED = """
select distinct days.usage_date
from unnest(%(services)s::text[], %(operations)s::text[], %(models)s::text[], %(tiers)s::text[], %(firsts)s::date[], %(lasts)s::date[])
    as changed (service, operation, model, tier, first_day, last_day)
inner join ops.built_days as days on days.usage_date between changed.first_day and changed.last_day
where
    days.price_version = %(version)s
    and exists (
        select 1
        from intermediate.int_usage_lines_estimated as lines
        -- The table has the column from the next build on, where it is from before.
        cross join lateral (select coalesce(to_jsonb(lines) ->> 'tier', '') as tier) as priced
        where
            lines.usage_date = days.usage_date
            and lines.service = changed.service
            and changed.operation in ('', lines.operation)
            and (changed.model = '' or starts_with(lines.model, changed.model))
            -- A tier's price is taken by calls of that tier only, long or not; a long context's by all long ones.
            and changed.tier in ('', priced.tier, regexp_replace(priced.tier, '_?long_context$', ''), substring(priced.tier from 'long_context$'))
    )
"""


def affected_days(database_url: str, rows: Sequence[PriceRow]) -> list[date]:
    """Return the built days that these rows would price otherwise than the rows they were built with, oldest first."""
    wanted = version_of(rows)
    days: set[date] = set()
    with psycopg.connect(database_url, autocommit=True) as connection:
        if connection.execute("select to_regclass('intermediate.int_usage_lines_estimated')").fetchone() == (None,):
            return []
        versions = connection.execute(
            "select price_version, min(usage_date), max(usage_date) from ops.built_days where price_version <> %s group by 1 order by 1",
            (wanted,),
        ).fetchall()
        for version, first, last in versions:
            changed = sorted(set(price_changes(kept_rows(connection, version), rows, first, last)))
            if changed:
                concerned = connection.execute(
                    CONCERNED,
                    {
                        "version": version,
                        "services": [change.service for change in changed],
                        "operations": [change.operation for change in changed],
                        "models": [change.model for change in changed],
                        "tiers": [change.tier for change in changed],
                        "firsts": [change.first for change in changed],
                        "lasts": [change.last for change in changed],
                    },
                )
                days |= {day for (day,) in concerned}
    return sorted(days)


def adopt(database_url: str, rows: Sequence[PriceRow]) -> None:
    """Say of every built day that its figures hold for these rows, once no day is affected by them: so that each further look
    is a short one. A book that no build has used is not adopted.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "update ops.built_days set price_version = %(version)s where price_version <> %(version)s"
            " and exists (select 1 from ops.price_books where version = %(version)s)",
            {"version": version_of(rows)},
        )
