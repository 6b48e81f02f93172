"""All SQL of the owner's routes. Cost is in exact cents; see `api.usage.queries` for `trim_scale` and empty
sums.
"""

# One row per tenant for a month, filtered; the totals are of the whole filtered set, the page one part of it.
# A tenant without a row in tenant_monthly has used nothing yet: its cost is 0, not unknown.
# Sorting is by one number or one text, whatever the column: so the statement stays the same, and the cursor
# is the exact value with the tenant's id. `number_key` always ascends (it is negated for desc); nulls come
# last in both orders.
_KEYED = """
with channel_usage as materialized (
    select
        usage_monthly.tenant_id,
        sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'sms') as sms_used,
        sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'mms') as mms_used,
        sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'voice') as voice_minutes_used,
        sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'email') as emails_sent,
        sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'ai') as ai_tokens_used,
        sum(usage_monthly.request_count) filter (where usage_monthly.channel = 'ai') as ai_requests,
        -- Whosever servers they were: not only OpenAI's.
        case
            when count(*) filter (where usage_monthly.channel = 'ai') = 0 then 0
            else sum(usage_monthly.estimated_cost_cents) filter (where usage_monthly.channel = 'ai')
        end as ai_cost_cents
    from marts.usage_monthly
    where usage_monthly.month = %(month)s
        and usage_monthly.channel in ('sms', 'mms', 'voice', 'email', 'ai')
    group by usage_monthly.tenant_id
),

months as materialized (
    select
        tenant_monthly.*,
        -- What has no price (null) hides none of what has; nothing used (0) beside it is not the whole cost.
        case
            when
                num_nulls(
                    tenant_monthly.twilio_sms_cost_cents,
                    tenant_monthly.twilio_voice_cost_cents,
                    tenant_monthly.twilio_phone_cost_cents
                ) = 0
                then tenant_monthly.twilio_sms_cost_cents
                    + tenant_monthly.twilio_voice_cost_cents
                    + tenant_monthly.twilio_phone_cost_cents
            else nullif(
                coalesce(tenant_monthly.twilio_sms_cost_cents, 0)
                + coalesce(tenant_monthly.twilio_voice_cost_cents, 0)
                + coalesce(tenant_monthly.twilio_phone_cost_cents, 0),
                0
            )
        end as twilio_cost_cents
    from marts.tenant_monthly
    where tenant_monthly.month = %(month)s
),

margins as materialized (
    select
        tenant_margin_monthly.tenant_id,
        tenant_margin_monthly.own_cost_cents,
        tenant_margin_monthly.shared_cost_cents,
        tenant_margin_monthly.full_cost_cents,
        tenant_margin_monthly.full_margin_cents
    from marts.tenant_margin_monthly
    where tenant_margin_monthly.month = %(month)s
),

tenant_months as (
    select
        tenants.tenant_id,
        tenants.name as tenant_name,
        tenants.plan,
        tenants.plan_label,
        tenants.status as account_status,
        coalesce(channel_usage.sms_used, 0) as sms_used,
        coalesce(channel_usage.mms_used, 0) as mms_used,
        coalesce(channel_usage.voice_minutes_used, 0) as voice_minutes_used,
        coalesce(channel_usage.emails_sent, 0) as emails_sent,
        coalesce(channel_usage.ai_tokens_used, 0) as ai_tokens_used,
        coalesce(channel_usage.ai_requests, 0) as ai_requests,
        coalesce(months.usage_status, 'ok') as status,
        case when months.tenant_id is null then 0 else months.total_cost_cents end as estimated_cost_cents,
        case when months.tenant_id is null then 0 else months.openai_cost_cents end as openai_cost_cents,
        case when months.tenant_id is null then 0 else months.twilio_sms_cost_cents end as
        twilio_sms_cost_cents, case when months.tenant_id is null then 0 else months.twilio_voice_cost_cents
        end as twilio_voice_cost_cents, coalesce(months.total_messages, 0) as total_messages,
        coalesce(months.total_ai_calls, 0) as total_ai_calls,
        coalesce(channel_usage.ai_cost_cents, case when channel_usage.tenant_id is null then 0 end) as ai_cost_cents,
        100 * coalesce(channel_usage.ai_cost_cents, case when channel_usage.tenant_id is null then 0 end)
        / nullif(months.total_cost_cents, 0) as ai_percent_of_spend,
        100 * months.twilio_cost_cents / nullif(months.total_cost_cents, 0) as twilio_percent_of_spend,
        months.twilio_cost_cents,
        months.cost_change_percent,
        case when months.tenant_id is null then 0 else months.projected_cost_cents end as
        projected_cost_cents, case
            when months.tenant_id is null then tenants.monthly_base_price_usd * 100
            else months.margin_cents
        end as margin_cents,
        case when margins.tenant_id is null then 0 else margins.own_cost_cents end as own_cost_cents,
        coalesce(margins.shared_cost_cents, 0) as shared_cost_cents,
        case when margins.tenant_id is null then 0 else margins.full_cost_cents end as full_cost_cents,
        case
            when margins.tenant_id is null then tenants.monthly_base_price_usd * 100
            else margins.full_margin_cents
        end as full_margin_cents,
        coalesce(months.adjustment_cents, 0) as adjustment_cents,
        coalesce(months.unpriced_units, '{}') as unpriced_units
    from marts.tenants
    left join channel_usage on channel_usage.tenant_id = tenants.tenant_id
    left join months on months.tenant_id = tenants.tenant_id
    left join margins on margins.tenant_id = tenants.tenant_id
),

filtered as (
    select
        tenant_months.*,
        tenant_months.total_messages > 0
        or tenant_months.total_ai_calls > 0
        or coalesce(tenant_months.estimated_cost_cents, 1) <> 0 as has_used
    from tenant_months
    where (%(plans)s::text[] is null or tenant_months.plan = any(%(plans)s::text[]))
        and (%(statuses)s::text[] is null or tenant_months.status = any(%(statuses)s::text[]))
        and (
            %(min_ai_share)s::numeric is null
            or tenant_months.ai_percent_of_spend >= %(min_ai_share)s::numeric
        )
        and (
            %(search)s::text is null
            or position(lower(%(search)s::text) in lower(tenant_months.tenant_name)) > 0
            or position(lower(%(search)s::text) in lower(tenant_months.tenant_id)) > 0
        )
),

keyed as (
    select
        filtered.*,
        case when %(descending)s then -1 else 1 end * case %(sort)s
            when 'smsUsed' then filtered.sms_used
            when 'mmsUsed' then filtered.mms_used
            when 'voiceMinutesUsed' then filtered.voice_minutes_used
            when 'emailsSent' then filtered.emails_sent
            when 'aiTokensUsed' then filtered.ai_tokens_used
            when 'aiRequests' then filtered.ai_requests
            when 'status' then ops.severity(filtered.status)
            when 'estimatedCostCents' then filtered.estimated_cost_cents
            when 'aiPercentOfSpend' then filtered.ai_percent_of_spend
            when 'twilioPercentOfSpend' then filtered.twilio_percent_of_spend
            when 'costChangePercent' then filtered.cost_change_percent
            when 'projectedCostCents' then filtered.projected_cost_cents
            when 'marginCents' then filtered.margin_cents
            when 'fullMarginCents' then filtered.full_margin_cents
            when 'openaiCostCents' then filtered.openai_cost_cents
            when 'twilioSmsCostCents' then filtered.twilio_sms_cost_cents
            when 'twilioVoiceCostCents' then filtered.twilio_voice_cost_cents
            when 'totalCostCents' then filtered.estimated_cost_cents
            when 'totalMessages' then filtered.total_messages
            when 'totalAiCalls' then filtered.total_ai_calls
        end as number_key,
        case %(sort)s
            when 'tenantId' then filtered.tenant_id
            when 'tenantName' then lower(filtered.tenant_name)
            when 'plan' then filtered.plan
            when 'accountStatus' then filtered.account_status
        end collate "C" as text_key
    from filtered
)
"""

