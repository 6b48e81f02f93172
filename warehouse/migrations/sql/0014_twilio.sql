-- Twilio's recordings, the history of its numbers, and its own totals; SendGrid's mail by category.

create table raw.twilio_recordings (
    account_id text not null,
    usage_date date not null,                 -- UTC date of date_created
    sid text primary key,
    call_sid text,                            -- the parent leg
    conference_sid text,
    status text not null,
    source text,
    channels integer,
    duration_seconds integer,                 -- null until it has ended
    price numeric(38, 18),                    -- as Twilio says it, null until billed
    price_unit text,                          -- upper case
    date_created timestamptz not null,
    start_time timestamptz,
    date_updated timestamptz,
    load_id text not null,
    loaded_at timestamptz not null default now()
);
create index twilio_recordings_usage_date on raw.twilio_recordings (usage_date, account_id);
-- An event about a call is about its recordings and the legs dialled from it as well.
create index twilio_recordings_call_sid on raw.twilio_recordings (call_sid);
create index twilio_calls_parent_call_sid on raw.twilio_calls (parent_call_sid) where parent_call_sid is not null;

-- A number of an account, and the days on which it was held there: from held_from (included) to released_on (excluded), and no
-- further than the last day on which it was seen. A number that goes from one account to another has a row in each.
alter table raw.twilio_phone_numbers
add column number_type text not null default 'local',
add column held_from date,                  -- UTC date of date_created; of one that came from another account, the day it was seen
add column last_seen_on date;
update raw.twilio_phone_numbers
set
    held_from = coalesce((date_created at time zone 'UTC')::date, (loaded_at at time zone 'UTC')::date),
    last_seen_on = (loaded_at at time zone 'UTC')::date;
alter table raw.twilio_phone_numbers
alter column number_type drop default,
alter column held_from set not null,
alter column last_seen_on set not null,
drop constraint twilio_phone_numbers_pkey,
add primary key (account_id, sid);
create index twilio_phone_numbers_sid on raw.twilio_phone_numbers (sid);

-- What Twilio says that an account used in a day, by category: a control total. Categories nest, so they are not to be summed.
create table raw.twilio_usage_records (
    account_id text not null,
    usage_date date not null,
    category text not null,
    event_count numeric(38, 18),
    event_unit text,
    usage_amount numeric(38, 18),
    usage_unit text,
    price numeric(38, 18),
    price_unit text,                          -- upper case
    as_of timestamptz,                        -- how far Twilio had counted
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, category)
);

-- Mail of the parent account by category, of the categories that the directory gives to tenants.
create table raw.sendgrid_category_stats (
    account_id text not null,                 -- the category's name
    usage_date date not null,
    requests bigint not null,
    processed bigint,
    delivered bigint,
    deferred bigint,
    bounces bigint,
    blocks bigint,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id)
);

-- Tables of providers' records that tracked events name by their ids: a provider's migration adds its own.
create table ops.record_tables (
    table_name text not null,                 -- in raw, with a usage_date
    key_column text not null,                 -- a record's id, or that of the record whose tenant it takes; there is an index on it
    primary key (table_name, key_column)
);
insert into ops.record_tables (table_name, key_column) values
('twilio_messages', 'sid'),
('twilio_calls', 'sid'),
('twilio_calls', 'parent_call_sid'),
('twilio_recordings', 'sid'),
('twilio_recordings', 'call_sid');

-- The days on which providers' records of these keys stand, which around midnight are not those of their events, and the records that
-- are theirs who those are (a call's legs and recordings).
create function ops.record_days(p_keys text[]) returns table (usage_date date)
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

-- As before, but that the records' days are asked of the function above.
create or replace function ops.add_live_usage(p_load_id text, p_event_keys text[], p_reservation_ids text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    record_keys text[];
    live_keys text[];
begin
    -- Against `forget_built_usage`: a build's end sees all of these rows or happens before them.
    perform pg_advisory_xact_lock_shared(hashtextextended('ops.live_usage', 3));
    record_keys := array(
        select distinct coalesce(nullif(events.external_id, ''), events.event_key)
        from raw.usage_events as events
        where events.event_key = any(p_event_keys)
        order by 1
    );
    delete from ops.live_usage where live_usage.key = any(p_reservation_ids || record_keys);
    live_keys := array(select unnest(record_keys) except select unnest(ops.built_records(record_keys)));

    -- A record may have several events (a call that began, then ended): it counts once, with the most that was said.
    insert into ops.live_usage (key, tenant_id, channel, direction, month, units, requests, cost_cents, is_reserved, expires_at)
    with events as (
        select
            found.external_id as key,
            found.*
        from raw.usage_events as found
        where found.external_id = any(live_keys)
        union all
        select
            found.event_key as key,
            found.*
        from raw.usage_events as found
        where found.event_key = any(live_keys) and coalesce(found.external_id, '') = ''
    ),

    records as (
        select
            events.key,
            min(events.tenant_id) as tenant_id,
            min(events.channel) as channel,
            min(events.direction) as direction,
            min(to_char(events.occurred_at at time zone 'UTC', 'YYYY-MM')) as month,
            max(events.units) as units
        from events
        group by events.key
    ),

    prices as (
        select
            asked.tenant_id,
            asked.channel,
            ops.unit_price_cents(asked.tenant_id, asked.channel) as cents
        from (select distinct records.tenant_id, records.channel from records) as asked
    )

    select
        records.key,
        records.tenant_id,
        records.channel,
        records.direction,
        records.month,
        records.units,
        ops.requests_of(records.channel, records.units),
        records.units * prices.cents,
        false,
        null
    from records
    inner join prices using (tenant_id, channel)
    order by records.key                      -- two flushes of one record wait for each other instead of deadlocking
    on conflict (key) do update set
        units = greatest(live_usage.units, excluded.units),
        requests = greatest(live_usage.requests, excluded.requests),
        cost_cents = greatest(live_usage.cost_cents, excluded.cost_cents),
        is_reserved = false,
        expires_at = null;

    -- A record stands on the provider's day, which around midnight is not its event's.
    insert into ops.touched_days (usage_date, load_id)
    select days.usage_date, p_load_id
    from (
        select events.usage_date from raw.usage_events as events where events.event_key = any(p_event_keys)
        union
        select record_days.usage_date from ops.record_days(record_keys) as record_days
    ) as days
    on conflict do nothing;
end;
$$;
