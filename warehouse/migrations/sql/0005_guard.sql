-- The cap: what the marts say, what has been used since their last build, and what is reserved, in one answer.
--
-- Live usage is told from built usage by keys, never by times. One key stands for the reservation, the event and the
-- provider's record: `coalesce(external_id, event_key)`, `record_key` in intermediate.int_settled_records.

create table ops.live_usage (
    key text primary key,                     -- a reservation's own id until the record's key is known
    tenant_id text not null,
    channel text not null,
    direction text not null,
    month text not null,                      -- 'YYYY-MM'
    units numeric not null,
    requests numeric not null,
    cost_cents numeric,                       -- null: no price
    is_reserved boolean not null,
    expires_at timestamptz,                   -- null: an event that has arrived
    created_at timestamptz not null default clock_timestamp()
);
create index live_usage_channel on ops.live_usage (tenant_id, channel, month);
create index live_usage_expires on ops.live_usage (expires_at) where expires_at is not null;

create table ops.access_decisions (
    id bigint generated always as identity primary key,
    tenant_id text not null,
    channel text not null,
    units numeric not null,
    allowed boolean not null,
    status text,
    used numeric,
    reserved numeric,
    cap numeric,
    reason text,
    mode text not null default 'database' check (mode in ('database', 'database_unavailable')),
    feature text,
    decided_at timestamptz not null default clock_timestamp()
);
create index access_decisions_tenant on ops.access_decisions (tenant_id, decided_at desc);

create function ops.requests_of(p_channel text, p_units numeric) returns numeric
language sql
immutable
return case when p_channel in ('email', 'places') then p_units else 1 end;

-- The price of one unit in cents for the cap check, as of the last build; null where there is none.
create function ops.unit_price_cents(p_tenant_id text, p_channel text) returns numeric
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('marts.channel_prices') is null or to_regclass('marts.tenants') is null then
        return null;                          -- events may come before the first build
    end if;
    return (
        select prices.unit_price_usd * 100
        from marts.channel_prices as prices
        left join marts.tenants as tenants on tenants.tenant_id = p_tenant_id
        where prices.channel = p_channel
            and prices.plan in (coalesce(tenants.plan, ''), '')
        order by prices.plan desc
        limit 1
    );
end;
$$;

