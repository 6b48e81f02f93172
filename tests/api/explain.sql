-- What explanations and the FOCUS export read, as the seam with dbt states it, and the small world in it: a line per row of usage_daily, each
-- of three records. Run as metering_transformer, after seed.sql.

create table marts.usage_lines (
    date date not null,
    line_id text not null,
    tenant_id text not null,
    channel text not null,
    service text not null,
    operation text not null,
    direction text not null,
    source text not null,
    account_id text not null,
    resource_id text not null,
    model text not null,
    feature text not null,
    activity text not null,
    evidence text not null,
    plan text not null,
    price_operation text,
    price_model text,
    price_plan text,
    unit text not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    output_tokens bigint not null,
    amount_usd numeric(38, 18),
    unconverted_currency text not null,
    estimated_cost_usd numeric(38, 18),
    billed_cost_usd numeric(38, 18),
    basis jsonb,
    updated_at timestamptz not null default now(),
    primary key (date, line_id),
    cache_write_tokens bigint not null default 0,
    cache_write_1h_tokens bigint not null default 0,
    tier text not null default '',
    price_tier text
);

create table marts.price_sets (
    date date not null,
    service text not null,
    operation text not null,
    model text not null,
    plan text not null,
    price_version text not null,
    prices jsonb not null,
    updated_at timestamptz not null default now(),
    tier text not null default '',
    primary key (date, service, operation, model, plan, tier)
);

-- A view over what the build settled, in the real marts.
create table marts.usage_line_records (
    tenant_id text not null,
    date date not null,
    line_id text not null,
    raw_table text not null,
    record_id text not null,
    attribution text not null,
    event_count bigint not null,
    unit_count numeric(38, 18) not null,
    request_count bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    output_tokens bigint not null,
    billed_cost_usd numeric(38, 18),
    cache_write_tokens bigint not null default 0,
    cache_write_1h_tokens bigint not null default 0
);

-- A view likewise.
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

create table marts.focus_cost_and_usage (
    tenant_id text not null,
    date date not null,
    charge_id text not null,
    "BilledCost" numeric(38, 18),
    "BillingAccountId" text,
    "BillingAccountName" text,
    "BillingAccountType" text,
    "BillingCurrency" text,
    "BillingPeriodEnd" timestamptz,
    "BillingPeriodStart" timestamptz,
    "ChargeCategory" text,
    "ChargeClass" text,
    "ChargeDescription" text,
    "ChargeFrequency" text,
    "ChargePeriodEnd" timestamptz,
    "ChargePeriodStart" timestamptz,
    "CommitmentDiscountStatus" text,
    "ConsumedQuantity" numeric(38, 18),
    "ConsumedUnit" text,
    "ContractedCost" numeric(38, 18),
    "ContractedUnitPrice" numeric(38, 18),
    "EffectiveCost" numeric(38, 18),
    "InvoiceId" text,
    "InvoiceIssuerName" text,
    "ListCost" numeric(38, 18),
    "ListUnitPrice" numeric(38, 18),
    "PricingCategory" text,
    "PricingCurrency" text,
    "PricingCurrencyContractedUnitPrice" numeric(38, 18),
    "PricingCurrencyEffectiveCost" numeric(38, 18),
    "PricingCurrencyListUnitPrice" numeric(38, 18),
    "PricingQuantity" numeric(38, 18),
    "PricingUnit" text,
    "ProviderName" text,
    "PublisherName" text,
    "ServiceCategory" text,
    "ServiceName" text,
    "ServiceSubcategory" text,
    "SkuId" text,
    "SkuMeter" text,
    "SkuPriceDetails" text,
    "SkuPriceId" text,
    "SubAccountId" text,
    "SubAccountName" text,
    "SubAccountType" text,
    "Tags" text,
    "x_Channel" text,
    "x_Component" text,
    "x_CostStatus" text,
    "x_Direction" text,
    "x_EstimatedCost" numeric(38, 18),
    "x_Evidence" text,
    "x_Model" text,
    "x_Operation" text,
    "x_UnpricedQuantity" numeric(38, 18),
    updated_at timestamptz not null default now(),
    primary key (date, charge_id)
);

insert into marts.usage_lines
select
    date,
    md5(concat_ws('/', date, tenant_id, channel, operation, feature)),
    tenant_id,
    channel,
    service,
    operation,
    direction,
    source,
    '',
    '',
    model,
    feature,
    '',
    evidence,
    'pro',
    case when estimated_cost_usd is not null then operation end,
    case when estimated_cost_usd is not null then model end,
    case when estimated_cost_usd is not null then '' end,
    unit,
    unit_count,
    request_count,
    case when service = 'openai' then unit_count else 0 end,
    0,
    0,
    null,
    '',
    estimated_cost_usd,
    billed_cost_usd
