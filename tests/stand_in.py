"""What stands in Citus's place where there is none: it writes down what it is asked for, and leaves every table where it is."""

from __future__ import annotations


def stand_in_for_citus() -> bytes:
    """Return the statements that make it, in `public`."""
    return b"""
    create table public.pg_dist_partition (logicalrelid regclass primary key);
    create table public.distributed (number integer generated always as identity, relation text, key text);
    create function public.create_distributed_table(p_table regclass, p_key text) returns void language sql as $$
        insert into public.distributed (relation, key) values (p_table::text, p_key);
        insert into public.pg_dist_partition values (p_table)
    $$;
    create function public.citus_get_active_worker_nodes(out node_name text, out node_port bigint) returns setof record language sql as $$
        values ('one', 5432), ('two', 5432)
    $$;
    """
