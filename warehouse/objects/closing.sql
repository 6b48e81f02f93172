-- SQL expressions for the key and the digest of a row with the alias t. Every comparison of digests uses these two.
create or replace function ops.key_expression(p_columns text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'jsonb_build_object(' || string_agg(format('%L, t.%I', name, name), ', ') || ')' from unnest(p_columns) as name
$$;

create or replace function ops.digest_expression(p_columns text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'sha256(convert_to(jsonb_build_array(' || string_agg(format('t.%I', name), ', ') || ')::text, ''UTF8''))'
    from unnest(p_columns) as name
$$;

-- Called by ingestion in the transaction that replaces units. Notes which records of closed months have changed, and the new day of those
-- that moved.
create or replace function ops.note_record_changes(
    p_table text,
    p_accounts text[],                        -- the units that were replaced
    p_days date[],
    p_moved_keys text[],                      -- sids that left a day outside of them
    p_moved_days date[],
    p_load_id text
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set extra_float_digits = 1
as $$
declare
    is_spread constant boolean := to_regclass('pg_catalog.pg_dist_partition') is not null;
    closed record;
    noted bigint := 0;
    written bigint;
begin
    for closed in
        select closed_relations.month, closed_relations.relation, closed_relations.key_columns, closed_relations.columns
        from ops.closed_relations
        where closed_relations.relation = 'raw.' || p_table
            and exists (
                select 1 from unnest(p_days || p_moved_days) as touched (day)
                where to_char(touched.day, 'YYYY-MM') = closed_relations.month
            )
    loop
        execute format(
            $q$
            with units as (
                select unit.account_id, unit.usage_date
                from unnest($1, $2) as unit (account_id, usage_date)
                where to_char(unit.usage_date, 'YYYY-MM') = $5
            ),
            days as (select distinct usage_date::text as day from units union select day::text from unnest($4) as moved (day)),
            present as (
                select %1$s as key, %2$s as digest
                from raw.%3$I as t
                inner join units on units.account_id = t.account_id and units.usage_date = t.usage_date
            ),
            recorded as (
                select items.key, items.digest, 0 as number
                from ops.close_items as items
                where items.month = $5 and items.relation = $6 and items.key ->> 'usage_date' in (select day from days)
                union all
                select changes.key, changes.digest, changes.id
                from ops.closed_record_changes as changes
                where changes.month = $5 and changes.relation = $6 and changes.key ->> 'usage_date' in (select day from days)
            ),
            latest as (
                select distinct on (recorded.key) recorded.key, recorded.digest
                from recorded
                where
                    (recorded.key ->> 'account_id', (recorded.key ->> 'usage_date')::date) in (select account_id, usage_date from units)
                    or recorded.key ->> 'sid' = any($3)
                order by recorded.key, recorded.number desc
            )%5$s
            insert into ops.closed_record_changes (month, relation, key, digest, load_id, moved_to)
            select $5, $6, coalesce(latest.key, present.key), present.digest, $7, case when present.key is null then %4$s end
            from latest
            full join present on latest.key = present.key
            where latest.digest is distinct from present.digest
            $q$,
            ops.key_expression(closed.key_columns), ops.digest_expression(closed.columns), p_table,
            case
                when 'sid' = any(closed.key_columns)
                    then format(
                        '(select min(moved.usage_date) from %s as moved where moved.sid = latest.key ->> ''sid'')',
                        case when is_spread then 'stored' else format('raw.%I', p_table) end
                    )
                else 'null::date'
            end,
            -- Citus asks the workers once, not for each row.
            case
                when is_spread and 'sid' = any(closed.key_columns)
                    then format(
                        ', stored as materialized (select sid, usage_date from raw.%I where sid in (select recorded.key ->> ''sid'' from recorded))',
                        p_table
                    )
                else ''
            end
        ) using p_accounts, p_days, p_moved_keys, p_moved_days, closed.month, closed.relation, p_load_id;
        get diagnostics written = row_count;
        noted := noted + written;
    end loop;
    return noted;
end;
$$;

-- The SQL condition, on t, for the rows of a directory table that are valid on a day between two; limits have no validity: every row.
create or replace function ops.directory_condition(p_relation text, p_first date, p_last date) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select
        case
            when p_relation = 'raw.tenant_limits' then 'true'
            else format('coalesce(t.valid_from <= %L, true) and coalesce(t.valid_to > %L, true)', p_last, p_first)
        end
$$;

-- Called by the load of the directory, in the transaction that replaces it. Notes which of its rows have changed for closed months.
create or replace function ops.note_directory_changes(p_load_id text) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set extra_float_digits = 1
as $$
declare
    closed record;
    noted bigint := 0;
    written bigint;
begin
    for closed in
        select relations.month, relations.relation, relations.key_columns, relations.columns, months.first_day, months.last_day
        from ops.closed_relations as relations
        inner join ops.closed_months as months on months.month = relations.month
        where relations.kind = 'directory'
    loop
        execute format(
            $q$
            with present as (select %1$s as key, %2$s as digest from %3$s as t where %4$s),
            recorded as (
                select items.key, items.digest, 0 as number
                from ops.close_items as items
                where items.month = $1 and items.relation = $2
                union all
                select changes.key, changes.digest, changes.id
                from ops.closed_record_changes as changes
                where changes.month = $1 and changes.relation = $2
            ),
            latest as (select distinct on (recorded.key) recorded.key, recorded.digest from recorded order by recorded.key, recorded.number desc)
            insert into ops.closed_record_changes (month, relation, key, digest, load_id)
            select $1, $2, coalesce(latest.key, present.key), present.digest, $3
            from latest
            full join present on latest.key = present.key
            where latest.digest is distinct from present.digest
            $q$,
            ops.key_expression(closed.key_columns), ops.digest_expression(closed.columns), closed.relation,
            ops.directory_condition(closed.relation, closed.first_day, closed.last_day)
        ) using closed.month, closed.relation, p_load_id;
        get diagnostics written = row_count;
        noted := noted + written;
    end loop;
    return noted;
end;
$$;

-- One digest of the whole directory: a proof is valid for the directory that it was built with.
create or replace function ops.directory_digest() returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $$
    select sha256(convert_to(coalesce(string_agg(line, e'\n' order by line collate "C"), ''), 'UTF8'))
    from (
        select 'tenants ' || (to_jsonb(t) - 'loaded_at')::text as line from raw.tenants as t
        union all
        select 'tenant_resources ' || (to_jsonb(t) - 'loaded_at')::text from raw.tenant_resources as t
        union all
        select 'tenant_limits ' || (to_jsonb(t) - 'loaded_at')::text from raw.tenant_limits as t
    ) as directory
$$;
