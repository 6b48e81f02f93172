-- A small world as of 2026-11-20 12:00 UTC. usage_daily is written by hand; usage_summary and usage_monthly follow from it.

insert into marts.tenants values
    ('acme', 'Acme Homes', 'pro', 'Pro', 99.5, 'active', true),
    ('bolt', 'Bolt Realty', 'starter', 'Starter', 29, 'suspended', false),
    ('cobalt', 'Cobalt', 'agency', 'Agency', 499, 'active', false),
    ('dune', 'Dune (no plan)', null, null, null, 'active', true),
    ('elm', 'Elm & Co', 'pro', 'Pro', 99.5, 'removed', false),
    ('unattributed', 'Unattributed', null, null, null, 'active', false);

insert into marts.plan_limits values
    ('starter', 'sms', 'units', 'any', 500, 80),
    ('pro', 'sms', 'units', 'any', 1000, 80),
    ('pro', 'email', 'requests', 'any', null, 80),
    ('pro', 'ai', 'cost_cents', 'any', 2000, 90);

insert into marts.channel_prices values ('', 'sms', 0.0079), ('', 'ai', 0.00001), ('pro', 'sms', 0.007);

insert into marts.usage_daily (
    tenant_id, date, channel, service, operation, direction, source, feature, model, evidence, unit,
    unit_count, request_count, estimated_cost_usd, billed_cost_usd, unpriced_unit_count
) values
    -- acme, November: sms 650 segments for 5.135, ai 10 tokens unpriced and 2000 for 0.005, voice 12.5 minutes.
    ('acme', '2026-11-01', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', 'broadcast', '', 'provider', 'segments', 400, 300, 3.16, 3.1, 0),
    ('acme', '2026-11-19', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', '(untracked)', '', 'provider', 'segments', 200, 150, 1.58, null, 0),
    ('acme', '2026-11-19', 'sms', 'twilio_sms', 'inbound', 'inbound', 'twilio', '(untracked)', '', 'provider', 'segments', 50, 50, 0.395, 0.4, 0),
    ('acme', '2026-11-19', 'ai', 'openai', 'chat_completion', 'outbound', 'openai', '=cmd()', 'gpt-x', 'residual', 'tokens', 10, 1, null, 0.25, 10),
    ('acme', '2026-11-20', 'ai', 'openai', 'chat_completion', 'outbound', 'openai', 'ai_sms', 'gpt-4o-mini', 'residual', 'tokens', 2000, 4, 0.005, 0.004, 0),
    ('acme', '2026-11-20', 'voice', 'twilio_voice', 'outbound', 'outbound', 'twilio', '(untracked)', '', 'provider', 'minutes', 12.5, 3, 0.175, 0.175, 0),
    -- acme, October and the last day of it.
    ('acme', '2026-10-31', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', 'broadcast', '', 'provider', 'segments', 1000, 900, 7.9, 7.9, 0),
    ('acme', '2026-10-15', 'mms', 'twilio_sms', 'mms_outbound', 'outbound', 'twilio', 'broadcast', '', 'provider', 'messages', 2, 2, 0.04, 0.04, 0),
    -- bolt: only unpriced.
    ('bolt', '2026-11-10', 'ai', 'openai', 'embedding', 'outbound', 'openai', '(untracked)', 'who-knows', 'residual', 'tokens', 77, 7, null, null, 77),
    ('dune', '2026-11-05', 'email', 'sendgrid', 'send', 'outbound', 'sendgrid', '(untracked)', '', 'residual', 'emails', 30, 30, 0.03, null, 0),
    ('elm', '2026-10-02', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', '(untracked)', '', 'provider', 'segments', 1, 1, 0.0079, 0.0079, 0),
    ('unattributed', '2026-11-12', 'email', 'sendgrid', 'send', 'outbound', 'sendgrid', '(untracked)', '', 'residual', 'emails', 5, 5, 0.005, null, 0);

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
    coalesce(sum(unit_count) filter (where evidence = 'tracked'), 0),
    date < '2026-11-17',
    '{}'
from marts.usage_daily
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
group by tenant_id, to_char(date, 'YYYY-MM'), channel;

insert into marts.usage_activity_daily
select
    tenant_id,
    date,
    channel,
    service,
    operation,
    case feature when 'ai_sms' then 'lead_scoring' else '' end,
    sum(unit_count),
    sum(request_count),
    sum(estimated_cost_usd)
from marts.usage_daily
group by tenant_id, date, channel, service, operation, case feature when 'ai_sms' then 'lead_scoring' else '' end;

insert into marts.usage_reconciliation values
    ('acme', '2026-11-01', 'twilio_sms', 400, 400, 0, 0, 'matched', 300, 0, 0, 0, 0),
    ('acme', '2026-11-19', 'openai', 10, 12, -2, 20, 'drift', 1, 0, 0, 0, 0),
    ('acme', '2026-11-19', 'twilio_sms', 250, 200, 50, 0, 'partly_tracked', 150, 50, 0, 0, 0),
    ('dune', '2026-11-05', 'sendgrid', 30, 0, 30, 0, 'provider_only', 0, 30, 0, 0, 0),
    ('unattributed', '2026-11-12', 'sendgrid', 5, 0, 5, 0, 'provider_only', 0, 5, 0, 0, 0),
    ('acme', '2026-10-31', 'twilio_sms', 1000, 1000, 0, 0, 'matched', 900, 0, 0, 0, 0);

insert into marts.tenant_usage_status values
    ('acme', '2026-10', 'sms', 'units', 'any', 1000, 1000, 80, 100, 'warning'),
    ('acme', '2026-11', 'sms', 'units', 'any', 650, 1000, 80, 65, 'ok'),
    ('acme', '2026-11', 'sms', 'cost_cents', 'outbound', 474, 500, 80, 94.8, 'warning'),
    ('acme', '2026-11', 'email', 'requests', 'any', 0, null, 80, null, 'ok'),
    ('acme', '2026-11', 'ai', 'cost_cents', 'any', 0.5, 2000, 90, 0.025, 'ok'),
    ('bolt', '2026-11', 'sms', 'units', 'any', 501, 500, 80, 100.2, 'over_cap');

insert into marts.tenant_monthly (
    tenant_id, month, openai_cost_cents, twilio_sms_cost_cents, twilio_voice_cost_cents, twilio_phone_cost_cents,
    sendgrid_cost_cents, stripe_cost_cents, google_places_cost_cents, storage_cost_cents, other_cost_cents,
    total_cost_cents, total_messages, total_ai_calls, total_voice_minutes, total_emails,
    previous_month_cost_cents, cost_change_percent, projected_cost_cents, margin_cents, usage_status, unpriced_unit_count
) values
    ('acme', '2026-10', 0, 794, 0, 0, 0, 0, 0, 0, 0, 794, 902, 0, 0, 0, null, null, 794, 9156, 'warning', 0),
    ('acme', '2026-11', 0.5, 513.5, 17.5, 0, 0, 0, 0, 0, 0, 531.5, 500, 5, 12.5, 0, 794, -33.0604534, 810.5263157894736842, 9418.5, 'warning', 10),
    ('bolt', '2026-11', null, 0, 0, 0, 0, 0, 0, 0, 0, null, 0, 7, 0, 0, null, null, null, null, 'over_cap', 77),
    ('dune', '2026-11', 0, 0, 0, 0, 3, 0, 0, 0, 0, 3, 0, 0, 0, 30, null, null, 4.5, null, 'ok', 0),
    ('elm', '2026-10', 0, 0.79, 0, 0, 0, 0, 0, 0, 0, 0.79, 1, 0, 0, 0, null, null, 0.79, 9949.21, 'ok', 0),
    ('elm', '2026-11', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.79, -100, 0, 9950, 'ok', 0),
    ('unattributed', '2026-11', 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 5, null, null, 0.75, null, 'ok', 0);

update marts.tenant_monthly set unpriced_units = jsonb_build_object('tokens', trim_scale(unpriced_unit_count)) where unpriced_unit_count <> 0;

-- By billed cost where it is complete: acme's AI is 25.4, its calls 17.5. The mail that nobody owns is dune's to bear.
insert into marts.tenant_margin_monthly values
    ('acme', '2026-10', 'pro', 9950, 794, 794, 0, 794, 9156, 92.0201005, 0),
    ('acme', '2026-11', 'pro', 9950, 556.4, 42.9, 0, 556.4, 9393.6, 94.4080402, 10),
    ('bolt', '2026-11', 'starter', 2900, null, 0, 0, null, null, null, 77),
    ('dune', '2026-11', null, null, 3, 0, 0.5, 3.5, null, null, 0),
    ('elm', '2026-10', 'pro', 9950, 0.79, 0.79, 0, 0.79, 9949.21, 99.9920603, 0),
    ('elm', '2026-11', 'pro', 9950, 0, 0, 0, 0, 9950, 100, 0),
    ('unattributed', '2026-11', null, null, 0.5, 0, -0.5, 0, null, null, 0);
