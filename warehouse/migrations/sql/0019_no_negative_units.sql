-- Negative use does not exist, nor such that is no number ('NaN' is above everything to PostgreSQL). What was written before is not
-- checked: it must not keep anybody from migrating. New rows are, in every partition, those that are yet to be made included.
alter table raw.usage_events
add constraint usage_events_units_are_no_less_than_nothing check (units >= 0 and units < 'Infinity') not valid;
alter table ops.live_usage
add constraint live_usage_is_no_less_than_nothing
check (units >= 0 and units < 'Infinity' and requests >= 0 and (cost_cents is null or cost_cents >= 0)) not valid;

-- As before, but that a caller who asks for less than nothing is told so whatever the answer would be.
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
    end if;
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
