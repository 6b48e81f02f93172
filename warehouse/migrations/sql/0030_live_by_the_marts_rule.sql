-- What is live is what the marts will say of it: a build makes their own rule a function (dbt_project/functions/usage_as_built.sql), which
-- the cap asks.

-- One row per record of these keys that counts. Where the marts' rule cannot be asked (no build has made it yet, or the first build of
-- another version is still on its way to it), no less than it would say: the most units that were told, each at its channel's dearest price.
create function ops.live_usage_of(p_record_keys text[])
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
            found.external_id as key,
            found.*
        from raw.usage_events as found
        where found.external_id = any(p_record_keys)
        union all
        select
            found.event_key as key,
            found.*
        from raw.usage_events as found
        where found.event_key = any(p_record_keys) and coalesce(found.external_id, '') = ''
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

-- As before, but for the rule.
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

drop function ops.is_in_channel_unit(text, text);
drop function ops.is_known_tenant(text);

-- A cost may be: what is given back costs less than nothing.
alter table ops.live_usage drop constraint live_usage_is_no_less_than_nothing;
alter table ops.live_usage
add constraint live_usage_is_no_less_than_nothing
check (units >= 0 and units < 'Infinity' and requests >= 0) not valid;
