-- What a cost was before it changed, and what a closed month was when it was closed. dbt and ingestion only ever insert here, in the
-- very transaction that changes the figure or the record.

-- Every price book that a build has used, by the sha256 of its rows.
create table ops.price_books (
    version text primary key,
    row_count bigint not null,
    first_used_at timestamptz not null default clock_timestamp()
);

create table ops.price_book_rows (
    version text not null references ops.price_books (version),
    number bigint not null,                   -- in the order of the rows' bytes
    service text not null,
    operation text not null,                  -- '' = any; model and plan likewise
    model text not null,
    plan text not null,
    component text not null,
    unit_price_usd text not null,             -- exact, as text without trailing zeros: 0.0083
    per text not null,
    effective_from text not null,             -- ISO date, '' = open
    effective_to text not null,
    source text not null,
    primary key (version, number)
);

-- Keeps the price book that stands in a table and returns its version: sha256 over its rows, each as a JSON array of texts, in the
-- order of their bytes. `costs.rules.price_versions` computes the same from the seed's file.
create function ops.keep_price_book(p_table regclass) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    lines text[];
    found_version text;
begin
    execute format(
        $q$
        select coalesce(array_agg(line order by line collate "C"), '{}')
        from (
            select jsonb_build_array(
                service, coalesce(operation, ''), coalesce(model, ''), coalesce(plan, ''), component,
                trim_scale(unit_price_usd)::text, trim_scale(per)::text,
                coalesce(to_char(effective_from, 'YYYY-MM-DD'), ''), coalesce(to_char(effective_to, 'YYYY-MM-DD'), ''), coalesce(source, '')
            )::text as line
            from %s
        ) as price_rows
        $q$,
        p_table
    ) into lines;
    found_version := encode(sha256(convert_to(array_to_string(lines, e'\n'), 'UTF8')), 'hex');

    insert into ops.price_books (version, row_count) values (found_version, cardinality(lines))
    on conflict (version) do nothing;
    if found then
        insert into ops.price_book_rows
        select
            found_version, number, row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, row ->> 5, row ->> 6, row ->> 7, row ->> 8, row ->> 9
        from (select line::jsonb as row, number from unnest(lines) with ordinality as kept (line, number)) as price_rows;
    end if;
    return found_version;
end;
$$;

-- What each day was last computed with, and since when it is complete (built when it was over).
create table ops.built_days (
    usage_date date primary key,
    price_version text,                       -- null: built before price books were kept
    code_version text,
    build_id text,
    completed_at timestamptz                  -- null: only built while it was still today
);

-- Days that were built before this table was: as far as the record of builds says.
insert into ops.built_days (usage_date, build_id, completed_at)
select
    day::date,
    (array_agg(builds.build_id order by builds.finished_at))[1],
    min(builds.finished_at)
from ops.builds as builds
cross join
    generate_series(
        builds.window_start::timestamp,
        least(builds.window_end - 1, (builds.as_of at time zone 'UTC')::date - 1)::timestamp,
        interval '1 day'
    ) as day
where builds.status = 'ok'
group by day;

-- The seed's table still holds what the last of those builds used.
do $$
begin
    if to_regclass('staging.price_book') is not null then
        update ops.built_days set price_version = ops.keep_price_book('staging.price_book');
    end if;
end;
$$;

