-- What makes a close, and what is written down after it, evidence: ledgers that are chained as they are written, the tenant
-- directory of the month, and the loads behind changed records.

-- A restatement says what became of the billed cost, too: null where it was not known of every line.
alter table ops.cost_restatements
add column old_billed_cost_usd numeric(38, 18),
add column new_billed_cost_usd numeric(38, 18);

-- The plan that each tenant with usage of the day was priced by, {tenant: plan}; null: computed before this was kept.
alter table ops.built_days add column plans jsonb;

do $$
begin
    if exists (
        select 1 from pg_attribute where attrelid = to_regclass('marts.usage_lines') and attname = 'plan' and not attisdropped
    ) then
        update ops.built_days
        set plans = found.plans
        from (
            select kept.date, jsonb_object_agg(kept.tenant_id, kept.plan) as plans
            from (select distinct on (date, tenant_id) date, tenant_id, plan from marts.usage_lines order by date, tenant_id, plan) as kept
            group by kept.date
        ) as found
        where built_days.usage_date = found.date;
    end if;
end;
$$;

-- Providers whose days were not asked about when the month was closed.
alter table ops.closed_months add column without_providers text[] not null default '{}';

alter table ops.closed_relations drop constraint closed_relations_kind_check;
alter table ops.closed_relations
add constraint closed_relations_kind_check check (kind in ('mart', 'ledger', 'record', 'event', 'price', 'directory'));

-- Ledgers as hash chains: a row per row of theirs, in the order in which they were written, and where each chain ends.
create table ops.ledger_links (
    ledger text not null,                     -- ops.cost_adjustments, …
    position bigint not null,
    key jsonb not null,
    digest bytea not null,                    -- sha256 of the row
    link bytea not null,                      -- sha256 of the link before, ledger, key and digest, as in costs.rules.chain
    primary key (ledger, position)
);

create table ops.ledger_ends (
    ledger text primary key,
    row_count bigint not null,
    link bytea not null                       -- the last one; before the first row: of the ledger's name
);
insert into ops.ledger_ends
select
    name,
    0,
    sha256(convert_to(name, 'UTF8'))
from unnest(array['ops.cost_restatements', 'ops.cost_adjustments', 'ops.closed_record_changes']) as name;

-- Of what a row says: a column that comes later and is null in it changes nothing.
create function ops.ledger_digest(p_row jsonb) returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select sha256(convert_to(jsonb_strip_nulls(p_row)::text, 'UTF8')) $$;

create function ops.extend_chain(p_ledger text, p_key_columns text[], p_rows jsonb[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    entry jsonb;
    entry_key jsonb;
    entry_digest bytea;
    number bigint;
    last_link bytea;
begin
    select row_count, link into number, last_link from ops.ledger_ends where ledger = p_ledger for update;
    foreach entry in array p_rows loop
        select jsonb_object_agg(name, entry -> name) into entry_key from unnest(p_key_columns) as name;
        entry_digest := ops.ledger_digest(entry);
        number := number + 1;
        last_link := sha256(
            last_link || '\x00'::bytea || convert_to(p_ledger, 'UTF8') || '\x00'::bytea
            || convert_to(entry_key::text, 'UTF8') || '\x00'::bytea || entry_digest
        );
        insert into ops.ledger_links values (p_ledger, number, entry_key, entry_digest, last_link);
    end loop;
    update ops.ledger_ends set row_count = number, link = last_link where ledger = p_ledger;
end;
$$;

-- Runs as its owner: who may insert into a ledger may not write its chain. Its arguments name the columns of a row's key.
create function ops.chain_added_rows() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set bytea_output = 'hex'
as $$
declare
    found_rows jsonb[];
begin
    select array_agg(to_jsonb(added) order by added.id) into found_rows from added;
    if found_rows is not null then
        perform ops.extend_chain('ops.' || tg_table_name, tg_argv, found_rows);
    end if;
    return null;
end;
$$;

-- What was written before there were chains.
do $$
begin
    set local timezone = 'UTC';
    set local bytea_output = 'hex';
    perform ops.extend_chain('ops.cost_restatements', array['id', 'tenant_id', 'date', 'channel'], coalesce(array_agg(to_jsonb(t) order by t.id), '{}'))
    from ops.cost_restatements as t;
    perform ops.extend_chain('ops.cost_adjustments', array['id', 'tenant_id', 'date', 'channel'], coalesce(array_agg(to_jsonb(t) order by t.id), '{}'))
    from ops.cost_adjustments as t;
    perform ops.extend_chain('ops.closed_record_changes', array['id', 'month', 'relation'], coalesce(array_agg(to_jsonb(t) order by t.id), '{}'))
    from ops.closed_record_changes as t;
end;
$$;

create trigger chained after insert on ops.cost_restatements
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'tenant_id', 'date', 'channel');
create trigger chained after insert on ops.cost_adjustments
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'tenant_id', 'date', 'channel');

