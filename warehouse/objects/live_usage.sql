-- Pending usage: events that no build has taken in yet. It counts as the next build will count it: each build makes the marts' rule a
-- function (dbt_project/functions/usage_as_built.sql), which is called here.

-- Those of these records that the last build of their day settled: with their events by their own key; of what nobody had tracked by then,
-- records that are alike are one row with all of their keys, which is found by the day that the provider's record is of.
-- `p_record_keys` and `p_record_days` are what `ops.record_days` says of them.
create or replace function ops.settled_records(p_keys text[], p_record_keys text[], p_record_days date[]) returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    by_key text[] := array(
        select distinct settled.record_key from intermediate.int_settled_records as settled where settled.record_key = any(p_keys)
    );
begin
    return by_key || array(
        with others as (
            select
                days.record_key,
                days.usage_date
            from unnest(p_record_keys, p_record_days) as days (record_key, usage_date)
            where days.record_key not in (select unnest(by_key))
        )

        select distinct record.record_key
        from (select distinct others.usage_date from others) as days
        inner join intermediate.int_settled_records as settled
            on days.usage_date = settled.usage_date
        cross join lateral unnest(settled.record_keys) as record (record_key)
        where settled.record_keys is not null
            and record.record_key in (select others.record_key from others)
    );
end;
$$;