# The plans to filter by are those that tenants have, whatever the filters.
TENANT_MONTHS = (
    _KEYED
    + """,

page as (
    select keyed.*
    from keyed
    where %(after_tenant)s::text is null
        or case
            when %(after_number)s::numeric is not null
                then keyed.number_key is null
                    or (keyed.number_key, keyed.tenant_id collate "C")
                    > (%(after_number)s::numeric, %(after_tenant)s::text)
            when %(after_text)s::text is not null
                then keyed.text_key is null
                    or (%(descending)s and keyed.text_key < %(after_text)s::text)
                    or (not %(descending)s and keyed.text_key > %(after_text)s::text)
                    or (
                        keyed.text_key = %(after_text)s::text
                        and keyed.tenant_id collate "C" > %(after_tenant)s::text
                    )
            else keyed.number_key is null
                and keyed.text_key is null
                and keyed.tenant_id collate "C" > %(after_tenant)s::text
        end
    order by
        keyed.number_key nulls last,
        case when %(descending)s then keyed.text_key end desc nulls last,
        case when not %(descending)s then keyed.text_key end nulls last,
        keyed.tenant_id collate "C"
    limit %(limit)s + 1
)

select
    (
        select row_to_json(part)
        from (
            select
                count(*) as tenants,
                count(*) filter (where filtered.has_used) as active_tenants,
                count(*) filter (where filtered.tenant_id <> 'unattributed') as clients,
                count(*) filter (
                    where filtered.tenant_id <> 'unattributed' and filtered.has_used
                ) as active_clients,
                trim_scale(
                    sum(filtered.estimated_cost_cents) filter (where filtered.tenant_id <> 'unattributed')
                ) as clients_cost_cents,
                count(*) filter (where filtered.status = 'warning') as warning_tenants,
                count(*) filter (where filtered.status = 'over_cap') as over_cap_tenants,
                trim_scale(coalesce(sum(filtered.sms_used), 0)) as sms_used,
                trim_scale(coalesce(sum(filtered.mms_used), 0)) as mms_used,
                trim_scale(coalesce(sum(filtered.voice_minutes_used), 0)) as voice_minutes_used,
                trim_scale(coalesce(sum(filtered.emails_sent), 0)) as emails_sent,
                trim_scale(coalesce(sum(filtered.ai_tokens_used), 0)) as ai_tokens_used,
                coalesce(sum(filtered.ai_requests), 0) as ai_requests,
                coalesce(sum(filtered.total_messages), 0) as total_messages,
                coalesce(sum(filtered.total_ai_calls), 0) as total_ai_calls,
                trim_scale(case when count(*) = 0 then 0 else sum(filtered.estimated_cost_cents) end)
                    as estimated_cost_cents,
                trim_scale(coalesce(sum(filtered.openai_cost_cents), 0)) as openai_cost_cents,
                trim_scale(coalesce(sum(filtered.ai_cost_cents), 0)) as ai_cost_cents,
                trim_scale(coalesce(sum(filtered.twilio_cost_cents), 0)) as twilio_cost_cents,
                trim_scale(coalesce(sum(filtered.twilio_sms_cost_cents), 0)) as twilio_sms_cost_cents,
                trim_scale(coalesce(sum(filtered.twilio_voice_cost_cents), 0)) as twilio_voice_cost_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(filtered.projected_cost_cents) end)
                    as projected_cost_cents,
                trim_scale(sum(filtered.margin_cents)) as margin_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(filtered.own_cost_cents) end) as own_cost_cents,
                trim_scale(coalesce(sum(filtered.shared_cost_cents), 0)) as shared_cost_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(filtered.full_cost_cents) end) as full_cost_cents,
                trim_scale(sum(filtered.full_margin_cents)) as full_margin_cents,
                trim_scale(coalesce(sum(filtered.adjustment_cents), 0)) as adjustment_cents,
                ops.sum_units(filtered.unpriced_units) filter (where filtered.unpriced_units <> '{}') as unpriced_units
            from filtered
        ) as part
    ) as totals,
    (
        select coalesce(
            json_agg(
                part
                order by
                    part.number_key nulls last,
                    case when %(descending)s then part.text_key end desc nulls last,
                    case when not %(descending)s then part.text_key end nulls last,
                    part.tenant_id collate "C"
            ),
            '[]'
        )
        from (
            select
                page.tenant_id,
                page.tenant_name,
                page.plan,
                page.plan_label,
                page.account_status,
                trim_scale(page.sms_used) as sms_used,
                trim_scale(page.mms_used) as mms_used,
                trim_scale(page.voice_minutes_used) as voice_minutes_used,
                trim_scale(page.emails_sent) as emails_sent,
                trim_scale(page.ai_tokens_used) as ai_tokens_used,
                page.ai_requests,
                page.status,
                trim_scale(page.estimated_cost_cents) as estimated_cost_cents,
                trim_scale(page.openai_cost_cents) as openai_cost_cents,
                trim_scale(page.twilio_sms_cost_cents) as twilio_sms_cost_cents,
                trim_scale(page.twilio_voice_cost_cents) as twilio_voice_cost_cents,
                page.total_messages,
                page.total_ai_calls,
                page.ai_percent_of_spend,
                page.twilio_percent_of_spend,
                page.cost_change_percent,
                trim_scale(page.projected_cost_cents) as projected_cost_cents,
                trim_scale(page.margin_cents) as margin_cents,
                trim_scale(page.own_cost_cents) as own_cost_cents,
                trim_scale(page.shared_cost_cents) as shared_cost_cents,
                trim_scale(page.full_cost_cents) as full_cost_cents,
                trim_scale(page.full_margin_cents) as full_margin_cents,
                trim_scale(page.adjustment_cents) as adjustment_cents,
                page.unpriced_units,
                page.number_key,
                page.text_key
            from page
        ) as part
    ) as page,
    (
        select coalesce(json_agg(part order by part.tenants desc, part.name), '[]')
        from (
            select
                tenants.plan as name,
                min(tenants.plan_label) as label,
                count(*) as tenants
            from marts.tenants
            where tenants.plan is not null
            group by tenants.plan
        ) as part
    ) as plans
"""
)

