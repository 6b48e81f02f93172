-- follows: 0003
-- Usage tracked at the source. An event is inserted once for ever: its key stands in raw.usage_event_keys, in the same
-- transaction; a partitioned table cannot hold a unique constraint over all of its months.

create table raw.usage_events (
    event_key text not null,                  -- the provider's id, else one made by the client
    tenant_id text not null default 'unattributed',
    service text not null,                    -- openai, twilio_sms, twilio_voice, sendgrid, …
    operation text not null default '',       -- the provider's taxonomy: outbound, chat_completion, send, …
    channel text not null,                    -- sms, mms, voice, email, ai, …
    direction text not null default 'none',
    source text not null default '',          -- the provider: twilio, openai, sendgrid, …
    feature text,                             -- the product feature; null where the caller named none
    activity text,                            -- the caller's own word
    model text,
    units numeric(38, 18) not null default 0, -- in the channel's unit
    input_tokens bigint,                      -- includes cached_input_tokens
    cached_input_tokens bigint,
    output_tokens bigint,
    external_id text,                         -- the provider's id of the record that the event is about
    resource_id text,                         -- project, api key, subuser, messaging service, own number (hashed) …
    lead_id text,
    message_id text,
    flow_execution_id text,
    metadata jsonb not null default '{}',     -- phone numbers and addresses hashed
    occurred_at timestamptz not null,
    received_at timestamptz not null default clock_timestamp(),
    load_id text,                             -- the flush or import that brought it
    usage_date date generated always as ((occurred_at at time zone 'UTC')::date) stored
) partition by range (occurred_at);
create index usage_events_usage_date on raw.usage_events (usage_date);
create index usage_events_external_id on raw.usage_events (external_id) where external_id is not null;
create index usage_events_event_key on raw.usage_events (event_key);

-- What belongs to no month that was made in time, so that nothing is ever refused for its date.
create table raw.usage_events_default partition of raw.usage_events default;

create table raw.usage_event_keys (
    event_key text primary key,
    payload_hash text not null,               -- sha256, hexadecimal, of what the event says
    usage_date date not null,
    received_at timestamptz not null default clock_timestamp()
);

-- Days that events were brought for and that no build has taken in since: what the sensor rebuilds.
create table ops.touched_days (
    usage_date date not null,
    load_id text not null,
    touched_at timestamptz not null default clock_timestamp(),
    build_id text,                            -- the build that has begun since, and takes it away when it ends well
    primary key (usage_date, load_id)
);
