"""What stands in Citus's place where there is none: it writes down what it is asked for, and leaves every table where it is.
A shard of it is a view of half of a table's rows.
"""

from __future__ import annotations


def stand_in_for_citus() -> bytes:
    """Return the statements that make it, in `public`."""
    return b"""
    create table public.pg_dist_partition (logicalrelid regclass primary key);
    create table public.distributed (number integer generated always as identity, relation text, key text);
    create table public.pg_dist_shard (logicalrelid regclass, shardid bigint, shardminvalue text);
    create function public.get_shard_id_for_distribution_column(p_table regclass, p_value text) returns bigint language sql as $$
        select 1 + abs(hashtext(p_value)) % 2
    $$;
    create function public.shard_name(p_table regclass, p_shard bigint) returns text language sql as $$ select p_table || '_' || p_shard $$;
    create function public.create_distributed_table(p_table regclass, p_key text, colocate_with text default 'default') returns void
    language plpgsql as $$
    begin
        insert into public.distributed (relation, key) values (p_table::text, p_key);
        insert into public.pg_dist_partition values (p_table);
        for shard in 1 .. 2 loop
            insert into public.pg_dist_shard values (p_table, shard, shard::text);
            execute format(
                'create view %1$s as select * from %2$s where public.get_shard_id_for_distribution_column(%2$L, %3$I) = %4$s',
                public.shard_name(p_table, shard), p_table, p_key, shard
            );
            execute format('grant select on %s to metering_transformer', public.shard_name(p_table, shard));
        end loop;
    end;
    $$;
    grant select on all tables in schema public to metering_transformer;
    create function public.citus_get_active_worker_nodes(out node_name text, out node_port bigint) returns setof record language sql as $$
        values ('one', 5432), ('two', 5432)
    $$;
    """