# All of the filtered set in the same order, for a file.
TENANT_MONTHS_EXPORT = (
    _KEYED
    + """

select
    keyed.tenant_id,
    keyed.tenant_name,
    keyed.plan,
    keyed.plan_label,
    keyed.account_status,
    trim_scale(keyed.sms_used) as sms_used,
    trim_scale(keyed.mms_used) as mms_used,
    trim_scale(keyed.voice_minutes_used) as voice_minutes_used,
    trim_scale(keyed.emails_sent) as emails_sent,
    trim_scale(keyed.ai_tokens_used) as ai_tokens_used,
    keyed.ai_requests,
    keyed.status,
    trim_scale(keyed.estimated_cost_cents) as estimated_cost_cents,
    trim_scale(keyed.openai_cost_cents) as openai_cost_cents,
    trim_scale(keyed.twilio_sms_cost_cents) as twilio_sms_cost_cents,
    trim_scale(keyed.twilio_voice_cost_cents) as twilio_voice_cost_cents,
    keyed.total_messages,
    keyed.total_ai_calls,
    keyed.ai_percent_of_spend,
    keyed.twilio_percent_of_spend,
    keyed.cost_change_percent,
    trim_scale(keyed.projected_cost_cents) as projected_cost_cents,
    trim_scale(keyed.margin_cents) as margin_cents,
    trim_scale(keyed.own_cost_cents) as own_cost_cents,
    trim_scale(keyed.shared_cost_cents) as shared_cost_cents,
    trim_scale(keyed.full_cost_cents) as full_cost_cents,
    trim_scale(keyed.full_margin_cents) as full_margin_cents,
    trim_scale(keyed.adjustment_cents) as adjustment_cents,
    keyed.unpriced_units
from keyed
order by
    keyed.number_key nulls last,
    case when %(descending)s then keyed.text_key end desc nulls last,
    case when not %(descending)s then keyed.text_key end nulls last,
    keyed.tenant_id collate "C"
"""
)

