"""All SQL of the forecast. The rows are those of the newest forecast of this month, up to today."""

FORECAST = """
select
    tenants.tenant_id,
    tenants.name as tenant_name,
    (
        select row_to_json(part)
        from (
            select
                trim_scale(tenant_monthly.total_cost_cents) as cost_cents,
                trim_scale(tenant_monthly.projected_cost_cents) as projected_cost_cents
            from marts.tenant_monthly
            where tenant_monthly.tenant_id = %(tenant_id)s
                and tenant_monthly.month = %(month)s
        ) as part
    ) as current_month,
    (
        select coalesce(json_agg(part order by part.channel, part.metric), '[]')
        from (
            select
                forecasts.as_of_date,
                forecasts.channel,
                forecasts.metric,
                forecasts.direction,
                trim_scale(forecasts.used) as used,
                trim_scale(forecasts.expected) as expected,
                trim_scale(forecasts.low) as low,
                trim_scale(forecasts.high) as high,
                trim_scale(forecasts.cap) as cap,
                forecasts.cap_is_reached,
                forecasts.cap_earliest,
                forecasts.cap_likely,
                forecasts.cap_latest,
                trim_scale(forecasts.cap_probability) as cap_probability,
                forecasts.history_days,
                trim_scale(forecasts.unpriced_unit_count) as unpriced_unit_count,
                forecasts.unpriced_units
            from ops.tenant_forecasts as forecasts
            where forecasts.tenant_id = %(tenant_id)s
                and forecasts.month = %(month)s
                and forecasts.as_of_date = (
                    select max(latest.as_of_date)
                    from ops.tenant_forecasts as latest
                    where latest.tenant_id = %(tenant_id)s
                        and latest.as_of_date <= %(today)s
                )
        ) as part
    ) as forecasts
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""
