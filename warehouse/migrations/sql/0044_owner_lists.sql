-- follows: 0043
-- The owner's list of all tenants, as the newest good build left it (warehouse/objects/owner_lists.sql writes and reads it): a page
-- reads its tenants, and its totals from a few rows, instead of joining and adding up all tenants' months each time.

-- Months that are kept. `version` names what a month's rows were made of, `build_id` the build whose marts they are of. A revision that
-- changes the marts of them deletes from here: the API then makes the list of the marts, as it does for a month that is not kept.
create table if not exists ops.list_months (
    month text primary key,
    version text not null,
    build_id text not null
);

-- Tenant x month, tenants without usage included. Money in exact cents.
create table if not exists ops.list_tenants (
    month text not null,
    tenant_id text not null,
    tenant_name text,
    plan text,
    plan_label text,
    account_status text,
    status text not null,
    has_used boolean not null,
    sms_used numeric not null,
    mms_used numeric not null,
    voice_minutes_used numeric not null,
    emails_sent numeric not null,
    ai_tokens_used numeric not null,
    ai_requests numeric not null,
    total_messages bigint not null,
    total_ai_calls bigint not null,
    estimated_cost_cents numeric,
    openai_cost_cents numeric,
    twilio_sms_cost_cents numeric,
    twilio_voice_cost_cents numeric,
    twilio_cost_cents numeric,
    ai_cost_cents numeric,
    ai_percent_of_spend numeric,
    twilio_percent_of_spend numeric,
    cost_change_percent numeric,
    projected_cost_cents numeric,
    margin_cents numeric,
    own_cost_cents numeric,
    shared_cost_cents numeric not null,
    full_cost_cents numeric,
    full_margin_cents numeric,
    adjustment_cents numeric not null,
    unpriced_units jsonb not null,
    primary key (month, tenant_id)
);

-- Month x plan x status: sums of ops.list_tenants.
create table if not exists ops.list_totals (
    month text not null,
    plan text,
    plan_label text,
    status text not null,
    tenants bigint not null,
    active_tenants bigint not null,
    clients bigint not null,
    active_clients bigint not null,
    clients_cost_cents numeric,
    sms_used numeric not null,
    mms_used numeric not null,
    voice_minutes_used numeric not null,
    emails_sent numeric not null,
    ai_tokens_used numeric not null,
    ai_requests numeric not null,
    total_messages numeric not null,
    total_ai_calls numeric not null,
    estimated_cost_cents numeric,
    openai_cost_cents numeric,
    twilio_sms_cost_cents numeric,
    twilio_voice_cost_cents numeric,
    twilio_cost_cents numeric,
    ai_cost_cents numeric,
    projected_cost_cents numeric,
    margin_cents numeric,
    own_cost_cents numeric,
    shared_cost_cents numeric not null,
    full_cost_cents numeric,
    full_margin_cents numeric,
    adjustment_cents numeric not null,
    unpriced_units jsonb
);
create index if not exists list_totals_month on ops.list_totals (month);

-- The dearest first, as the list is shown unless asked otherwise.
create index if not exists list_tenants_dearest
on ops.list_tenants (month, (-1::numeric * estimated_cost_cents), tenant_id collate "C");
