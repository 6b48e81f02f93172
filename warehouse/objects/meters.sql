-- What the meter catalogue says of channels, written by `make copies` from dbt_project/seeds/meters.csv: change it there.

-- How many requests so many units of a channel are.
create or replace function ops.requests_of(p_channel text, p_units numeric) returns numeric
language sql
immutable
return case when p_channel in ('email', 'places', 'storage_ops') then p_units when p_channel in ('storage') then 0 else 1 end;

-- Does a unit count toward the channel's total? Tokens do, images do not.
create or replace function ops.is_channel_unit(p_channel text, p_unit text) returns boolean
language sql
immutable
parallel safe
return coalesce(
    p_unit = case p_channel
        when 'ai' then 'tokens'
        when 'sms' then 'segments'
        when 'mms' then 'messages'
        when 'voice' then 'minutes'
        when 'recording' then 'minutes'
        when 'phone' then 'number_days'
        when 'email' then 'emails'
        when 'payments' then 'transactions'
        when 'places' then 'requests'
        when 'storage_ops' then 'operations'
        when 'storage' then 'gb_days'
        else 'units'
    end,
    true
);
