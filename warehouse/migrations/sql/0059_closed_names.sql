-- follows: 0057
-- The tenants' names as a month was closed with them: a directory without dates renames a tenant for all days.
create table ops.closed_names (
    month text not null references ops.closed_months (month),
    tenant_id text not null,
    valid_from date not null,                 -- -infinity: open to the past
    valid_to date not null,                   -- infinity: open
    name text not null,
    primary key (month, tenant_id, valid_from)
);

-- Of months that are closed already: what their charges say while they are a table, else what the directory says.
do $$
begin
    if (select relkind from pg_class where oid = to_regclass('marts.focus_cost_and_usage')) = 'r' then
        insert into ops.closed_names (month, tenant_id, valid_from, valid_to, name)
        with days as (
            -- Corrections of one day, booked before and after a tenant was renamed, say two names: the later one.
            select distinct on (to_char(focus.date, 'YYYY-MM'), focus.tenant_id, focus."ChargePeriodStart")
                to_char(focus.date, 'YYYY-MM') as month,
                focus.tenant_id,
                focus."SubAccountName" as name,
                (focus."ChargePeriodStart" at time zone 'UTC')::date as day
            from marts.focus_cost_and_usage as focus
            where to_char(focus.date, 'YYYY-MM') in (select months.month from ops.closed_months as months)
            order by to_char(focus.date, 'YYYY-MM'), focus.tenant_id, focus."ChargePeriodStart", focus.date desc, name
        ),
        named as (
            select days.*, lag(name) over in_order as name_before
            from days
            window in_order as (partition by month, tenant_id order by day)
        )
        select
            month,
            tenant_id,
            case when name_before is null then '-infinity' else day end,
            coalesce(lead(day) over in_order, 'infinity'),
            name
        from named
        where name is distinct from name_before
        window in_order as (partition by month, tenant_id order by day);
    end if;

    insert into ops.closed_names (month, tenant_id, valid_from, valid_to, name)
    select months.month, tenants.tenant_id, coalesce(tenants.valid_from, '-infinity'), coalesce(tenants.valid_to, 'infinity'), tenants.name
    from ops.closed_months as months
    cross join raw.tenants as tenants
    where not exists (
        select from ops.closed_names as names
        where names.month = months.month and names.tenant_id = tenants.tenant_id
    );
end;
$$;
