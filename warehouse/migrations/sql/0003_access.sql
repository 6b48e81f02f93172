-- May this tenant use n more units of this channel? One answer for everybody who asks.
-- It reads marts that dbt makes later: plpgsql looks tables up when it runs, not when it is created.
-- The caller's own rights and row-level security apply (security invoker): a tenant can ask only about itself.

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
as $$
declare
    hard_stop boolean;
    unit_price_cents numeric;
begin
    select tenants.usage_hard_stop_enabled, prices.unit_price_usd * 100
    into hard_stop, unit_price_cents
    from marts.tenants as tenants
    left join lateral (
        select channel_prices.unit_price_usd
        from marts.channel_prices
        where channel_prices.channel = p_channel
            and channel_prices.plan in (coalesce(tenants.plan, ''), '')
        order by channel_prices.plan desc
        limit 1
    ) as prices on true
    where tenants.tenant_id = p_tenant_id;

    if not found then
        return;                               -- no row: an unknown tenant
    end if;

    return query
    with limits as (
        -- A month that no build has touched yet has last month's caps and nothing used.
        select
            tenant_usage_status.metric,
            tenant_usage_status.cap,
            tenant_usage_status.percent_used,
            case when tenant_usage_status.month = p_month then tenant_usage_status.used else 0 end as used,
            case when tenant_usage_status.month = p_month then tenant_usage_status.status else 'ok' end as status
        from marts.tenant_usage_status
        where tenant_usage_status.tenant_id = p_tenant_id
            and tenant_usage_status.channel = p_channel
            and tenant_usage_status.month = (
                select max(latest.month)
                from marts.tenant_usage_status as latest
                where latest.tenant_id = p_tenant_id
                    and latest.month <= p_month
            )
    ),

    asked as (
        select
            limits.*,
            case limits.metric
                when 'units' then p_units
                when 'requests' then case when p_channel in ('email', 'places') then p_units else 1 end
                when 'cost_cents' then coalesce(p_units * unit_price_cents, 0)
            end as wanted
        from limits
    ),

    decided as (
        select
            asked.*,
            asked.cap is null or asked.used + asked.wanted <= asked.cap as fits,
            case asked.status when 'over_cap' then 2 when 'warning' then 1 else 0 end as severity
        from asked
    )

    select
        not hard_stop or coalesce(bool_and(decided.fits) over (), true),
        first_value(decided.status) over (order by decided.severity desc, decided.metric),
        decided.used,
        0::numeric,
        decided.cap,
        case
            when hard_stop and not bool_and(decided.fits) over ()
                then 'Usage cap reached for this channel. Please contact support or update your plan.'
        end
    from decided
    order by decided.fits, decided.cap is null, decided.percent_used desc nulls last, decided.metric
    limit 1;

    if not found then
        return query select true, 'ok'::text, 0::numeric, 0::numeric, null::numeric, null::text;
    end if;
end;
$$;
