-- Limits, for whoever shows or enforces one: how full it is, which status that is, which status is worse, and which limits hold in a month.

-- Percent of the cap, to 18 decimals, rounded once (as dbt's `percent_of`); a cap of nothing is full as soon as anything is used. Null
-- without a cap.
create or replace function ops.percent_of_cap(p_used numeric, p_cap numeric) returns numeric
language sql
immutable
parallel safe
return case
    when p_cap = 0 then case when p_used = 0 then 0 else 100 end
    else trim_scale(sign(p_used) * div(abs(p_used) * 2e20 + p_cap, p_cap * 2) * 1e-18)
end;

create or replace function ops.limit_status(p_used numeric, p_cap numeric, p_percent_used numeric, p_warning_threshold_pct numeric)
returns text
language sql
immutable
parallel safe
return case when p_used > p_cap then 'over_cap' when p_percent_used >= p_warning_threshold_pct then 'warning' else 'ok' end;

-- The statuses from good to bad: 0, 1, 2. What has none is as good as ok. `costs.rules.limits` has the same order.
create or replace function ops.severity(p_status text) returns integer
language sql
immutable
parallel safe
return coalesce(array_position(array['ok', 'warning', 'over_cap'], p_status) - 1, 0);

-- The status of a severity: of the worst of many rows without sorting them.
create or replace function ops.status_of(p_severity integer) returns text
language sql
immutable
parallel safe
return (array['ok', 'warning', 'over_cap'])[p_severity + 1];

create or replace function ops.worse_status(p_status text, p_other text) returns text
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$ select case when ops.severity(p_other) > ops.severity(p_status) then p_other else p_status end $$;

create or replace aggregate ops.worst_status (text)(
    sfunc = ops.worse_status,
    stype = text,
    combinefunc = ops.worse_status,
    initcond = 'ok',
    parallel = safe
);

-- The caps that hold in a month: those of the tenant's newest month with limits up to it. With nothing used if that is an earlier one, a
-- month that no build has touched yet. Runs with the rights of who asks; without a
-- search path of its own, so that it becomes a part of the query that asks.
create or replace function ops.limits_of(p_tenant_id text, p_month text)
returns table (
    channel text,
    metric text,
    direction text,
    used numeric,
    cap numeric,
    warning_threshold_pct numeric,
    percent_used numeric,
    status text
)
language sql
stable
rows 10
as $$
    select
        limits.channel,
        limits.metric,
        limits.direction,
        case when limits.month = p_month then limits.used else 0 end::numeric,
        limits.cap::numeric,
        limits.warning_threshold_pct::numeric,
        case
            when limits.month = p_month then limits.percent_used
            when limits.cap is not null then 0
        end::numeric,
        case when limits.month = p_month then limits.status else 'ok' end
    from marts.tenant_usage_status as limits
    where
        limits.tenant_id = p_tenant_id
        and limits.month = (
            select max(latest.month)
            from marts.tenant_usage_status as latest
            where
                latest.tenant_id = p_tenant_id
                and latest.month <= p_month
        )
$$;
