-- follows: 0031
-- Which code the static relations (views, functions, seeds) and the relations themselves were of, by the newest build; null: that
-- build was making them and did not end well.
alter table ops.builds add column static_version text;

-- What the marts' contracts say of new tables, said of those that stand already: of rows from now on, for a closed month's stay.
do $$
declare
    said record;
begin
    for said in
        select *
        from (values
            ('tenants', 'tenants_status_is_known', $c$status in ('active', 'suspended', 'removed')$c$),
            ('usage_daily', 'usage_daily_evidence_is_known', $c$evidence in ('provider', 'tracked', 'residual')$c$),
            ('usage_daily', 'usage_daily_direction_is_known', $c$direction in ('outbound', 'inbound', 'none')$c$),
            ('usage_lines', 'usage_lines_evidence_is_known', $c$evidence in ('provider', 'tracked', 'residual')$c$),
            (
                'usage_reconciliation', 'usage_reconciliation_state_is_known',
                $c$state in ('drift', 'misattributed', 'tracked_only', 'provider_only', 'price_pending', 'matched')$c$
            ),
            ('tenant_usage_status', 'tenant_usage_status_status_is_known', $c$status in ('ok', 'warning', 'over_cap')$c$),
            ('tenant_monthly', 'tenant_monthly_usage_status_is_known', $c$usage_status in ('ok', 'warning', 'over_cap')$c$)
        ) as checks (mart, name, expression)
        where to_regclass('marts.' || mart) is not null
    loop
        execute format('alter table marts.%I add constraint %I check (%s) not valid', said.mart, said.name, said.expression);
    end loop;
end;
$$;