-- Nobody may call this but the functions below, which say who may ask about whom.
create function ops.access_of(
    p_tenant_id text,
    p_channel text,
    p_units numeric,
    p_month text
)
returns table (
    allowed boolean,
    status text,
    used numeric,
    reserved numeric,
    cap numeric,
    reason text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hard_stop boolean;
    price_cents numeric;
begin
    -- Before the first build this fails: that is no answer, and the caller's fail mode decides.
    select tenants.usage_hard_stop_enabled into hard_stop
    from marts.tenants as tenants
    where tenants.tenant_id = p_tenant_id;
    if not found then
        return;                               -- no row: an unknown tenant
    end if;
    price_cents := ops.unit_price_cents(p_tenant_id, p_channel);

    return query
    with limits as (
        -- A month that no build has touched yet has last month's caps and nothing used.
        select
            limits.metric,
            limits.direction,
            limits.cap,
            limits.warning_threshold_pct,
            case when limits.month = p_month then limits.used else 0 end as built
        from marts.tenant_usage_status as limits
        where limits.tenant_id = p_tenant_id
            and limits.channel = p_channel
            and limits.month = (
                select max(latest.month)
                from marts.tenant_usage_status as latest
                where latest.tenant_id = p_tenant_id
                    and latest.month <= p_month
            )
    ),

    live as (
        select
            live_usage.direction,
            live_usage.is_reserved,
            sum(live_usage.units) as units,
            sum(live_usage.requests) as requests,
            sum(live_usage.cost_cents) as cost_cents
        from ops.live_usage
        where live_usage.tenant_id = p_tenant_id
            and live_usage.channel = p_channel
            and live_usage.month = p_month
            and (live_usage.expires_at is null or live_usage.expires_at > clock_timestamp())
        group by live_usage.direction, live_usage.is_reserved
    ),

    measured as (
        select
            limits.metric,
            limits.cap,
            limits.warning_threshold_pct,
            limits.built + coalesce(sum(measure.amount) filter (where not live.is_reserved), 0) as used,
            coalesce(sum(measure.amount) filter (where live.is_reserved), 0) as reserved,
            case limits.metric
                when 'units' then p_units
                when 'requests' then ops.requests_of(p_channel, p_units)
                else coalesce(p_units * price_cents, 0)
            end as wanted
        from limits
        left join live on limits.direction in ('any', live.direction)
        left join lateral (
            select case limits.metric
                when 'units' then live.units
                when 'requests' then live.requests
                else live.cost_cents
            end as amount
        ) as measure on true
        group by limits.metric, limits.cap, limits.warning_threshold_pct, limits.built
    ),

    judged as (
        select
            measured.*,
            measured.cap is null or measured.used + measured.reserved + measured.wanted <= measured.cap as fits,
            case
                when measured.cap is null then 0
                when measured.cap = 0 then case when measured.used = 0 then 0 else 100 end
                else measured.used * 100 / measured.cap
            end as percent_used
        from measured
    ),

    named as (
        select
            judged.*,
            case
                when judged.used > judged.cap then 2
                when judged.cap is not null and judged.percent_used >= judged.warning_threshold_pct then 1
                else 0
            end as severity
        from judged
    )

    select
        not hard_stop or bool_and(named.fits) over (),
        (array['ok', 'warning', 'over_cap'])[1 + max(named.severity) over ()],
        named.used,
        named.reserved,
        named.cap,
        case
            when hard_stop and not bool_and(named.fits) over ()
                then 'Usage cap reached for this channel. Please contact support or update your plan.'
        end
    from named
    -- The limit that decides: one that does not fit, else the one that is nearest to its cap.
    order by named.fits, named.cap is null, named.percent_used desc, named.metric
    limit 1;

    if not found then
        return query select true, 'ok'::text, 0::numeric, 0::numeric, null::numeric, null::text;
    end if;
end;
$$;

-- For the API: whoever has said who they are may ask about themselves, the owner about anybody.
create or replace function ops.check_access(
    p_tenant_id text,
    p_channel text,
    p_units numeric,
    p_month text                              -- 'YYYY-MM', the month of the caller's now
)
returns table (
    allowed boolean,
    status text,                              -- of the channel: ok, warning, over_cap
    used numeric,                             -- of the limit that decides
    reserved numeric,
    cap numeric,                              -- null: no cap
    reason text                               -- null where allowed
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('metering.role', true) = 'root_admin'
        or current_setting('metering.tenant_id', true) = p_tenant_id
    then
        return query select * from ops.access_of(p_tenant_id, p_channel, p_units, p_month);
    end if;
end;
$$;

-- For the guard (metering_tracker): the same answer, and with it a reservation that no other caller can take as well.
create function ops.guard_check(p_tenant_id text, p_channel text, p_units numeric, p_month text)
returns table (allowed boolean, status text, used numeric, reserved numeric, cap numeric, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select * from ops.access_of(p_tenant_id, p_channel, p_units, p_month) $$;

create function ops.reserve_usage(
    p_reservation_id text,
    p_tenant_id text,
    p_channel text,
    p_direction text,
    p_units numeric,
    p_month text,
    p_seconds numeric,                        -- until the reservation expires
    p_feature text
)
returns table (allowed boolean, status text, used numeric, reserved numeric, cap numeric, reason text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Callers of one channel stand in line here; each statement after this sees what the one before has reserved.
    perform pg_advisory_xact_lock(hashtextextended(p_tenant_id || '/' || p_channel, 3));
    select * into allowed, status, used, reserved, cap, reason
    from ops.access_of(p_tenant_id, p_channel, p_units, p_month);
    if not found then
        return;
    end if;
    if allowed then
        insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
        values (
            p_reservation_id, p_tenant_id, p_channel, p_direction, p_month, p_units, ops.requests_of(p_channel, p_units),
            p_units * ops.unit_price_cents(p_tenant_id, p_channel), true, clock_timestamp() + make_interval(secs => p_seconds)
        );
    else
        insert into ops.access_decisions (tenant_id, channel, units, allowed, status, used, reserved, cap, reason, feature)
        values (p_tenant_id, p_channel, p_units, allowed, status, used, reserved, cap, reason, p_feature);
    end if;
    return next;
end;
$$;

-- The call went through: what was reserved becomes what was used, under the record's key. Until the event itself arrives
-- (it is on its host's disk) this row stands for it, for a day at most.
create function ops.settle_usage(p_reservation_id text, p_key text, p_units numeric) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine ops.live_usage%rowtype;
begin
    delete from ops.live_usage where live_usage.key = p_reservation_id returning * into mine;
    if found then
        insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
        values (
            p_key, mine.tenant_id, mine.channel, mine.direction, mine.month, p_units, ops.requests_of(mine.channel, p_units),
            p_units * ops.unit_price_cents(mine.tenant_id, mine.channel), false, clock_timestamp() + interval '1 day'
        )
        on conflict (key) do nothing;         -- the event was faster
    end if;
end;
$$;

create function ops.release_usage(p_reservation_id text) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ delete from ops.live_usage where key = p_reservation_id and is_reserved $$;

-- Which of these records the marts that are being served hold. While a build is running or after one that failed, what the
-- intermediate table holds need not have reached the marts: none.
create function ops.built_records(p_keys text[]) returns text[]
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

-- Called by a flush in the transaction that inserted these events: they are live until a build has taken them in.
create function ops.add_live_usage(p_load_id text, p_event_keys text[], p_reservation_ids text[]) returns void
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
            min(events.tenant_id) as tenant_id,
            min(events.channel) as channel,
            min(events.direction) as direction,
            min(to_char(events.occurred_at at time zone 'UTC', 'YYYY-MM')) as month,
            max(events.units) as units
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
        ops.requests_of(records.channel, records.units),
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
        select messages.usage_date from raw.twilio_messages as messages where messages.sid = any(record_keys)
        union
        select calls.usage_date from raw.twilio_calls as calls where calls.sid = any(record_keys)
    ) as days
    on conflict do nothing;
end;
$$;

-- Called by dbt in the transaction that replaces marts.tenant_usage_status: from its commit on, the marts hold these.
create function ops.forget_built_usage() returns void
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

-- A tenant's limits and what is used of them, as the marts say (for `get_tenant_usage_status`).
create function ops.usage_status_of(p_tenant_id text, p_month text)
returns table (
    channel text, metric text, direction text, used numeric, cap numeric, warning_threshold_pct numeric,
    percent_used numeric, status text
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        limits.channel, limits.metric, limits.direction, limits.used::numeric, limits.cap::numeric,
        limits.warning_threshold_pct::numeric, limits.percent_used::numeric, limits.status
    from marts.tenant_usage_status as limits
    where limits.tenant_id = p_tenant_id and limits.month = p_month
    order by limits.channel, limits.metric;
end;
$$;

-- Whose number this is on that day: for what a webhook tells about a number that the caller cannot name a tenant for.
create function ops.tenant_of_number(p_number_hash text, p_on date) returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select resources.tenant_id
    from raw.tenant_resources as resources
    where resources.provider = 'twilio'
        and resources.resource_type = 'phone_number'
        and resources.resource_hash = p_number_hash
        and coalesce(resources.valid_from, '-infinity') <= p_on
        and p_on < coalesce(resources.valid_to, 'infinity')
    limit 1
$$;