# One tenant as the owner sees it; runs in that tenant's scope.
TENANT_DETAIL = """
select
    tenants.tenant_id,
    tenants.name as tenant_name,
    tenants.plan,
    tenants.plan_label,
    tenants.monthly_base_price_usd * 100 as base_price_cents,
    tenants.status as account_status,
    tenants.usage_hard_stop_enabled,
    (
        select coalesce(json_agg(part), '[]')
        from (
            select
                usage_daily.service,
                sum(usage_daily.request_count) as request_count,
                trim_scale(sum(usage_daily.estimated_cost_usd) * 100) as cost_cents,
                ops.sum_units(jsonb_build_object(usage_daily.unit, usage_daily.unpriced_unit_count))
                filter (where usage_daily.unpriced_unit_count <> 0) as unpriced_units
            from marts.usage_daily
            where usage_daily.tenant_id = %(tenant_id)s
                and usage_daily.date between %(first_day)s and %(last_day)s
            group by usage_daily.service
            order by sum(usage_daily.estimated_cost_usd) desc nulls last, usage_daily.service
        ) as part
    ) as by_service,
    (
        select coalesce(json_agg(part), '[]')
        from (
            select
                usage_daily.date,
                sum(usage_daily.request_count) as request_count,
                trim_scale(sum(usage_daily.estimated_cost_usd) * 100) as cost_cents
            from marts.usage_daily
            where usage_daily.tenant_id = %(tenant_id)s
                and usage_daily.date between %(first_day)s and %(last_day)s
            group by usage_daily.date
        ) as part
    ) as by_day,
    (
        select coalesce(json_agg(part), '[]')
        from (
            select
                usage_activity_daily.service,
                usage_activity_daily.operation,
                nullif(usage_activity_daily.activity, '') as activity,
                min(usage_activity_daily.channel) as channel,
                trim_scale(sum(usage_activity_daily.unit_count)) as unit_count,
                sum(usage_activity_daily.request_count) as request_count,
                trim_scale(sum(usage_activity_daily.estimated_cost_usd) * 100) as cost_cents
            from marts.usage_activity_daily
            where usage_activity_daily.tenant_id = %(tenant_id)s
                and usage_activity_daily.date between %(first_day)s and %(last_day)s
            group by
                usage_activity_daily.service,
                usage_activity_daily.operation,
                usage_activity_daily.activity
            order by
                sum(usage_activity_daily.estimated_cost_usd) desc nulls last,
                usage_activity_daily.service,
                usage_activity_daily.operation,
                usage_activity_daily.activity
            limit %(top)s
        ) as part
    ) as top_operations,
    (
        select row_to_json(part)
        from (
            select
                trim_scale(tenant_monthly.total_cost_cents) as cost_cents,
                trim_scale(tenant_monthly.projected_cost_cents) as projected_cost_cents,
                tenant_monthly.cost_change_percent,
                trim_scale(tenant_monthly.margin_cents) as margin_cents,
                tenant_monthly.usage_status,
                trim_scale(tenant_monthly.adjustment_cents) as adjustment_cents
            from marts.tenant_monthly
            where tenant_monthly.tenant_id = %(tenant_id)s
                and tenant_monthly.month = %(month)s
        ) as part
    ) as current_month,
    (
        -- As the projection: the complete days, or while there is none what today has cost so far.
        select
            trim_scale(
                case when count(usage_summary.channel) = 0 then 0 else sum(usage_summary.estimated_cost_cents) end
                / greatest(%(today)s::date - %(month_first)s::date, 1)
            )
        from marts.usage_summary
        where usage_summary.tenant_id = %(tenant_id)s
            and usage_summary.date >= %(month_first)s::date
            and usage_summary.date < greatest(%(today)s::date, %(month_first)s::date + 1)
    ) as daily_average_cents,
    (
        select coalesce(json_agg(part order by part.blocked_count desc, part.channel), '[]')
        from (
            select
                blocked_actions.channel,
                count(*) as blocked_count,
                max(blocked_actions.decided_at) as last_blocked_at
            from ops.blocked_actions
            where blocked_actions.tenant_id = %(tenant_id)s
                and blocked_actions.decided_at >= %(first_day)s::date at time zone 'UTC'
                and blocked_actions.decided_at < (%(last_day)s::date + 1) at time zone 'UTC'
            group by blocked_actions.channel
        ) as part
    ) as blocked,
    (
        select coalesce(json_object_agg(part.state, part.row_count), '{}')
        from (
            select
                usage_reconciliation.state,
                count(*) as row_count
            from marts.usage_reconciliation
            where usage_reconciliation.tenant_id = %(tenant_id)s
                and usage_reconciliation.date between %(first_day)s and %(last_day)s
            group by usage_reconciliation.state
        ) as part
    ) as reconciliation
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

# The newest day first. The totals are of the whole filtered set, by state.
RECONCILIATION = """
with filtered as (
    select usage_reconciliation.*
    from marts.usage_reconciliation
    where usage_reconciliation.date between %(first_day)s and %(last_day)s
        and (%(states)s::text[] is null or usage_reconciliation.state = any(%(states)s::text[]))
        and (%(tenant)s::text is null or usage_reconciliation.tenant_id = %(tenant)s::text)
        and (%(service)s::text is null or usage_reconciliation.service = %(service)s::text)
),