-- A record that only left its day stands on another one, which the load did read.
alter table ops.closed_record_changes add column moved_to date;
create trigger chained after insert on ops.closed_record_changes
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'month', 'relation');

-- As in 0008, and where a record that left its day stands now.
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
            found as (
                select %1$s as key, %2$s as digest
                from raw.%3$I as t
                inner join units on units.account_id = t.account_id and units.usage_date = t.usage_date
            ),
            stated as (
                select items.key, items.digest, 0 as number
                from ops.close_items as items
                where items.month = $5 and items.relation = $6 and items.key ->> 'usage_date' in (select day from days)
                union all
                select changes.key, changes.digest, changes.id
                from ops.closed_record_changes as changes
                where changes.month = $5 and changes.relation = $6 and changes.key ->> 'usage_date' in (select day from days)
            ),
            known as (
                select distinct on (stated.key) stated.key, stated.digest
                from stated
                where
                    (stated.key ->> 'account_id', (stated.key ->> 'usage_date')::date) in (select account_id, usage_date from units)
                    or stated.key ->> 'sid' = any($3)
                order by stated.key, stated.number desc
            )
            insert into ops.closed_record_changes (month, relation, key, digest, load_id, moved_to)
            select $5, $6, coalesce(known.key, found.key), found.digest, $7, case when found.key is null then %4$s end
            from known
            full join found on known.key = found.key
            where known.digest is distinct from found.digest
            $q$,
            ops.key_expression(closed.key_columns), ops.digest_expression(closed.columns), p_table,
            case
                when 'sid' = any(closed.key_columns)
                    then format('(select min(moved.usage_date) from raw.%I as moved where moved.sid = known.key ->> ''sid'')', p_table)
                else 'null::date'
            end
        ) using p_accounts, p_days, p_moved_keys, p_moved_days, closed.month, closed.relation, p_load_id;
        get diagnostics written = row_count;
        noted := noted + written;
    end loop;
    return noted;
end;
$$;

-- The SQL condition, on t, of a directory table's rows that hold on a day between two; of what has no validity, every row.
create function ops.directory_condition(p_relation text, p_first date, p_last date) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select
        case
            when p_relation = 'raw.tenant_limits' then 'true'
            else format('coalesce(t.valid_from <= %L, true) and coalesce(t.valid_to > %L, true)', p_last, p_first)
        end
$$;

-- Called by whoever loads the directory, in the transaction that replaces it: which of its rows are not what they were for closed months.
create function ops.note_directory_changes(p_load_id text) returns bigint
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
            with found as (select %1$s as key, %2$s as digest from %3$s as t where %4$s),
            stated as (
                select items.key, items.digest, 0 as number
                from ops.close_items as items
                where items.month = $1 and items.relation = $2
                union all
                select changes.key, changes.digest, changes.id
                from ops.closed_record_changes as changes
                where changes.month = $1 and changes.relation = $2
            ),
            known as (select distinct on (stated.key) stated.key, stated.digest from stated order by stated.key, stated.number desc)
            insert into ops.closed_record_changes (month, relation, key, digest, load_id)
            select $1, $2, coalesce(known.key, found.key), found.digest, $3
            from known
            full join found on known.key = found.key
            where known.digest is distinct from found.digest
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

-- What the directory says, in one digest: a proof holds for the directory that it was built with.
create function ops.directory_digest() returns bytea
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

alter table ops.proofs add column directory_digest bytea;
alter table ops.proofs alter column directory_digest set default ops.directory_digest();
