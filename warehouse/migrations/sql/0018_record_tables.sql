-- Tables of providers' records that tracked events name by their ids: a provider's migration adds its own.
create table ops.record_tables (
    table_name text primary key,              -- in raw, with a usage_date
    key_column text not null                  -- the provider's id of a record; there is an index on it
);
insert into ops.record_tables (table_name, key_column) values
('twilio_messages', 'sid'),
('twilio_calls', 'sid'),
('twilio_recordings', 'sid'),
('stripe_balance_transactions', 'id');

-- The days on which providers' records of these keys stand, which around midnight are not those of their events.
create or replace function ops.record_days(p_keys text[]) returns table (usage_date date)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    record_table record;
begin
    for record_table in select tables.table_name, tables.key_column from ops.record_tables as tables loop
        return query execute format(
            'select distinct records.usage_date from raw.%I as records where records.%I = any($1)',
            record_table.table_name,
            record_table.key_column
        ) using p_keys;
    end loop;
end
$$;
