-- The digest of a row. A column that is added later and is null in the row changes nothing.
create or replace function ops.ledger_digest(p_row jsonb) returns bytea
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select sha256(convert_to(jsonb_strip_nulls(p_row)::text, 'UTF8')) $$;

create or replace function ops.extend_chain(p_ledger text, p_key_columns text[], p_rows jsonb[]) returns void
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

-- Runs as its owner, since roles that may insert into a ledger may not write its chain. Its arguments are the key columns of the ledger.
create or replace function ops.chain_added_rows() returns trigger
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

create or replace trigger chained after insert on ops.cost_restatements
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'tenant_id', 'date', 'channel');

create or replace trigger chained after insert on ops.cost_adjustments
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'tenant_id', 'date', 'channel');

create or replace trigger chained after insert on ops.closed_record_changes
referencing new table as added for each statement execute function ops.chain_added_rows('id', 'month', 'relation');

-- For the API: a tenant sees its own adjustments, the owner all.
create or replace view ops.booked_adjustments as
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
    recorded_at,
    billed_cost_usd,
    charged_cost_usd,
    unpriced_units
from ops.cost_adjustments
where
    tenant_id = (select current_setting('metering.tenant_id', true))
    or (select current_setting('metering.role', true) = 'root_admin');

comment on view ops.booked_adjustments is 'What closed months would be charged otherwise, and the month of its booking. A tenant reads its own, the owner all.';

-- Estimated cost by tenant, day and channel, as the marts and the adjustments had it at an instant, for the days that were
-- complete then. cost_usd is null where none of it was priced. (Marts are made later than this: plpgsql looks them up as it runs.)
create or replace function ops.cost_as_of(p_at timestamptz, p_first date default '-infinity', p_last date default 'infinity')
returns table (
    tenant_id text,
    date date,
    channel text,
    cost_usd numeric,
    adjustment_usd numeric,
    unpriced_unit_count numeric,
    unpriced_units jsonb
)
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
            coalesce(
                sum(usage.unpriced_unit_count) filter (where ops.is_channel_unit(usage.channel, usage.unit)), 0
            ) as unpriced_unit_count,
            ops.sum_units(jsonb_build_object(coalesce(usage.unit, 'units'), usage.unpriced_unit_count))
            filter (where usage.unpriced_unit_count <> 0) as unpriced_units
        from marts.usage_daily as usage
        inner join days on days.usage_date = usage.date
        group by usage.tenant_id, usage.date, usage.channel
    ),
    -- The first change after the instant holds the values before it.
    since as (
        select distinct on (changes.tenant_id, changes.date, changes.channel)
            changes.tenant_id,
            changes.date,
            changes.channel,
            changes.old_cost_usd as cost_usd,
            changes.old_unpriced_unit_count as unpriced_unit_count,
            changes.old_unpriced_units as unpriced_units
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
            sum(booked.unpriced_unit_count) as unpriced_unit_count,
            ops.sum_units(booked.unpriced_units) as unpriced_units
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
        coalesce(then_known.unpriced_unit_count, 0) + coalesce(adjustments.unpriced_unit_count, 0),
        ops.add_units(then_known.unpriced_units, adjustments.unpriced_units)
    from then_known
    full join adjustments
        on
            adjustments.tenant_id = then_known.tenant_id
            and adjustments.date = then_known.date
            and adjustments.channel = then_known.channel;
end;
$$;
