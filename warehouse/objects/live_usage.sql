-- Pending usage: events that no build has taken in yet. It counts as the next build will count it: each build makes the marts' rule a
-- function (dbt_project/functions/usage_as_built.sql), which is called here.

-- Those of these records that the served marts contain. While a build runs and after one that failed: none, since what the intermediate
-- table contains need not have reached the marts.
create or replace function ops.built_records(p_keys text[]) returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('intermediate.int_settled_records') is null
        or (select builds.status from ops.builds order by builds.started_at desc limit 1) is distinct from 'ok'
    then
        return '{}';
    end if;
    return array(select distinct record_key from intermediate.int_settled_records where record_key = any(p_keys));
end;
$$;

-- One row per record of these keys that counts. Where the marts' rule is missing (before the first build, or the first of another version),
-- no less than it would give: the most units that an event names, at its channel's highest price.
create or replace function ops.live_usage_of(p_record_keys text[])
returns table (
    key text,
    tenant_id text,
    channel text,
    direction text,
    month text,
    units numeric,
    requests numeric,
    cost_cents numeric
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query select * from intermediate.usage_as_built(p_record_keys);
exception when undefined_function or undefined_table or undefined_column or invalid_schema_name then
    return query
    with events as (
        select
            tracked.external_id as key,
            tracked.*
        from raw.usage_events as tracked
        where tracked.external_id = any(p_record_keys)
        union all
        select
            tracked.event_key as key,
            tracked.*
        from raw.usage_events as tracked
        where tracked.event_key = any(p_record_keys) and coalesce(tracked.external_id, '') = ''
    ),

    records as (
        select
            events.key,
            coalesce(
                (
                    array_agg(events.tenant_id order by events.occurred_at, events.event_key)
                    filter (where events.tenant_id not in ('', 'unattributed'))
                )[1],
                'unattributed'
            ) as tenant_id,
            (array_agg(events.channel order by events.occurred_at, events.event_key))[1] as channel,
            coalesce(
                (
                    array_agg(events.direction order by events.occurred_at, events.event_key)
                    filter (where events.direction in ('outbound', 'inbound'))
                )[1],
                'none'
            ) as direction,
            min(to_char(events.occurred_at at time zone 'UTC', 'YYYY-MM')) as month,
            max(events.units) as units
        from events
        group by events.key
    )

    select
        records.key,
        records.tenant_id,
        records.channel,
        records.direction,
        records.month,
        records.units,
        ops.requests_of(records.channel, records.units),
        records.units * ops.unit_price_cents(records.tenant_id, records.channel)
    from records;
end;
$$;

-- The days of the providers' records with these keys (around midnight not those of their events), and of the records that belong to them (a
-- call's legs and recordings).
create or replace function ops.record_days(p_keys text[]) returns table (usage_date date)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    record_table record;
begin
    for record_table in select tables.table_name, tables.key_column from ops.record_tables as tables loop
        return query execute format(
            'select distinct records.usage_date from raw.%I as records where records.%I = any($1)',
            record_table.table_name,
            record_table.key_column
        ) using p_keys;
    end loop;
end
$$;

-- Called by a flush in the transaction that inserted these events: they are live until a build has taken them in.
create or replace function ops.add_live_usage(p_load_id text, p_event_keys text[], p_reservation_ids text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    record_keys text[];
    live_keys text[];
begin
    -- Against `forget_built_usage`: a build's end sees all of these rows or happens before them.
    perform pg_advisory_xact_lock_shared(hashtextextended('ops.live_usage', 3));
    record_keys := array(
        select distinct coalesce(nullif(events.external_id, ''), events.event_key)
        from raw.usage_events as events
        where events.event_key = any(p_event_keys)
        order by 1
    );

    delete from ops.live_usage where live_usage.key = any(p_reservation_ids || record_keys);
    live_keys := array(select unnest(record_keys) except select unnest(ops.built_records(record_keys)));

    insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
    -- One key is one record; should two services claim it, it is the one that has more.
    select distinct on (used.key)
        used.key,
        used.tenant_id,
        used.channel,
        used.direction,
        used.month,
        used.units,
        used.requests,
        used.cost_cents,
        false,
        null
    from ops.live_usage_of(live_keys) as used
    -- By key: two flushes of one record wait for each other instead of deadlocking.
    order by used.key asc, used.units desc, used.requests desc, used.channel asc
    on conflict (key) do update set
        units = greatest(live_usage.units, excluded.units),
        requests = greatest(live_usage.requests, excluded.requests),
        cost_cents = greatest(live_usage.cost_cents, excluded.cost_cents),
        is_reserved = false,
        expires_at = null;

    -- A record stands on the provider's day, which around midnight is not its event's.
    insert into ops.touched_days (usage_date, load_id)
    select days.usage_date, p_load_id
    from (
        select events.usage_date from raw.usage_events as events where events.event_key = any(p_event_keys)
        union
        select record_days.usage_date from ops.record_days(record_keys) as record_days
    ) as days
    on conflict do nothing;
end;
$$;

-- Called by dbt in the transaction that replaces marts.tenant_usage_status: from its commit on, the marts hold these.
create or replace function ops.forget_built_usage() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('ops.live_usage', 3));
    delete from ops.live_usage
    where live_usage.expires_at < clock_timestamp()
        or (
            not live_usage.is_reserved
            and exists (
                select 1 from intermediate.int_settled_records as records
                where records.record_key = live_usage.key
            )
        );
end;
$$;
