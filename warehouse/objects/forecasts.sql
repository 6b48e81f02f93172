-- What the API reads: a tenant its own rows, the owner all.
create or replace view ops.tenant_forecasts with (security_barrier) as
select
    tenant_id,
    as_of_date,
    month,
    channel,
    metric,
    direction,
    used,
    expected,
    low,
    high,
    cap,
    cap_is_reached,
    cap_earliest,
    cap_likely,
    cap_latest,
    cap_probability,
    history_days,
    unpriced_unit_count,
    build_id,
    forecast_at,
    unpriced_units
from ops.usage_forecasts
where
    tenant_id = (select current_setting('metering.tenant_id', true))
    or (select current_setting('metering.role', true) = 'root_admin');

comment on view ops.tenant_forecasts is 'What each limit and the cost of a month will come to. A tenant reads its own, the owner all.';
