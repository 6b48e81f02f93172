-- A thousand tenants over twelve months, beside the small world: for lists that are paged and for how big and how fast pages are.
-- Figures are made of the tenant's number, so that every run has the same. Run as the owner, after the small world.

insert into marts.tenants
select
    't' || lpad(n::text, 4, '0'),
    (array['Harbor', 'Summit', 'Willow', 'Granite', 'Juniper', 'Copper', 'Meadow', 'Lantern', 'Orchid', 'Falcon'])[1 + n % 10]
    || ' ' || (array['Realty', 'Homes', 'Property Group', 'Estates', 'Living', 'Brokers', 'Partners'])[1 + n % 7]
    || ' ' || n,
    (array['starter', 'pro', 'elite', 'agency'])[1 + n % 4],
    (array['Starter', 'Pro', 'Elite', 'Agency'])[1 + n % 4],
    (array[29, 99.5, 249, 499])[1 + n % 4],
    case when n % 50 = 7 then 'suspended' when n % 90 = 11 then 'removed' else 'active' end,
    n % 3 = 0
from generate_series(1, 1000) as n;

insert into marts.usage_monthly
select
    't' || lpad(n::text, 4, '0'),
    to_char(month, 'YYYY-MM'),
    channel,
    unit,
    (n * 37 + length(channel) * 911 + extract(month from month)::int * 53) % 20000 * scale,
    (n * 37 + length(channel) * 911) % 9000,
    (n * 37 + length(channel) * 911) % 20000 * 0.79,
    null,
    0
from
    generate_series(1, 1000) as n,
    generate_series('2025-12-01'::timestamp, '2026-11-01', interval '1 month') as month,
    (values ('sms', 'segments', 1), ('mms', 'messages', 0.1), ('voice', 'minutes', 0.25), ('email', 'emails', 3), ('ai', 'tokens', 900))
    as kinds (channel, unit, scale);

insert into marts.tenant_monthly (
    tenant_id, month, openai_cost_cents, twilio_sms_cost_cents, twilio_voice_cost_cents, twilio_phone_cost_cents,
    sendgrid_cost_cents, stripe_cost_cents, google_places_cost_cents, storage_cost_cents, other_cost_cents,
    total_cost_cents, total_messages, total_ai_calls, total_voice_minutes, total_emails,
    previous_month_cost_cents, cost_change_percent, projected_cost_cents, margin_cents, usage_status, unpriced_unit_count
)
select
    't' || lpad(n::text, 4, '0'),
    to_char(month, 'YYYY-MM'),
    ai, sms, voice, 115, 30, 0, 0, 0, 0,
    ai + sms + voice + 145,
    n % 7000, n % 900, n % 400, n % 3000,
    ai + sms,
    (n * 7 % 130) - 50.25,
    (ai + sms + voice + 145) * 1.5,
    (array[2900, 9950, 24900, 49900])[1 + n % 4] - (ai + sms + voice + 145),
    case when n % 23 = 0 then 'over_cap' when n % 9 = 0 then 'warning' else 'ok' end,
    case when n % 40 = 0 then n else 0 end
from
    generate_series(1, 1000) as n,
    generate_series('2025-12-01'::timestamp, '2026-11-01', interval '1 month') as month,
    lateral (
        select
            (n * 7919 % 9000)::numeric / 2.5 as ai,
            (n * 104729 % 20000)::numeric / 1.6 as sms,
            (n * 1299709 % 5000)::numeric / 4 as voice
    ) as costs;

insert into marts.tenant_margin_monthly
select
    tenant_id, month, null, margin_cents + total_cost_cents, total_cost_cents, 0, 12.5, total_cost_cents + 12.5,
    margin_cents - 12.5, null, 0
from marts.tenant_monthly
where tenant_id like 't0%' or tenant_id = 't1000';

insert into marts.usage_reconciliation
select
    't' || lpad(n::text, 4, '0'),
    day::date,
    service,
    (n * 31 + 400) % 900,
    (n * 31 + 400) % 900 - n % 3 * 4,
    n % 3 * 4,
    case when n % 3 = 0 then 0 else 100.0 * (n % 3 * 4) / ((n * 31 + 400) % 900 + 1) end,
    (array['matched', 'provider_only', 'drift', 'partly_tracked', 'price_pending', 'misattributed', 'tracked_only'])[1 + (n + extract(day from day)::int) % 7],
    n % 700, n % 5, n % 3, n % 2, n % 4
from
    generate_series(1, 100) as n,
    generate_series('2026-11-01'::timestamp, '2026-11-20', interval '1 day') as day,
    unnest(array['twilio_sms', 'openai', 'sendgrid']) as service;

insert into ops.usage_alerts (tenant_id, alert_type, severity, channel, message, details, resolved_at, created_at)
select
    't' || lpad(n::text, 4, '0'),
    (array['threshold', 'spike', 'anomaly', 'cap', 'unpriced', 'drift'])[1 + n % 6],
    (array['warning', 'critical', 'critical', 'warning', 'warning', 'info'])[1 + n % 6],
    (array[null, null, null, 'sms', 'ai', 'email'])[1 + n % 6],
    (array[
        'Monthly usage has exceeded $50.00', 'Usage is 120% higher than last month', 'Projected monthly cost: $150.00',
        'SMS usage is at 85% of the monthly cap', 'No price is known for 1,200 tokens of gpt-new', 'SendGrid and tracked emails differ by 4%'
    ])[1 + n % 6],
    '{}',
    case when n % 4 = 3 then '2026-11-19 10:00+00'::timestamptz end,
    '2026-11-18 10:00+00'::timestamptz + n * interval '3 minutes'
from generate_series(1, 120) as n;
