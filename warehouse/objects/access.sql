-- The cap: usage in the marts, usage since their last build, and reservations, in one answer. Marts are built later than these functions:
-- plpgsql looks tables up when it runs, not when it is created.

-- The price of one unit in cents for the cap check, as of the last build; null where there is none.
create or replace function ops.unit_price_cents(p_tenant_id text, p_channel text) returns numeric
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

-- Callable only by the functions below, which decide who may ask about which tenant.
create or replace function ops.access_of(
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
begin
    -- Before the first build this fails, and the caller's fail mode decides.
    select tenants.usage_hard_stop_enabled into hard_stop
    from marts.tenants as tenants
    where tenants.tenant_id = p_tenant_id;
    if not found then
        return;                               -- no row: an unknown tenant
    end if;

    return query
    with limits as (
        select
            limits.metric,
            limits.direction,
            limits.cap,
            limits.warning_threshold_pct,
            limits.used as built
        from ops.limits_of(p_tenant_id, p_month) as limits
        where limits.channel = p_channel
    ),

    -- What has arrived is summed up in one row. Of the rest each row has its own end, which a total could not know.
    live as (
        select
            totals.direction,
            false as is_reserved,
            totals.units,
            totals.requests,
            totals.cost_cents
        from ops.live_usage_totals as totals
        where totals.tenant_id = p_tenant_id
            and totals.channel = p_channel
            and totals.month = p_month
        union all
        select
            provisional.direction,
            provisional.is_reserved,
            sum(provisional.units) as units,
            sum(provisional.requests) as requests,
            sum(provisional.cost_cents) as cost_cents
        from ops.live_usage as provisional
        where provisional.tenant_id = p_tenant_id
            and provisional.channel = p_channel
            and provisional.month = p_month
            and (provisional.is_reserved or provisional.expires_at is not null)
            and (provisional.expires_at is null or provisional.expires_at > clock_timestamp())
        group by provisional.direction, provisional.is_reserved
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
                else coalesce(p_units * ops.unit_price_cents(p_tenant_id, p_channel), 0)
            end as requested
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

    evaluated as (
        select
            measured.*,
            measured.cap is null or measured.used + measured.reserved + measured.requested <= measured.cap as fits,
            ops.percent_of_cap(measured.used, measured.cap) as percent_used
        from measured
    )

    select
        not hard_stop or bool_and(evaluated.fits) over (),
        ops.worst_status(ops.limit_status(evaluated.used, evaluated.cap, evaluated.percent_used, evaluated.warning_threshold_pct)) over (),
        evaluated.used,
        evaluated.reserved,
        evaluated.cap,
        case
            when hard_stop and not bool_and(evaluated.fits) over ()
                then 'Usage cap reached for this channel. Please contact support or update your plan.'
        end
    from evaluated
    -- The limit that decides: one that does not fit, else the one that is nearest to its cap.
    order by evaluated.fits, evaluated.cap is null, evaluated.percent_used desc, evaluated.metric
    limit 1;

    if not found then
        return query select true, 'ok'::text, 0::numeric, 0::numeric, null::numeric, null::text;
    end if;
end;
$$;

-- For the API: a tenant may ask about itself, the owner about any tenant.
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

-- For the guard (metering_tracker): the same answer, about any tenant.
create or replace function ops.guard_check(p_tenant_id text, p_channel text, p_units numeric, p_month text)
returns table (allowed boolean, status text, used numeric, reserved numeric, cap numeric, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select * from ops.access_of(p_tenant_id, p_channel, p_units, p_month) $$;

-- The same answer, and with it a reservation that no other caller can take as well. Units that no limit could count and reservations that
-- would never expire are refused. A caller that lost the answer repeats the call under the same id, which reserves once, and a refusal
-- of it is kept once.
create or replace function ops.reserve_usage(
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
    if (p_units >= 0 and p_units < 'Infinity') is not true then
        raise numeric_value_out_of_range using message = 'units must be a number of at least 0';
    elsif (p_direction in ('outbound', 'inbound', 'none')) is not true then
        raise invalid_parameter_value using message = 'direction must be outbound, inbound or none';
    elsif (p_month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') is not true then
        raise invalid_parameter_value using message = 'month must be written like 2026-10';
    elsif (abs(p_seconds) < 'Infinity') is not true then
        raise invalid_parameter_value using message = 'seconds must be a finite number';
    end if;
    -- Callers of one channel wait here for each other; each sees what the one before has reserved.
    perform pg_advisory_xact_lock(hashtextextended(p_tenant_id || '/' || p_channel, 3));
    if exists (select from ops.live_usage where live_usage.key = p_reservation_id) then
        delete from ops.live_usage
        where live_usage.key = p_reservation_id and live_usage.is_reserved and live_usage.tenant_id = p_tenant_id;
    end if;
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
        insert into ops.access_decisions (decision_id, tenant_id, channel, units, allowed, status, used, reserved, cap, reason, feature)
        values (p_reservation_id, p_tenant_id, p_channel, p_units, allowed, status, used, reserved, cap, reason, p_feature)
        on conflict do nothing;
    end if;
    return next;
end;
$$;

-- Make a reservation one of so many calls of so many units each. Callable only by the function below.
create or replace function ops.resize_lease(p_reservation_id text, p_units numeric, p_calls integer) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
update ops.live_usage set
    units = p_units * p_calls,
    -- A channel counts each call, each unit, or neither.
    requests = greatest(ops.requests_of(live_usage.channel, p_units * p_calls), p_calls * ops.requests_of(live_usage.channel, 0)),
    cost_cents = p_units * p_calls * ops.unit_price_cents(live_usage.tenant_id, live_usage.channel)
where live_usage.key = p_reservation_id and live_usage.is_reserved
$$;

-- As `reserve_usage` of one call, and in the same reservation room for `p_calls` of that size altogether, where that is at most a tenth of the
-- room that is left and the channel is below its warning threshold. `leased_calls` says how many it is for.
create or replace function ops.lease_usage(
    p_reservation_id text,
    p_tenant_id text,
    p_channel text,
    p_direction text,
    p_units numeric,                          -- of one call
    p_calls integer,
    p_month text,
    p_seconds numeric,
    p_feature text
)
returns table (allowed boolean, status text, used numeric, reserved numeric, cap numeric, reason text, leased_calls integer)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    fits boolean;
begin
    select granted.*, 1 into allowed, status, used, reserved, cap, reason, leased_calls
    from ops.reserve_usage(p_reservation_id, p_tenant_id, p_channel, p_direction, p_units, p_month, p_seconds, p_feature) as granted;
    if not found then
        return;
    end if;
    -- The tenant's channel is locked until the end of this transaction: what is tried here, nobody else sees.
    if allowed and status = 'ok' and p_calls > 1 then
        perform ops.resize_lease(p_reservation_id, p_units, 10 * p_calls);
        select access.allowed into fits
        from ops.access_of(p_tenant_id, p_channel, 0, p_month) as access;
        leased_calls := case when fits then p_calls else 1 end;
        perform ops.resize_lease(p_reservation_id, p_units, leased_calls);
    end if;
    return next;
end;
$$;

-- One call of a lease went through, and no event of it is on its way from here: its part of the reservation becomes usage, under the record's
-- key, as `settle_usage` makes it of a whole one.
create or replace function ops.settle_leased_usage(p_reservation_id text, p_reserved numeric, p_key text, p_units numeric) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    lease ops.live_usage;
begin
    update ops.live_usage set
        units = greatest(live_usage.units - p_reserved, 0),
        requests = greatest(live_usage.requests - ops.requests_of(live_usage.channel, p_reserved), 0),
        cost_cents = greatest(
            live_usage.cost_cents - p_reserved * ops.unit_price_cents(live_usage.tenant_id, live_usage.channel), 0
        )
    where live_usage.key = p_reservation_id and live_usage.is_reserved
    returning live_usage.* into lease;
    if not found then
        return;                               -- expired
    end if;
    insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
    values (
        p_key, lease.tenant_id, lease.channel, lease.direction, lease.month, p_units, ops.requests_of(lease.channel, p_units),
        p_units * ops.unit_price_cents(lease.tenant_id, lease.channel), false, clock_timestamp() + interval '1 day'
    )
    on conflict (key) do nothing;             -- the event was faster
end;
$$;

-- The call went through: the reservation becomes usage, under the record's key. Until the event arrives from its host's spool this row
-- stands for it, for a day at most.
create or replace function ops.settle_usage(p_reservation_id text, p_key text, p_units numeric) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update ops.live_usage set
        key = p_key,
        units = p_units,
        requests = ops.requests_of(live_usage.channel, p_units),
        cost_cents = p_units * ops.unit_price_cents(live_usage.tenant_id, live_usage.channel),
        is_reserved = false,
        expires_at = clock_timestamp() + interval '1 day'
    -- An event's own row is no reservation, under whichever key it is asked for.
    where live_usage.key = p_reservation_id and (live_usage.is_reserved or live_usage.expires_at is not null);
exception when unique_violation then          -- the event was faster
    delete from ops.live_usage where live_usage.key = p_reservation_id;
end;
$$;

create or replace function ops.release_usage(p_reservation_id text) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ delete from ops.live_usage where key = p_reservation_id and is_reserved $$;

-- Whose these reservations are; of one that is gone, nothing. For callers who may act for some tenants only.
create or replace function ops.tenants_of_reservations(p_reservation_ids text[])
returns table (reservation_id text, tenant_id text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select live_usage.key, live_usage.tenant_id
    from ops.live_usage
    where live_usage.key = any(p_reservation_ids)
$$;

-- A tenant's limits and what is used of them, as the marts say (for `get_tenant_usage_status`).
create or replace function ops.usage_status_of(p_tenant_id text, p_month text)
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

-- The tenant that holds a number on a day, for webhooks that carry only the number.
create or replace function ops.tenant_of_number(p_number_hash text, p_on date) returns text
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

-- Whose these keys of the directory are, each on its day: a number's hash, else the resource's id, a category's with its type before it. A
-- tenant's own id is no key, and what belongs to several says nothing.
create or replace function ops.tenants_of_keys(p_keys text[], p_days date[])
returns table (resource_key text, on_day date, tenant_id text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        asked.resource_key,
        asked.on_day,
        min(resources.tenant_id)
    from unnest(p_keys, p_days) as asked (resource_key, on_day)
    inner join raw.tenant_resources as resources
        on
            coalesce(resources.resource_hash, resources.resource_id) = regexp_replace(asked.resource_key, '^category:', '')
            and (resources.resource_type = 'category') = (asked.resource_key like 'category:%')
            and coalesce(resources.valid_from, '-infinity') <= asked.on_day
            and asked.on_day < coalesce(resources.valid_to, 'infinity')
    where not exists (select from raw.tenants where tenants.tenant_id = asked.resource_key)
    group by asked.resource_key, asked.on_day
    having count(distinct resources.tenant_id) = 1
$$;

-- For the API: what the cap has blocked. A tenant sees its own, the owner all; allowed actions are not listed.
create or replace view ops.blocked_actions with (security_barrier) as
select
    access_decisions.id,
    access_decisions.tenant_id,
    access_decisions.channel,
    access_decisions.units,
    access_decisions.feature,
    access_decisions.reason,
    access_decisions.decided_at
from ops.access_decisions
where
    not access_decisions.allowed
    and (
        access_decisions.tenant_id = (select current_setting('metering.tenant_id', true))
        or (select current_setting('metering.role', true) = 'root_admin')
    );

comment on view ops.blocked_actions is 'Actions that a cap has blocked. A tenant reads its own, the owner all.';
