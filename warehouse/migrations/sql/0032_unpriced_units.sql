-- follows: 0033
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

-- It returns one column more: no replacement changes what a function returns.
drop function if exists ops.cost_as_of(timestamptz, date, date);
