-- What is live counts as what is built: one rule of whose a record is, in what its channel is counted, and what its requests are.

-- As int_settled_records has it.
create or replace function ops.requests_of(p_channel text, p_units numeric) returns numeric
language sql
immutable
return case when p_channel in ('email', 'places', 'storage_ops') then p_units when p_channel = 'storage' then 0 else 1 end;

-- As `openai_unit` of the marts has it: what an AI endpoint counts otherwise is no token.
create function ops.is_in_channel_unit(p_channel text, p_operation text) returns boolean
language sql
immutable
return p_channel <> 'ai' or p_operation not in (
    'image',
    'audio_speech',
    'audio_transcription',
    'vector_store',
    'code_interpreter_session',
    'file_search_call',
    'web_search_call'
);

-- Before the first build nobody is known.
create function ops.is_known_tenant(p_tenant_id text) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A statement of its own: one that names the table cannot even be planned before the first build.
    if p_tenant_id in ('', 'unattributed') or to_regclass('marts.tenants') is null then
        return false;
    end if;
    return exists (select 1 from marts.tenants as tenants where tenants.tenant_id = p_tenant_id);
end;
$$;

-- As before, but that a record is the tenant's whom its earliest event names that the directory knows, and counts in its channel's unit.
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

    -- A record may have several events (a call that began, then ended): it counts once, with the most that was said.
    insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
    with events as (
        select
            found.external_id as key,
            found.*
        from raw.usage_events as found
        where found.external_id = any(live_keys)
        union all
        select
            found.event_key as key,
            found.*
        from raw.usage_events as found
        where found.event_key = any(live_keys) and coalesce(found.external_id, '') = ''
    ),

    records as (
        select
            events.key,
            coalesce(
                (array_agg(events.tenant_id order by events.occurred_at, events.event_key) filter (where ops.is_known_tenant(events.tenant_id)))[1],
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
            max(case when ops.is_in_channel_unit(events.channel, events.operation) then events.units else 0 end) as units,
            -- As int_settled_records has it: what is held for a day, as the bytes of a vector store are, is no request.
            max(
                case when events.channel = 'ai' and events.operation = 'vector_store' then 0 else ops.requests_of(events.channel, events.units) end
            ) as requests
        from events
        group by events.key
    ),

    prices as (
        select
            asked.tenant_id,
            asked.channel,
            ops.unit_price_cents(asked.tenant_id, asked.channel) as cents
        from (select distinct records.tenant_id, records.channel from records) as asked
    )

    select
        records.key,
        records.tenant_id,
        records.channel,
        records.direction,
        records.month,
        records.units,
        records.requests,
        records.units * prices.cents,
        false,
        null
    from records
    inner join prices using (tenant_id, channel)
    order by records.key                      -- two flushes of one record wait for each other instead of deadlocking
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