page as (
    select filtered.*
    from filtered
    where %(after_day)s::date is null
        or filtered.date < %(after_day)s::date
        or (
            filtered.date = %(after_day)s::date
            and (filtered.tenant_id collate "C", filtered.service collate "C")
            > (%(after_tenant)s::text, %(after_service)s::text)
        )
    order by filtered.date desc, filtered.tenant_id collate "C", filtered.service collate "C"
    limit %(limit)s + 1
)

select
    (
        select coalesce(json_object_agg(by_state.state, by_state.rows), '{}')
        from (
            select
                filtered.state,
                count(*) as rows
            from filtered
            group by filtered.state
        ) as by_state
    ) as totals,
    (
        select coalesce(
            json_agg(part order by part.date desc, part.tenant_id collate "C", part.service collate "C"), '[]'
        )
        from (
            select
                page.tenant_id,
                coalesce(tenants.name, page.tenant_id) as tenant_name,
                page.date,
                page.service,
                trim_scale(page.provider_units) as provider_units,
                trim_scale(page.tracked_units) as tracked_units,
                trim_scale(page.difference) as difference,
                page.drift_percent,
                page.state,
                page.matched_count,
                page.provider_only_count,
                page.tracked_only_count,
                page.misattributed_count,
                page.price_pending_count
            from page
            left join marts.tenants on tenants.tenant_id = page.tenant_id
        ) as part
    ) as page
