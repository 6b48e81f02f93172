-- follows: 0056
-- Marts whose primary key begins with the tenant and the time need no second index of these: each row was written into it for nothing.
do $$
declare
    index_name text;
begin
    for index_name in
        select indexes.indexrelid::regclass::text
        from pg_index as indexes
        inner join pg_index as keys
            on indexes.indrelid = keys.indrelid
            and keys.indisprimary
        inner join pg_class as tables on indexes.indrelid = tables.oid
        where
            tables.relnamespace = to_regnamespace('marts')
            and tables.relname in (
                'billing_usage_daily', 'tenant_margin_monthly', 'tenant_monthly', 'tenant_usage_status', 'usage_monthly',
                'usage_reconciliation', 'usage_summary'
            )
            and indexes.indpred is null
            and not indexes.indisunique
            and indexes.indnatts = 2
            and indexes.indkey[0] = keys.indkey[0]
            and indexes.indkey[1] = keys.indkey[1]
    loop
        execute 'drop index ' || index_name;
    end loop;
end;
$$;
