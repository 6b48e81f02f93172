-- Only where METERING_DISTRIBUTION is citus: events as the tracker brings them, as one JSON array. The key by which they are spread is a plain
-- column there, for Citus spreads by no computed one; and who inserts must be who reads them in the same transaction
-- (`ops.add_live_records`), since the workers know each role by a connection of its own.
create or replace function raw.add_events(p_load_id text, p_events jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into raw.usage_events (
        record_key, event_key, occurred_at, tenant_id, service, operation, channel, direction, source, feature, activity, model, units,
        input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, external_id, resource_id, lead_id,
        message_id, flow_execution_id, metadata, load_id
    )
    select
        coalesce(nullif(external_id, ''), event_key), event_key, occurred_at, tenant_id, service, operation, channel, direction, source,
        feature, activity, model, units, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens,
        external_id, resource_id, lead_id, message_id, flow_execution_id, coalesce(metadata, '{}'), p_load_id
    from jsonb_populate_recordset(null::raw.usage_events, p_events);
exception when internal_error then
    -- A worker's refusal of a row, in its words alone: by the code the tracker tells it from a server that is ill.
    if sqlerrm like '%violates%constraint%' then
        raise check_violation using message = sqlerrm;
    end if;
    raise;
end;
$$;
revoke all on function raw.add_events(text, jsonb) from public;
grant execute on function raw.add_events(text, jsonb) to metering_tracker;

-- One row for each shard, by which each is asked once.
create table if not exists raw.shards (key text primary key);
do $$
begin
    if not exists (select from pg_dist_partition where logicalrelid = 'raw.shards'::regclass) then
        perform create_distributed_table('raw.shards'::regclass, 'key', colocate_with => 'raw.usage_events');
    end if;
end;
$$;
delete from raw.shards;
insert into raw.shards (key)
select min(number::text)
from generate_series(1, 10000) as number
group by get_shard_id_for_distribution_column('raw.usage_events', number::text);
grant select on raw.shards to metering_transformer;

-- Does a record of this service ask other records (a leg or recording its call, a refund its charge), or the directory alone? The
-- coordinator settles it, with what `builds/gathering.py` brings; the workers settle all others.
create or replace function raw.asks_others(p_service text) returns boolean
language sql immutable
return p_service in ('twilio_voice', 'twilio_phone', 'stripe');

-- A query about tables that are spread, apart from the statement that asks it.
create or replace function raw.by_workers(p_query text) returns setof record
language plpgsql stable
as $$
begin
    return query execute p_query;
end;
$$;

-- A query's rows over one shard of each table: the one that has this key. `<raw.usage_events>` in the query is its shard, $1 what is sent along.
create or replace function raw.on_shard(p_key text, p_sent jsonb, p_query text) returns setof record
language plpgsql stable
set enable_mergejoin = off
as $$
declare
    shard record;
begin
    for shard in
        select others.logicalrelid as name, shard_name(others.logicalrelid, others.shardid) as shard_name
        from pg_dist_shard as mine
        inner join pg_dist_shard as others on mine.shardminvalue = others.shardminvalue
        where mine.shardid = get_shard_id_for_distribution_column('raw.usage_events', p_key)
            and others.logicalrelid in ('raw.usage_events'::regclass, 'raw.twilio_messages'::regclass)
    loop
        p_query := replace(p_query, format('<%s>', shard.name), shard.shard_name);
    end loop;
    return query execute p_query using p_sent;
end;
$$;

-- Called by dbt when it has settled what asks others: the workers do the same by the same query, each shard by itself, of what does not.
-- Alike records are one row for each shard. Views are sent along as the queries that they are, the directory as its rows, records that ask
-- others as none. Then what is nobody's is gathered, too, for `marts.unattributed_usage`.
create or replace function raw.settle_on_workers(p_into regclass, p_query text, p_start date, p_end date) returns void
language plpgsql
as $$
declare
    of_the_directory constant text[] := '{tenants, tenant_resources}';
    of_those_who_ask constant text[] := '{twilio_calls, twilio_recordings, twilio_phone_numbers, stripe_balance_transactions}';
    relation record;
    relations text[] := '{}';
    queries text[] := '{}';
    sent text[] := '{}';
    gathered text;
    query text;
    names text;
    types text;
begin
    if (select array[count(*), count(distinct get_shard_id_for_distribution_column('raw.usage_events', key))] from raw.shards)
        <> (select array[count(*), count(*)] from pg_dist_shard where logicalrelid = 'raw.usage_events'::regclass)
    then
        raise exception 'events have other shards than raw.shards knows: run metering migrate';
    end if;
    for relation in
        with recursive read as (
            select format('%I.%I', matched.names[1], matched.names[2])::regclass::oid as oid
            from regexp_matches(p_query, '"[^"]+"\."(\w+)"\."(\w+)"', 'g') as matched (names)
            union
            select pg_depend.refobjid
            from read
            inner join pg_rewrite on read.oid = pg_rewrite.ev_class
            inner join pg_depend on pg_rewrite.oid = pg_depend.objid and pg_depend.classid = 'pg_rewrite'::regclass
            where pg_depend.refclassid = 'pg_class'::regclass
        )

        select
            pg_class.relname as name,
            pg_namespace.nspname as schema,
            case when pg_class.relkind = 'v' then rtrim(pg_get_viewdef(pg_class.oid), ';') end as definition,
            (
                select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
                from pg_attribute
                where attrelid = pg_class.oid and attnum > 0 and not attisdropped
            ) as columns
        from read
        inner join pg_class on read.oid = pg_class.oid
        inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
    loop
        relations := relations || format('(?<![\w.])(?:"\w+"\.)?"?%s"?\."?%s"?(?!\w)', relation.schema, relation.name);
        queries := queries || format(
            case
                when relation.definition is not null then '%1$I as not materialized (%2$s)'
                when relation.name = 'usage_events'
                    then '%1$I as not materialized (select * from <raw.usage_events> where not raw.asks_others(service))'
                when relation.name = 'twilio_messages' then '%1$I as not materialized (select * from <raw.twilio_messages>)'
                when relation.name = any(of_the_directory || of_those_who_ask)
                    then '%1$I as materialized (select * from jsonb_to_recordset($1 -> %1$L) as sent (%3$s))'
            end,
            relation.name, relation.definition, relation.columns
        );
        if queries[cardinality(queries)] is null then
            raise exception 'the record grain reads %.%, and workers do not have it', relation.schema, relation.name
                using hint = 'say in raw.settle_on_workers (warehouse/distribution.sql) what they read in its place';
        end if;
        if relation.name = 'usage_events' then
            gathered := relation.schema;
        end if;
        if relation.name = any(of_the_directory) then
            sent := sent || format('%L, (select jsonb_agg(to_jsonb(t)) from %I.%I as t)', relation.name, relation.schema, relation.name);
        end if;
    end loop;
    select
        string_agg(quote_ident(attname), ', ' order by attnum),
        string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
    into names, types
    from pg_attribute
    where attrelid = p_into and attnum > 0 and not attisdropped;
    query := format('with recursive %s select %s from (%s) as made', array_to_string(queries, ', '), names, p_query);
    for number in 1 .. cardinality(relations) loop
        query := regexp_replace(query, relations[number], substring(queries[number] from '^\w+'), 'g');
    end loop;

    -- What the coordinator has made of the nobody's that it keeps.
    execute format('delete from %s where usage_date >= $1 and usage_date < $2 and not raw.asks_others(service)', p_into)
    using p_start, p_end;
    -- To pack the lists of keys would take a third of the time in which the coordinator reads all of this.
    if exists (select from pg_attribute where attrelid = p_into and attname = 'record_keys' and attstorage <> 'e') then
        execute format('alter table %s alter record_keys set storage external', p_into);
    end if;
    execute format(
        'insert into %1$s (%2$s) select %2$s from raw.shards cross join (select jsonb_build_object(%3$s) as rows) as directory'
        ' cross join lateral raw.on_shard(shards.key, directory.rows, %4$L) as settled (%5$s) order by record_key',
        p_into, names, array_to_string(sent, ', '), query, types
    );
    for relation in
        select
            tables.name,
            tables.key,
            string_agg(quote_ident(columns.attname), ', ') as columns
        from (values ('usage_events', 'record_key'), ('twilio_messages', 'sid')) as tables (name, key)
        inner join pg_attribute as columns on format('raw.%I', tables.name)::regclass = columns.attrelid
        where columns.attnum > 0 and not columns.attisdropped
        group by tables.name, tables.key
    loop
        query := format(
            'select unnest(coalesce(record_keys, array[record_key])) from %s where usage_date >= $1 and usage_date < $2'
            ' and tenant_id = ''unattributed'' and not raw.asks_others(service) and has_record = (%L = ''twilio_messages'')',
            p_into, relation.name
        );
        execute format('delete from %I.%I where %I in (%s)', gathered, relation.name, relation.key, query) using p_start, p_end;
        execute format(
            'insert into %I.%2$I (%3$s) select %3$s from raw.%2$I where %4$I in (%5$s)',
            gathered, relation.name, relation.columns, relation.key, query
        ) using p_start, p_end;
    end loop;
end;
$$;