-- Those of these records that the served marts contain. While a build runs and after one that failed: none, since what the intermediate
-- table contains need not have reached the marts.
create or replace function ops.built_records(p_keys text[], p_record_keys text[], p_record_days date[]) returns text[]
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
    return ops.settled_records(p_keys, p_record_keys, p_record_days);
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
    with records as (
        select
            events.record_key as key,
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
        from raw.usage_events as events
        where events.record_key = any(p_record_keys)
        group by events.record_key
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
-- call's legs and recordings). A row for each key and day, or more; none of a key that no provider has a record of.
create or replace function ops.record_days(p_keys text[]) returns table (record_key text, usage_date date)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
-- By the keys, however small a table is: for each of its rows they would be gone through.
set enable_seqscan = off
as $$
declare
    record_table record;
begin
    for record_table in select tables.table_name, tables.key_column from ops.record_tables as tables loop
        return query execute format(
            -- Not `any($1)`: the planner would look at each key.
            'select distinct records.%2$I, records.usage_date from raw.%1$I as records where records.%2$I = any((select $1)::text[])',
            record_table.table_name,
            record_table.key_column
        ) using p_keys;
    end loop;
end
$$;

-- The totals of what has arrived, kept by whoever changes the rows, in the same statement: `ops.live_usage_totals` cannot be anything else
-- than the sum of the rows. Reservations, and usage that stands in for an event on its way, are not in it: they end by themselves.
create or replace function ops.total_live_usage() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changes ops.live_usage_totals[];
begin
    if tg_op = 'INSERT' then
        changes := array(
            select row(tenant_id, channel, month, direction, count(*), sum(units), sum(requests), coalesce(sum(cost_cents), 0))::ops.live_usage_totals
            from came
            where not is_reserved and expires_at is null
            group by tenant_id, channel, month, direction
        );
    elsif tg_op = 'DELETE' then
        changes := array(
            select row(tenant_id, channel, month, direction, -count(*), -sum(units), -sum(requests), -coalesce(sum(cost_cents), 0))::ops.live_usage_totals
            from went
            where not is_reserved and expires_at is null
            group by tenant_id, channel, month, direction
        );
    elsif tg_op = 'UPDATE' then
        changes := array(
            select row(
                tenant_id, channel, month, direction, sum(times), sum(times * units), sum(times * requests), coalesce(sum(times * cost_cents), 0)
            )::ops.live_usage_totals
            from (
                select came.*, 1 as times from came
                union all
                select went.*, -1 as times from went
            ) as changed
            where not is_reserved and expires_at is null
            group by tenant_id, channel, month, direction
        );
    else
        delete from ops.live_usage_totals;    -- truncated
    end if;
    if cardinality(changes) > 0 then
        insert into ops.live_usage_totals as totals (tenant_id, channel, month, direction, records, units, requests, cost_cents)
        select change.*
        from unnest(changes) as change
        where (change.records, change.units, change.requests, change.cost_cents) <> (0, 0, 0, 0)
        -- In this order, in which `ops.add_live_records` locks them, too.
        order by change.tenant_id, change.channel, change.month, change.direction
        on conflict (tenant_id, channel, month, direction) do update set
            records = totals.records + excluded.records,
            units = totals.units + excluded.units,
            requests = totals.requests + excluded.requests,
            cost_cents = totals.cost_cents + excluded.cost_cents;
    end if;
    return null;
end;
$$;

create or replace trigger total_inserted after insert on ops.live_usage
referencing new table as came
for each statement execute function ops.total_live_usage();

create or replace trigger total_updated after update on ops.live_usage
referencing old table as went new table as came
for each statement execute function ops.total_live_usage();

create or replace trigger total_deleted after delete on ops.live_usage
referencing old table as went
for each statement execute function ops.total_live_usage();

create or replace trigger total_truncated after truncate on ops.live_usage
for each statement execute function ops.total_live_usage();

-- Totals that are not the sum of their rows: none, unless somebody switched the triggers off. For `metering doctor`.
create or replace function ops.wrong_live_usage_totals()
returns table (tenant_id text, channel text, month text, direction text, units_too_many numeric)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        tenant_id,
        channel,
        month,
        direction,
        sum(units) as units_too_many
    from (
        select
            live_usage_totals.tenant_id,
            live_usage_totals.channel,
            live_usage_totals.month,
            live_usage_totals.direction,
            live_usage_totals.records,
            live_usage_totals.units,
            live_usage_totals.requests,
            live_usage_totals.cost_cents
        from ops.live_usage_totals
        union all
        select
            live_usage.tenant_id,
            live_usage.channel,
            live_usage.month,
            live_usage.direction,
            -1,
            -live_usage.units,
            -live_usage.requests,
            -coalesce(live_usage.cost_cents, 0)
        from ops.live_usage
        where not live_usage.is_reserved and live_usage.expires_at is null
    ) as both_sides
    group by tenant_id, channel, month, direction
    having (sum(records), sum(units), sum(requests), sum(cost_cents)) <> (0, 0, 0, 0)
$$;

-- Sum all rows up again. Flushes and builds wait for it; the cap goes on answering.
create or replace function ops.recount_live_usage() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('ops.live_usage', 3));
    delete from ops.live_usage_totals;
    insert into ops.live_usage_totals (tenant_id, channel, month, direction, records, units, requests, cost_cents)
    select
        live_usage.tenant_id,
        live_usage.channel,
        live_usage.month,
        live_usage.direction,
        count(*),
        sum(live_usage.units),
        sum(live_usage.requests),
        coalesce(sum(live_usage.cost_cents), 0)
    from ops.live_usage
    where not live_usage.is_reserved and live_usage.expires_at is null
    group by live_usage.tenant_id, live_usage.channel, live_usage.month, live_usage.direction;
end;
$$;

