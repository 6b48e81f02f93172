"""What a build does to the tables before it reads and replaces their rows: autovacuum comes a minute too late for either."""

from __future__ import annotations

import psycopg
from psycopg import sql

# Tables of `raw` that are a twentieth larger than when the planner was last told of them. A partitioned one takes its partitions along.
GROWN = """
with tables as (
    select
        classes.relname as name,
        coalesce(parents.inhparent, classes.oid) as tree,
        classes.relkind = 'p' as is_partitioned,
        pg_relation_size(classes.oid) as bytes,
        classes.relpages::bigint * current_setting('block_size')::bigint as known_bytes,
        classes.reltuples < 0 as is_unknown
    from pg_class as classes
    left join pg_inherits as parents on classes.oid = parents.inhrelid
    where classes.relnamespace = 'raw'::regnamespace and classes.relkind in ('r', 'p')
),

sums as (
    select
        tables.*,
        sum(bytes) filter (where not is_partitioned) over (partition by tree) as tree_bytes,
        sum(known_bytes) filter (where not is_partitioned) over (partition by tree) as known_tree_bytes
    from tables
),

grown as (
    select *
    from sums
    where is_unknown
        or (not is_partitioned and bytes * 20 > known_bytes * 21)
        or (is_partitioned and tree_bytes * 20 > known_tree_bytes * 21)
)

select name
from grown
where is_partitioned or tree not in (select tree from grown where is_partitioned)
order by name
"""


def analyze_grown(connection: psycopg.Connection) -> None:
    """Tell the planner what has just been loaded: autovacuum comes a minute too late for the build that follows.

    Without it a first load of 100,000 rows is planned as if it were a handful, and its joins never end. A table that has
    hardly grown is as the planner knows it: a day more of a long history changes no plan, and costs less than a sample of all.
    """
    for (table,) in connection.execute(GROWN).fetchall():
        connection.execute(sql.SQL("analyze raw.{}").format(sql.Identifier(table)))


# Tables of which a tenth and more is rows that were replaced or deleted. A handful is not worth the question.
REPLACED = """
select
    namespaces.nspname,
    classes.relname
from pg_class as classes
inner join pg_namespace as namespaces on classes.relnamespace = namespaces.oid
where
    namespaces.nspname in ('raw', 'intermediate', 'marts', 'ops', 'gathered')
    and classes.relkind = 'r'
    and pg_stat_get_dead_tuples(classes.oid) > 200 + pg_stat_get_live_tuples(classes.oid) / 10
order by 1, 2
"""


def free_replaced_rows(connection: psycopg.Connection) -> None:
    """Let the rows that this build writes take the place of those that builds before it replaced.

    A window that is rebuilt again and again within minutes would otherwise be in the table once for each time. Readers are never
    stopped: the file does not shrink, and a table that something else holds is left to the next build. Needs autocommit.
    """
    for name in connection.execute(REPLACED).fetchall():
        connection.execute(sql.SQL("vacuum (truncate false, skip_locked) {}").format(sql.Identifier(*name)))
