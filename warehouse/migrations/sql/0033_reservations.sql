-- As before, but that what no limit would count, or what would never expire, is no reservation, and that a reservation whose answer was
-- lost is asked for again under its id.
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
        raise numeric_value_out_of_range using message = 'units is no number from 0';
    elsif (p_direction in ('outbound', 'inbound', 'none')) is not true then
        raise invalid_parameter_value using message = 'direction is none of outbound, inbound, none';
    elsif (p_month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') is not true then
        raise invalid_parameter_value using message = 'month is not written as 2026-10';
    elsif (abs(p_seconds) < 'Infinity') is not true then
        raise invalid_parameter_value using message = 'seconds is no number';
    end if;
    -- Callers of one channel stand in line here; each statement after this sees what the one before has reserved.
    perform pg_advisory_xact_lock(hashtextextended(p_tenant_id || '/' || p_channel, 3));
    delete from ops.live_usage
    where live_usage.key = p_reservation_id and live_usage.is_reserved and live_usage.tenant_id = p_tenant_id;
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
