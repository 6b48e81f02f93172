-- follows: nothing
-- Landing tables. The unit of replacement is table x account_id x usage_date (a UTC day): ingestion deletes and
-- inserts whole units in one transaction. Uniqueness is a constraint here, never a hope of the loader.
-- Columns hold what the provider said, typed; no message body, and no phone number in clear that is not known to be ours.

create table if not exists raw.twilio_messages (
    account_id text not null,
    usage_date date not null,                 -- UTC date of date_sent
    sid text primary key,
    messaging_service_sid text,
    from_number text,                         -- clear only if the directory or Twilio's own number list has it
    from_number_hash text,
    to_number text,
    to_number_hash text,
    direction text,
    status text not null,
    num_segments integer,
    num_media integer,
    price numeric(38, 18),                    -- as Twilio says it: negative for a charge, null until billed
    price_unit text,                          -- upper case
    error_code integer,
    date_created timestamptz,
    date_sent timestamptz not null,
    date_updated timestamptz,
    load_id text not null,
    loaded_at timestamptz not null default now()
);
create index if not exists twilio_messages_usage_date on raw.twilio_messages (usage_date, account_id);

create table if not exists raw.twilio_calls (
    account_id text not null,
    usage_date date not null,                 -- UTC date of start_time
    sid text primary key,
    parent_call_sid text,
    phone_number_sid text,
    from_number text,
    from_number_hash text,
    to_number text,
    to_number_hash text,
    direction text,
    status text not null,
    duration_seconds integer,                 -- null while unanswered or ongoing
    price numeric(38, 18),
    price_unit text,
    date_created timestamptz,
    start_time timestamptz not null,
    end_time timestamptz,
    load_id text not null,
    loaded_at timestamptz not null default now()
);
create index if not exists twilio_calls_usage_date on raw.twilio_calls (usage_date, account_id);

-- The account's own numbers: a listing, not a day. A number that is gone from a complete listing keeps its row.
create table if not exists raw.twilio_phone_numbers (
    account_id text not null,
    sid text primary key,
    phone_number text not null,
    phone_number_hash text not null,
    date_created timestamptz,
    released_on date,                         -- the as-of day on which the number was first missing
    load_id text not null,
    loaded_at timestamptz not null default now()
);

create table if not exists raw.openai_usage_completions (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    input_tokens bigint not null,             -- includes cached_input_tokens
    cached_input_tokens bigint not null,
    output_tokens bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_embeddings (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    input_tokens bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_costs (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    line_item text not null default '',
    currency text not null,                   -- lower case, as OpenAI says it
    amount numeric(38, 18) not null,          -- in units of currency, never cents
    quantity numeric(38, 18),
    quantity_unit text,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, line_item, currency)
);

create table if not exists raw.sendgrid_stats (
    account_id text not null,                 -- 'parent'
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

create table if not exists raw.sendgrid_subuser_stats (
    account_id text not null,                 -- the subuser's name
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

-- What could not be read as its table's record: set aside with its reason, replaced with its unit.
create table if not exists raw.rejected_records (
    id bigint generated always as identity primary key,
    table_name text not null,
    account_id text not null,
    usage_date date not null,                 -- the day that was asked for
    record_key text,
    reason text not null,
    record jsonb not null,                    -- without bodies; phone numbers and addresses hashed
    load_id text not null,
    rejected_at timestamptz not null default now()
);
create index if not exists rejected_records_unit on raw.rejected_records (table_name, usage_date, account_id);

-- The tenant directory, with its history. valid_from included, valid_to excluded, null = open.
create table if not exists raw.tenants (
    tenant_id text not null,
    name text not null,
    plan text,
    status text not null,
    usage_hard_stop_enabled boolean not null,
    valid_from date,
    valid_to date,
    loaded_at timestamptz not null default now(),
    unique nulls not distinct (tenant_id, valid_from)
);

create table if not exists raw.tenant_resources (
    tenant_id text not null,
    provider text not null,
    resource_type text not null,
    resource_id text not null,                -- phone numbers in E.164
    resource_hash text,                       -- phone numbers only: the key that usage is joined on
    valid_from date,
    valid_to date,
    loaded_at timestamptz not null default now(),
    unique nulls not distinct (provider, resource_type, resource_id, valid_from)
);

create table if not exists raw.tenant_limits (
    tenant_id text not null,
    channel text not null,
    metric text not null,
    monthly_cap numeric(38, 18),
    warning_threshold_pct numeric(38, 18),
    loaded_at timestamptz not null default now(),
    primary key (tenant_id, channel, metric)
);
