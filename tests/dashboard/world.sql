-- Tenants for pages that must look and stay right: added to the small world of tests/api. Run as metering_transformer.

insert into marts.tenants values
    ('harbor', 'Harbor & Vine Realty', 'elite', 'Elite', 249, 'active', true),
    ('willow', 'Willow Property Group', 'pro', 'Pro', 99.5, 'active', false),
    ('newcomer', 'Newcomer', 'starter', 'Starter', 29, 'active', false),
    ('script', '<script>alert(1)</script>', 'pro', 'Pro', 99.5, 'active', false);

-- 91 days of everything: what a quarter's page weighs.
insert into marts.usage_daily (
    tenant_id, date, channel, service, operation, direction, source, feature, model, evidence, unit,
    unit_count, request_count, estimated_cost_usd, billed_cost_usd, unpriced_unit_count
)
select
    tenant,
    day::date,
    channel,
    service,
    operation,
    'outbound',
    source,
    feature,
    '',
    'provider',
    unit,
    round(amount, whole),
    greatest(round(amount / per_request), 1)::bigint,
    round(amount, whole) * price,
    case when day < date '2026-11-17' then round(amount, whole) * price end,
    0
from generate_series(timestamp '2026-08-20', timestamp '2026-11-20', interval '1 day') as day
cross join (
    values ('harbor', 1.0), ('willow', 0.4)
) as scales (tenant, scale)
cross join (
    values
        ('sms', 'twilio_sms', 'outbound', 'twilio', 'broadcast', 'segments', 120, 1.3, 0.0079, 0),
        ('sms', 'twilio_sms', 'outbound', 'twilio', 'lead_follow_up', 'segments', 45, 1.1, 0.0079, 0),
        ('mms', 'twilio_sms', 'mms_outbound', 'twilio', 'listing_cards', 'messages', 9, 1, 0.02, 0),
        ('voice', 'twilio_voice', 'outbound', 'twilio', 'call_connect', 'minutes', 38, 3.4, 0.014, 0),
        ('email', 'sendgrid', 'send', 'sendgrid', 'newsletter', 'emails', 260, 1, 0.0009, 0),
        ('ai', 'openai', 'chat_completion', 'openai', 'ai_sms', 'tokens', 48000, 900, 0.0000021, 0),
        ('ai', 'openai', 'embedding', 'openai', 'search', 'tokens', 16000, 700, 0.0000002, 0),
        ('phone', 'twilio_phone', 'number', 'twilio', '(untracked)', 'number_days', 4, 4, 0.0383, 0),
        ('payments', 'stripe', 'charge', 'stripe', 'deposits', 'transactions', 3, 1, 0.32, 0)
) as kinds (channel, service, operation, source, feature, unit, mean, per_request, price, whole)
cross join lateral (
    select kinds.mean * scales.scale
        * (1.15 + 0.5 * sin(extract(doy from day) * 0.9 + length(kinds.feature)) - case when extract(isodow from day) > 5 then 0.55 else 0 end)::numeric as amount
) as amounts;

insert into marts.usage_daily (
    tenant_id, date, channel, service, operation, direction, source, feature, model, evidence, unit,
    unit_count, request_count, estimated_cost_usd, billed_cost_usd, unpriced_unit_count
) values
    ('script', '2026-11-19', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', '<b>bold</b>', '', 'provider', 'segments', 3, 3, 0.0237, null, 0),
    ('script', '2026-11-19', 'sms', 'twilio_sms', 'inbound', 'inbound', 'twilio', '=HYPERLINK("x")', '', 'provider', 'segments', 1, 1, 0.0079, null, 0),
    ('harbor', '2026-11-18', 'ai', 'openai', 'chat_completion', 'outbound', 'openai', 'ai_sms', 'gpt-new', 'residual', 'tokens', 5120, 4, null, null, 5120);

insert into marts.usage_summary
select
    tenant_id || ':' || date || ':' || channel,
    tenant_id,
    date,
    channel,
    min(unit),
    sum(unit_count),
    sum(request_count),
    sum(estimated_cost_usd) * 100,
    case when bool_and(billed_cost_usd is not null) then sum(billed_cost_usd) * 100 end,
    sum(unpriced_unit_count),
    0,
    date < '2026-11-17',
    '{}'
from marts.usage_daily
where tenant_id in ('harbor', 'willow', 'script')
group by tenant_id, date, channel;

insert into marts.usage_monthly
select
    tenant_id,
    to_char(date, 'YYYY-MM'),
    channel,
    min(unit),
    sum(unit_count),
    sum(request_count),
    sum(estimated_cost_cents),
    case when bool_and(billed_cost_cents is not null) then sum(billed_cost_cents) end,
    sum(unpriced_unit_count),
    sum(provisional_unit_count)
from marts.usage_summary
where tenant_id in ('harbor', 'willow', 'script')
group by tenant_id, to_char(date, 'YYYY-MM'), channel;

insert into marts.tenant_usage_status
select
    tenant_id,
    month,
    channel,
    'units',
    'any',
    unit_count,
    cap,
    80,
    unit_count / cap * 100,
    case when unit_count > cap then 'over_cap' when unit_count >= cap * 0.8 then 'warning' else 'ok' end
from marts.usage_monthly
inner join (values ('sms', 3000), ('voice', 900), ('email', 10000), ('ai', 1500000)) as caps (limited, cap) on limited = channel
where tenant_id in ('harbor', 'willow', 'script');

insert into marts.tenant_usage_status values
    ('newcomer', '2026-11', 'sms', 'units', 'any', 0, 500, 80, 0, 'ok'),
    ('newcomer', '2026-11', 'email', 'requests', 'any', 0, 1000, 80, 0, 'ok');

insert into marts.tenant_monthly (
    tenant_id, month, openai_cost_cents, twilio_sms_cost_cents, twilio_voice_cost_cents, twilio_phone_cost_cents,
    sendgrid_cost_cents, stripe_cost_cents, google_places_cost_cents, storage_cost_cents, other_cost_cents,
    total_cost_cents, total_messages, total_ai_calls, total_voice_minutes, total_emails,
    previous_month_cost_cents, cost_change_percent, projected_cost_cents, margin_cents, usage_status, unpriced_unit_count
)
select
    tenant_id,
    month,
    sum(estimated_cost_cents) filter (where channel = 'ai'),
    sum(estimated_cost_cents) filter (where channel in ('sms', 'mms')),
    sum(estimated_cost_cents) filter (where channel = 'voice'),
    sum(estimated_cost_cents) filter (where channel = 'phone'),
    sum(estimated_cost_cents) filter (where channel = 'email'),
    sum(estimated_cost_cents) filter (where channel = 'payments'),
    0,
    0,
    0,
    sum(estimated_cost_cents),
    coalesce(sum(request_count) filter (where channel in ('sms', 'mms')), 0),
    coalesce(sum(request_count) filter (where channel = 'ai'), 0),
    coalesce(sum(unit_count) filter (where channel = 'voice'), 0),
    coalesce(sum(unit_count) filter (where channel = 'email'), 0),
    lag(sum(estimated_cost_cents)) over (partition by tenant_id order by month),
    12.5,
    sum(estimated_cost_cents) * case when month = '2026-11' then 1.5 else 1 end,
    9950 - sum(estimated_cost_cents),
    case tenant_id when 'harbor' then 'over_cap' else 'ok' end,
    sum(unpriced_unit_count)
from marts.usage_monthly
where tenant_id in ('harbor', 'willow', 'script')
group by tenant_id, month;
