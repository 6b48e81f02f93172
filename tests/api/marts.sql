-- The marts as the seam with dbt states them (columns, types, grains, row-level security), for tests of the API alone.
-- Run as metering_transformer, who owns the schema.

create table marts.tenants (
    tenant_id text primary key,
    name text not null,
    plan text,
    plan_label text,
    monthly_base_price_usd numeric(38, 18),
    status text not null,
    usage_hard_stop_enabled boolean not null,
    updated_at timestamptz not null default now()
);

create table marts.plan_limits (
    plan text not null,
    channel text not null,
    metric text not null,
    direction text not null,
    monthly_cap numeric(38, 18),
    warning_threshold_pct numeric(38, 18) not null,
    updated_at timestamptz not null default now(),
    primary key (plan, channel, metric)
);

create table marts.usage_daily (
    tenant_id text not null,
    date date not null,
    channel text not null,
    service text not null,
    operation text not null,
    direction text not null,
    source text not null,
    feature text not null,
    model text not null,
    evidence text not null,
    unit text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    input_tokens bigint not null default 0,
    cached_input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    estimated_cost_usd numeric(38, 18),
    billed_cost_usd numeric(38, 18),
    unpriced_unit_count numeric(38, 18) not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, date, channel, service, operation, direction, source, feature, model, evidence)
);

create table marts.usage_summary (
    id text primary key,
    tenant_id text not null,
    date date not null,
    channel text not null,
    unit text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    estimated_cost_cents numeric(38, 18),
    billed_cost_cents numeric(38, 18),
    unpriced_unit_count numeric(38, 18) not null,
    provisional_unit_count numeric(38, 18) not null default 0,
    is_final boolean not null,
    meta jsonb not null,
    updated_at timestamptz not null default now(),
    unpriced_units jsonb not null default '{}'
);
create index on marts.usage_summary (tenant_id, date);

create table marts.usage_monthly (
    tenant_id text not null,
    month text not null,
    channel text not null,
    unit text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    estimated_cost_cents numeric(38, 18),
    billed_cost_cents numeric(38, 18),
    unpriced_unit_count numeric(38, 18) not null,
    provisional_unit_count numeric(38, 18) not null default 0,
    updated_at timestamptz not null default now(),
    unpriced_units jsonb not null default '{}',
    primary key (tenant_id, month, channel)
);

create table marts.usage_activity_daily (
    tenant_id text not null,
    date date not null,
    channel text not null,
    service text not null,
    operation text not null,
    activity text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    estimated_cost_usd numeric(38, 18),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, date, channel, service, operation, activity)
);

create table marts.usage_reconciliation (
    tenant_id text not null,
    date date not null,
    service text not null,
    provider_units numeric(38, 18) not null,
    tracked_units numeric(38, 18) not null,
    difference numeric(38, 18) not null,
    drift_percent numeric(38, 18) not null,
    state text not null,
    matched_count bigint not null,
    provider_only_count bigint not null,
    tracked_only_count bigint not null,
    misattributed_count bigint not null,
    price_pending_count bigint not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, date, service)
);

-- A view over what the build settled, in the real marts.
create table marts.unattributed_usage (
    date date not null,
    line_id text not null,
    channel text not null,
    service text not null,
    unit text not null,
    resource_type text not null,
    resource_id text not null,
    record_id text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    estimated_cost_usd numeric(38, 18),
    unpriced_unit_count numeric(38, 18) not null,
    -- Whose the lines are: by it the real view is hidden from others.
    tenant_id text not null default 'unattributed'
);

create table marts.tenant_usage_status (
    tenant_id text not null,
    month text not null,
    channel text not null,
    metric text not null,
    direction text not null,
    used numeric(38, 18) not null,
    cap numeric(38, 18),
    warning_threshold_pct numeric(38, 18) not null,
    percent_used numeric(38, 18),
    status text not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, month, channel, metric)
);

create table marts.tenant_monthly (
    tenant_id text not null,
    month text not null,
    openai_cost_cents numeric(38, 18),
    twilio_sms_cost_cents numeric(38, 18),
    twilio_voice_cost_cents numeric(38, 18),
    twilio_phone_cost_cents numeric(38, 18),
    sendgrid_cost_cents numeric(38, 18),
    stripe_cost_cents numeric(38, 18),
    google_places_cost_cents numeric(38, 18),
    storage_cost_cents numeric(38, 18),
    other_cost_cents numeric(38, 18),
    total_cost_cents numeric(38, 18),
    total_messages bigint not null,
    total_ai_calls bigint not null,
    total_voice_minutes numeric(38, 18) not null,
    total_emails numeric(38, 18) not null,
    previous_month_cost_cents numeric(38, 18),
    cost_change_percent numeric(38, 18),
    projected_cost_cents numeric(38, 18),
    margin_cents numeric(38, 18),
    adjustment_cents numeric(38, 18) not null default 0,
    usage_status text not null,
    unpriced_unit_count numeric(38, 18),
    updated_at timestamptz not null default now(),
    unpriced_units jsonb not null default '{}',
    primary key (tenant_id, month)
);

create table marts.tenant_margin_monthly (
    tenant_id text not null,
    month text not null,
    plan text,
    revenue_cents numeric(38, 18),
    own_cost_cents numeric(38, 18),
    billed_cost_cents numeric(38, 18) not null,
    shared_cost_cents numeric(38, 18) not null,
    full_cost_cents numeric(38, 18),
    full_margin_cents numeric(38, 18),
    full_margin_percent numeric(38, 18),
    unpriced_unit_count numeric(38, 18) not null,
    updated_at timestamptz not null default now(),
    adjustment_cents numeric(38, 18) not null default 0,
    primary key (tenant_id, month)
);

create table marts.channel_prices (
    plan text not null,
    channel text not null,
    unit_price_usd numeric(38, 18),
    updated_at timestamptz not null default now(),
    primary key (plan, channel)
);

select ops.protect_rows(('marts.' || mart)::regclass)
from
    unnest(array[
        'tenants', 'usage_daily', 'usage_summary', 'usage_monthly', 'tenant_usage_status', 'tenant_monthly',
        'usage_activity_daily', 'usage_reconciliation', 'tenant_margin_monthly',
        'plan_limits', 'channel_prices'
    ]) as mart;

grant select on all tables in schema marts to metering_api;