from marts.usage_daily;

insert into marts.price_sets (date, service, operation, model, plan, price_version, prices)
select distinct
    date,
    service,
    price_operation,
    price_model,
    price_plan,
    'a version',
    jsonb_build_array(
        jsonb_build_object(
            'price_id', concat_ws('/', service, operation, model),
            'component', case when service = 'openai' then 'input' else 'unit' end,
            'unit_price_usd', trim_scale(estimated_cost_usd / unit_count)::text,
            'per', '1',
            'effective_from', '2026-01-01',
            'effective_to', null,
            'source', 'the list'
        )
    )
from marts.usage_lines
where price_operation is not null;

insert into marts.usage_line_records
select
    usage_lines.tenant_id,
    usage_lines.date,
    usage_lines.line_id,
    'raw.somewhere',
    'R' || part.n,
    case when part.n = 2 then 'event' else 'phone_number' end,
    0,
    case when part.n = 3 then usage_lines.unit_count - 2 else 1 end,
    case when part.n = 3 then usage_lines.request_count - 2 else 1 end,
    case when usage_lines.service <> 'openai' then 0 when part.n = 3 then usage_lines.input_tokens - 2 else 1 end,
    0,
    0,
    null
from marts.usage_lines
cross join generate_series(1, 3) as part (n);

-- The mail that nobody owns, a number's messages and calls of the month before, and what events of an unknown tenant used.
insert into marts.unattributed_usage values
    ('2026-11-12', 'mail', 'email', 'sendgrid', 'emails', 'subuser', 'lost-mail', '', 5, 5, 0.005, 0),
    ('2026-10-30', 'out', 'sms', 'twilio_sms', 'segments', 'phone_number', 'hash-of-ours', 'SM2', 2, 1, 0.0158, 0),
    ('2026-10-31', 'out', 'sms', 'twilio_sms', 'segments', 'phone_number', 'hash-of-ours', 'SM3', 1, 1, 0.0079, 0),
    ('2026-10-31', 'call', 'voice', 'twilio_voice', 'minutes', 'phone_number', 'hash-of-ours', 'CA1', 2, 1, 0.028, 0),
    ('2026-10-31', 'in', 'sms', 'twilio_sms', 'segments', 'phone_number', 'hash-of-nobody', 'SM4', 1, 1, 0.0079, 0),
    ('2026-10-02', 'ai', 'ai', 'openai', 'tokens', 'project', '=proj_lost', '', 900, 3, null, 900),
    ('2026-10-03', 'ai', 'ai', 'openai', 'tokens', 'project', '=proj_lost', '', 100, 1, 0.5, 0),
    ('2026-10-04', 'places', 'places', 'google_places', 'requests', 'tenant', 'acmee', 'evt-1', 3, 3, 0.096, 0),
    ('2026-10-04', 'places', 'places', 'google_places', 'requests', 'tenant', '', 'evt-2', 1, 1, 0.032, 0);

insert into marts.focus_cost_and_usage
select
    tenant_id,
    date,
    md5(concat_ws('/', date, tenant_id, channel, operation, feature)),
    coalesce(billed_cost_usd, estimated_cost_usd, 0),
    source,
    source || ' account',
    'Account',
    'USD',
    (date_trunc('month', date::timestamp) + interval '1 month') at time zone 'UTC',
    date_trunc('month', date::timestamp) at time zone 'UTC',
    case when estimated_cost_usd is null then 'Adjustment' else 'Usage' end,
    null,
    operation,
    'Usage-Based',
    (date + 1)::timestamp at time zone 'UTC',
    date::timestamp at time zone 'UTC',
    null,
    unit_count,
    initcap(unit),
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    tenant_id,
    case tenant_id when 'acme' then '=Acme' else initcap(tenant_id) end,
    null,
    json_build_object('feature', feature)::text,
    channel,
    null,
    null,
    null,
    estimated_cost_usd,
    null,
    null,
    null,
    unpriced_unit_count
from marts.usage_daily;

select ops.protect_rows(('marts.' || mart)::regclass)
from unnest(array['usage_lines', 'usage_line_records', 'unattributed_usage', 'focus_cost_and_usage', 'price_sets']) as mart;

grant select on all tables in schema marts to metering_api;
