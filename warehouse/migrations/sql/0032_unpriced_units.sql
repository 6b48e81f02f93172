-- Units by kind: an object of unit and quantity ({"tokens": 12, "images": 3}), for what is not to be added up.
create function ops.add_units(p_units jsonb, p_more jsonb) returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(summed.unit, trim_scale(summed.quantity)) filter (where summed.quantity <> 0), '{}')
    from (
        select parts.key as unit, sum(parts.value::numeric) as quantity
        from (select * from jsonb_each_text(p_units) union all select * from jsonb_each_text(p_more)) as parts
        group by parts.key
    ) as summed
$$;

create function ops.subtract_units(p_units jsonb, p_less jsonb) returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select ops.add_units(p_units, coalesce(jsonb_object_agg(less.key, -less.value::numeric), '{}'))
    from jsonb_each_text(p_less) as less
$$;

create aggregate ops.sum_units (jsonb)(
    sfunc = ops.add_units,
    stype = jsonb,
    combinefunc = ops.add_units,
    initcond = '{}',
    parallel = safe
);

-- The quantity where all of it is of one kind, 0 where there is none; null: of several kinds, which have no sum.
create function ops.only_quantity(p_units jsonb) returns numeric
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case count(*) when 0 then 0 when 1 then min(kinds.value::numeric) end from jsonb_each_text(p_units) as kinds
$$;

-- The ledgers of costs say their unpriced units by kind, too; of the rows before this, the count of their channel is all there is.
alter table ops.cost_restatements add column old_unpriced_units jsonb;
alter table ops.cost_restatements add column new_unpriced_units jsonb;
alter table ops.cost_adjustments add column unpriced_units jsonb not null default '{}';
update ops.cost_adjustments set
    unpriced_units = jsonb_build_object(
        case channel
            when 'sms' then 'segments'
            when 'mms' then 'messages'
            when 'voice' then 'minutes'
            when 'recording' then 'minutes'
            when 'email' then 'emails'
            when 'ai' then 'tokens'
            when 'phone' then 'number_days'
            when 'payments' then 'transactions'
            when 'places' then 'requests'
            when 'storage' then 'gb_days'
            when 'storage_ops' then 'operations'
            else 'units'
        end,
        trim_scale(unpriced_unit_count)
    )
where unpriced_unit_count <> 0;
alter table ops.usage_forecasts add column unpriced_units jsonb not null default '{}';
alter table ops.usage_forecasts alter column unpriced_unit_count drop not null;

create or replace view ops.tenant_forecasts with (security_barrier) as
select *
from ops.usage_forecasts
where
    tenant_id = (select current_setting('metering.tenant_id', true))
    or (select current_setting('metering.role', true)) = 'root_admin';

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
    or (select current_setting('metering.role', true)) = 'root_admin';

-- Over several channels units have no sum (marts are made by builds: those that are there already are told so).
do $$
declare
    mart text;
begin
    foreach mart in array array['tenant_monthly', 'tenant_margin_monthly'] loop
        if to_regclass('marts.' || mart) is not null then
            execute format('alter table marts.%I alter column unpriced_unit_count drop not null', mart);
        end if;
    end loop;
end;
$$;

-- As before, with unpriced units by kind; the count is of the channel's own unit.
drop function ops.cost_as_of(timestamptz, date, date);
create function ops.cost_as_of(p_at timestamptz, p_first date default '-infinity', p_last date default 'infinity')
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
                sum(usage.unpriced_unit_count) filter (where usage.channel <> 'ai' or coalesce(usage.unit, 'tokens') = 'tokens'), 0
            ) as unpriced_unit_count,
            ops.sum_units(jsonb_build_object(coalesce(usage.unit, 'units'), usage.unpriced_unit_count))
            filter (where usage.unpriced_unit_count <> 0) as unpriced_units
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