-- A change of the estimated cost of a day that was complete already.
create table ops.cost_restatements (
    id bigint generated always as identity primary key,
    tenant_id text not null,
    date date not null,
    channel text not null,
    old_cost_usd numeric(38, 18),             -- null: nothing used, or no line of it priced
    new_cost_usd numeric(38, 18),
    difference_usd numeric(38, 18) generated always as (coalesce(new_cost_usd, 0) - coalesce(old_cost_usd, 0)) stored,
    old_unpriced_unit_count numeric(38, 18),  -- null: nothing used
    new_unpriced_unit_count numeric(38, 18),
    reason text not null,                     -- usage, attribution, price, 'usage, price', 'attribution, price', plan, code
    old_price_version text,
    new_price_version text not null,
    old_code_version text,
    new_code_version text not null,
    build_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index cost_restatements_cell on ops.cost_restatements (date, tenant_id, channel, recorded_at);

-- A month whose marts stay as they are, and the last link of the hash chain over what it was made of.
create table ops.closed_months (
    month text primary key check (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    first_day date not null,                  -- of its days those from METERING_START_DATE on
    last_day date not null,
    closed_at timestamptz not null,
    closed_by text not null,
    code_version text not null,
    previous_root bytea not null,             -- of the month closed before this one; empty: it is the first
    item_count bigint not null,
    root bytea not null
);

-- What the chain covers, in which columns: a column that comes later is no change.
create table ops.closed_relations (
    month text not null references ops.closed_months (month),
    relation text not null,                   -- marts.usage_daily, raw.twilio_messages, …
    kind text not null check (kind in ('mart', 'ledger', 'record', 'event', 'price')),
    key_columns text[] not null,
    columns text[] not null,
    period_column text not null,              -- date or month; of prices: their version
    primary key (month, relation)
);

create table ops.close_items (
    month text not null references ops.closed_months (month),
    position bigint not null,
    relation text not null,
    key jsonb not null,
    digest bytea not null,                    -- sha256 of the row's content
    link bytea not null,                      -- sha256 of the link before, relation, key and digest
    primary key (month, position)
);
create index close_items_day on ops.close_items (month, relation, (key ->> 'usage_date'));

-- Records of closed months that an ingest changed since: what tells a provider's correction from a hand in the table.
create table ops.closed_record_changes (
    id bigint generated always as identity primary key,
    month text not null references ops.closed_months (month),
    relation text not null,
    key jsonb not null,
    digest bytea,                             -- null: gone
    load_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index closed_record_changes_day on ops.closed_record_changes (month, relation, (key ->> 'usage_date'));

-- What a closed month would say otherwise today, booked in an open one. Each row is a difference to what the closed figure and the
-- rows before it sum to.
create table ops.cost_adjustments (
    id bigint generated always as identity primary key,
    tenant_id text not null,
    month text not null references ops.closed_months (month),
    date date not null,
    channel text not null,
    cost_usd numeric(38, 18) not null,
    billed_cost_usd numeric(38, 18) not null,
    unit_count numeric(38, 18) not null,
    unpriced_unit_count numeric(38, 18) not null,
    booked_month text not null,
    booked_on date not null,                  -- the as-of day of the build that found it
    reason text not null,                     -- as in cost_restatements
    old_price_version text,
    new_price_version text not null,
    old_code_version text,
    new_code_version text not null,
    build_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index cost_adjustments_cell on ops.cost_adjustments (date, tenant_id, channel, recorded_at);
create index cost_adjustments_booked on ops.cost_adjustments (booked_month, tenant_id);

-- What the API may show of them: a tenant its own, the owner all.
create view ops.booked_adjustments as
select
    id,
    tenant_id,
    month,
    date,
    channel,
    cost_usd,
    unit_count,
    unpriced_unit_count,
    booked_month,
    booked_on,
    reason,
    recorded_at
from ops.cost_adjustments
where
    tenant_id = (select current_setting('metering.tenant_id', true))
    or (select current_setting('metering.role', true)) = 'root_admin';

-- SQL text of a row's key and of its digest, the row being called t. Whoever compares digests uses these two.
create function ops.key_expression(p_columns text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'jsonb_build_object(' || string_agg(format('%L, t.%I', name, name), ', ') || ')' from unnest(p_columns) as name
$$;

create function ops.digest_expression(p_columns text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'sha256(convert_to(jsonb_build_array(' || string_agg(format('t.%I', name), ', ') || ')::text, ''UTF8''))'
    from unnest(p_columns) as name
$$;

-- Called by ingestion in the transaction that replaces units: which records of closed months are not what they were.
create function ops.note_record_changes(
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
            insert into ops.closed_record_changes (month, relation, key, digest, load_id)
            select $5, $6, coalesce(known.key, found.key), found.digest, $7
            from known
            full join found on known.key = found.key
            where known.digest is distinct from found.digest
            $q$,
            ops.key_expression(closed.key_columns), ops.digest_expression(closed.columns), p_table
        ) using p_accounts, p_days, p_moved_keys, p_moved_days, closed.month, closed.relation, p_load_id;
        get diagnostics written = row_count;
        noted := noted + written;
    end loop;
    return noted;
end;
$$;

-- Estimated cost by tenant, day and channel as the marts and the adjustments said it at an instant, for the days that were
-- complete then. cost_usd is null where nothing of it was priced. (Marts are made later than this: plpgsql looks them up as it runs.)
create function ops.cost_as_of(p_at timestamptz, p_first date default '-infinity', p_last date default 'infinity')
returns table (tenant_id text, date date, channel text, cost_usd numeric, adjustment_usd numeric, unpriced_unit_count numeric)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with days as (
        select built_days.usage_date from ops.built_days
        where built_days.completed_at <= p_at and built_days.usage_date between p_first and p_last
    ),
    today as (
        select
            usage.tenant_id,
            usage.date,
            usage.channel,
            sum(usage.estimated_cost_usd) as cost_usd,
            sum(usage.unpriced_unit_count) as unpriced_unit_count
        from marts.usage_daily as usage
        inner join days on days.usage_date = usage.date
        group by usage.tenant_id, usage.date, usage.channel
    ),
    -- The first change after the instant says what was before it.
    since as (
        select distinct on (changes.tenant_id, changes.date, changes.channel)
            changes.tenant_id,
            changes.date,
            changes.channel,
            changes.old_cost_usd as cost_usd,
            changes.old_unpriced_unit_count as unpriced_unit_count
        from ops.cost_restatements as changes
        inner join days on days.usage_date = changes.date
        where changes.recorded_at > p_at
        order by changes.tenant_id, changes.date, changes.channel, changes.id
    ),
    then_known as (
        select since.* from since where since.unpriced_unit_count is not null
        union all
        select today.* from today
        where not exists (
            select 1 from since
            where since.tenant_id = today.tenant_id and since.date = today.date and since.channel = today.channel
        )
    ),
    adjustments as (
        select
            booked.tenant_id,
            booked.date,
            booked.channel,
            sum(booked.cost_usd) as cost_usd,
            sum(booked.unpriced_unit_count) as unpriced_unit_count
        from ops.cost_adjustments as booked
        where booked.recorded_at <= p_at and booked.date between p_first and p_last
        group by booked.tenant_id, booked.date, booked.channel
    )
    select
        coalesce(then_known.tenant_id, adjustments.tenant_id),
        coalesce(then_known.date, adjustments.date),
        coalesce(then_known.channel, adjustments.channel),
        case
            when then_known.cost_usd is null and coalesce(adjustments.cost_usd, 0) = 0 and then_known.tenant_id is not null then null
            else coalesce(then_known.cost_usd, 0) + coalesce(adjustments.cost_usd, 0)
        end,
        coalesce(adjustments.cost_usd, 0),
        coalesce(then_known.unpriced_unit_count, 0) + coalesce(adjustments.unpriced_unit_count, 0)
    from then_known
    full join adjustments
        on
            adjustments.tenant_id = then_known.tenant_id
            and adjustments.date = then_known.date
            and adjustments.channel = then_known.channel;
end;
$$;
