-- follows: 0007
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

-- The seed's table still holds what the last of those builds used: it is kept as ops.keep_price_book (warehouse/objects/price_books.sql)
-- keeps the later ones.
do $$
declare
    lines text[];
    used_version text;
begin
    if to_regclass('staging.price_book') is null then
        return;
    end if;
    select coalesce(array_agg(line order by line collate "C"), '{}') into lines
    from (
        select jsonb_build_array(
            service, coalesce(operation, ''), coalesce(model, ''), coalesce(plan, ''), component,
            trim_scale(unit_price_usd)::text, trim_scale(per)::text,
            coalesce(to_char(effective_from, 'YYYY-MM-DD'), ''), coalesce(to_char(effective_to, 'YYYY-MM-DD'), ''), coalesce(source, '')
        )::text as line
        from staging.price_book
    ) as price_rows;
    used_version := encode(sha256(convert_to(array_to_string(lines, e'\n'), 'UTF8')), 'hex');

    insert into ops.price_books (version, row_count) values (used_version, cardinality(lines));
    insert into ops.price_book_rows
    select
        used_version, number, row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, row ->> 5, row ->> 6, row ->> 7, row ->> 8, row ->> 9
    from (select line::jsonb as row, number from unnest(lines) with ordinality as kept (line, number)) as price_rows;
    update ops.built_days set price_version = used_version;
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