"""

FRESHNESS = """
select
    data_freshness.provider,
    data_freshness.table_name,
    data_freshness.last_read_at,
    data_freshness.last_usage_date,
    data_freshness.row_count,
    data_freshness.rejected_count,
    data_freshness.last_run_status,
    data_freshness.last_error,
    data_freshness.last_run_at
from ops.data_freshness
order by data_freshness.provider, data_freshness.table_name
"""

PROOF_STATUS = """
select
    proof_status.last_proven_at,
    proof_status.proven_days,
    proof_status.different_days
from ops.proof_status
"""

# Newest first; a cursor is the id of a page's last alert.
ALERTS = """
select
    alerts.id,
    alerts.tenant_id,
    coalesce(tenants.name, alerts.tenant_id) as tenant_name,
    alerts.alert_type,
    alerts.severity,
    alerts.channel,
    alerts.message,
    alerts.details,
    alerts.acknowledged,
    alerts.acknowledged_at,
    alerts.acknowledged_by,
    alerts.resolved_at,
    alerts.created_at,
    alerts.last_sent_at
from ops.alerts
left join marts.tenants on tenants.tenant_id = alerts.tenant_id
where
    (%(acknowledged)s::boolean is null or alerts.acknowledged = %(acknowledged)s)
    and (%(open)s::boolean is null or (alerts.resolved_at is null) = %(open)s)
    and (%(tenant)s::text is null or alerts.tenant_id = %(tenant)s)
    and (%(alert_type)s::text is null or alerts.alert_type = %(alert_type)s)
    and (%(severity)s::text is null or alerts.severity = %(severity)s)
    and (%(before)s::bigint is null or alerts.id < %(before)s)
order by alerts.id desc
limit %(limit)s + 1
"""

OPEN_ALERTS_OF_TENANT = """
select
    coalesce(
        jsonb_agg(
            jsonb_build_object(
                'id', alerts.id,
                'tenant_id', alerts.tenant_id,
                'tenant_name', tenants.name,
                'alert_type', alerts.alert_type,
                'severity', alerts.severity,
                'channel', alerts.channel,
                'message', alerts.message,
                'details', alerts.details,
                'acknowledged', alerts.acknowledged,
                'acknowledged_at', alerts.acknowledged_at,
                'acknowledged_by', alerts.acknowledged_by,
                'resolved_at', alerts.resolved_at,
                'created_at', alerts.created_at,
                'last_sent_at', alerts.last_sent_at
            )
            order by alerts.id desc
        ),
        '[]'
    ) as alerts
from ops.alerts
inner join marts.tenants on tenants.tenant_id = alerts.tenant_id
where
    alerts.tenant_id = %(tenant_id)s
    and tenants.tenant_id = %(tenant_id)s
    and alerts.resolved_at is null
"""

# Whatever a list of alerts is filtered by.
OPEN_ALERTS = """
select
    count(*) as open_count,
    count(*) filter (where not alerts.acknowledged) as unacknowledged_count,
    count(*) filter (where alerts.severity = 'critical') as critical_count,
    count(*) filter (where alerts.severity = 'warning') as warning_count,
    count(*) filter (where alerts.severity = 'info') as info_count
from ops.alerts
where alerts.resolved_at is null
"""

# What this month is expected to have cost at its end, by tenant, of the newest forecast up to today.
EXPECTED_COSTS = """
select
    forecasts.tenant_id,
    trim_scale(forecasts.expected) as expected
from ops.tenant_forecasts as forecasts
where forecasts.tenant_id = any(%(tenants)s::text[])
    and forecasts.month = %(month)s
    and forecasts.channel = ''
    and forecasts.expected is not null
    and forecasts.as_of_date = (
        select max(latest.as_of_date)
        from ops.tenant_forecasts as latest
        where latest.tenant_id = forecasts.tenant_id
            and latest.as_of_date <= %(today)s
    )
"""
