-- follows: 0013
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