-- Called by a flush in the transaction that inserted events of these records and days: they are live until a build has taken them in.
create or replace function ops.add_live_records(p_load_id text, p_record_keys text[], p_days date[], p_reservation_ids text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- All that is read here is found by keys, however many events a flush brings and whatever is known of a month that has just begun.
set enable_seqscan = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
declare
    found_keys text[];
    found_days date[];
    live_keys text[];
    earlier ops.live_usage[];
    arrived ops.live_usage[];
begin
    -- Against `forget_built_usage`: a build's end sees all of these rows or happens before them.
    perform pg_advisory_xact_lock_shared(hashtextextended('ops.live_usage', 3));
    select
        array_agg(found.record_key),
        array_agg(found.usage_date)
    into found_keys, found_days
    from ops.record_days(p_record_keys) as found;

    -- What stands for these records until now, if no other flush changes it meanwhile.
    earlier := array(
        select live_usage
        from ops.live_usage
        where live_usage.key = any(p_record_keys)
            and not live_usage.is_reserved
            and live_usage.expires_at is null
    );
    live_keys := array(select unnest(p_record_keys) except select unnest(ops.built_records(p_record_keys, found_keys, found_days)));
    arrived := array(
        -- One key is one record; should two services claim it, it is the one that has more.
        select distinct on (used.key)
            row(
                used.key, used.tenant_id, used.channel, used.direction, used.month, used.units, used.requests, used.cost_cents, false, null,
                clock_timestamp()
            )::ops.live_usage
        from ops.live_usage_of(live_keys) as used
        order by used.key asc, used.units desc, used.requests desc, used.channel asc
    );

    -- Totals before rows, and in one order: flushes that share tenants wait for each other instead of deadlocking. Also where there is
    -- none yet: what is not there cannot be locked. What is there is locked, though nothing of it is changed.
    insert into ops.live_usage_totals as totals (tenant_id, channel, month, direction, records, units, requests, cost_cents)
    select distinct
        changed.tenant_id,
        changed.channel,
        changed.month,
        changed.direction,
        0,
        0,
        0,
        0
    from unnest(earlier || arrived) as changed
    order by changed.tenant_id, changed.channel, changed.month, changed.direction
    on conflict (tenant_id, channel, month, direction) do update set records = totals.records where false;
    delete from ops.live_usage
    where live_usage.key = any(p_reservation_ids || p_record_keys)
        and (
            live_usage.is_reserved
            or live_usage.expires_at is not null
            or (live_usage.key, live_usage.created_at) in (select gone.key, gone.created_at from unnest(earlier) as gone)
        );
    begin
        insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at, created_at)
        select * from unnest(arrived);
    exception when unique_violation then      -- brought by another flush meanwhile, which may have known other events of it
        insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at, created_at)
        select * from unnest(arrived)
        on conflict (key) do update set
            units = greatest(live_usage.units, excluded.units),
            requests = greatest(live_usage.requests, excluded.requests),
            cost_cents = greatest(live_usage.cost_cents, excluded.cost_cents),
            is_reserved = false,
            expires_at = null,
            created_at = excluded.created_at;
    end;

    -- A record stands on the provider's day, which around midnight is not its event's.
    insert into ops.touched_days (usage_date, load_id)
    select days.usage_date, p_load_id
    from (
        select unnest(p_days) as usage_date
        union
        select unnest(found_days)
    ) as days
    on conflict do nothing;
end;
$$;

-- The same, of a flush that says no more than the keys of its events: trackers of 0.1.0 call it.
create or replace function ops.add_live_usage(p_load_id text, p_event_keys text[], p_reservation_ids text[]) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    select ops.add_live_records(
        p_load_id,
        coalesce(array_agg(distinct events.record_key), '{}'),
        coalesce(array_agg(distinct events.usage_date), '{}'),
        p_reservation_ids
    )
    from raw.usage_events as events
    where events.event_key = any(p_event_keys)
$$;

-- Called by dbt in the transaction that replaces marts.tenant_usage_status: from its commit on, the marts hold these.
create or replace function ops.forget_built_usage() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    moment timestamptz;
    live_keys text[];
    settled text[];
begin
    perform pg_advisory_xact_lock(hashtextextended('ops.live_usage', 3));
    -- One moment for all rows, after the wait.
    moment := clock_timestamp();
    live_keys := array(select live_usage.key from ops.live_usage where not live_usage.is_reserved);
    settled := (
        select ops.settled_records(live_keys, array_agg(found.record_key), array_agg(found.usage_date))
        from ops.record_days(live_keys) as found
    );
    delete from ops.live_usage
    where live_usage.expires_at < moment
        or (
            not live_usage.is_reserved
            and live_usage.key = any(settled)
        );
    delete from ops.live_usage_totals where records = 0;
end;
$$;
