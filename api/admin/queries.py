"""All SQL of the owner's routes. Cost is in exact cents; see `api.usage.queries` for `trim_scale` and empty
sums.
"""

from api.kit.queries import SOURCES as _SOURCES


# Lists are sorted by one number or one text, whatever the column: so a statement stays the same, and a cursor is the exact value with what
# equals stand by. `number_key` always ascends (it is negated for desc); nulls come last in both orders.
def _by_key(rows: str) -> str:
    """Return the order of ``rows`` by its key; what equals stand by is to follow."""
    return f"""
        {rows}.number_key nulls last,
        case when %(descending)s then {rows}.text_key end desc nulls last,
        case when not %(descending)s then {rows}.text_key end nulls last"""


# Of `keyed`, what stands behind the cursor's key, and what has the same one.
_BEHIND = """
        case
            when %(after_number)s::numeric is not null
                then keyed.number_key is null or keyed.number_key > %(after_number)s::numeric
            when %(after_text)s::text is not null
                then keyed.text_key is null
                    or (%(descending)s and keyed.text_key < %(after_text)s::text)
                    or (not %(descending)s and keyed.text_key > %(after_text)s::text)
            else false
        end"""
_BESIDE = """
        keyed.number_key is not distinct from %(after_number)s::numeric
        and keyed.text_key is not distinct from %(after_text)s::text"""

# One row per tenant for a month, filtered; the totals are of the whole filtered set, the page one part of it.
_KEYED = """
filtered as not materialized (
    select tenant_months.*
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
        filtered.tenant_id,
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
            when 'twilioPhoneCostCents' then filtered.twilio_phone_cost_cents
            when 'sendgridCostCents' then filtered.sendgrid_cost_cents
            when 'stripeCostCents' then filtered.stripe_cost_cents
            when 'googlePlacesCostCents' then filtered.google_places_cost_cents
            when 'storageCostCents' then filtered.storage_cost_cents
            when 'otherCostCents' then filtered.other_cost_cents
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

_MADE = """
with tenant_months as materialized (
    select made.*
    from ops.tenants_of_month(%(month)s) as made
),
"""
# What the newest good build has kept: read without a join.
_KEPT = """
with tenant_months as not materialized (
    select kept_tenants.*
    from ops.kept_tenants
    where kept_tenants.month = %(month)s
),
"""

# Sums by status: of what is filtered, or read from those by plan and status that are kept, which tell nothing of a search or of one
# tenant's share.
_SUMMED = """
parts as (
    select
        filtered.status,
        count(*) as tenants,
        count(*) filter (where filtered.has_used) as active_tenants,
        count(*) filter (where filtered.tenant_id <> 'unattributed') as clients,
        count(*) filter (where filtered.tenant_id <> 'unattributed' and filtered.has_used) as active_clients,
        sum(filtered.estimated_cost_cents) filter (where filtered.tenant_id <> 'unattributed')
        as clients_cost_cents,
        sum(filtered.sms_used) as sms_used,
        sum(filtered.mms_used) as mms_used,
        sum(filtered.voice_minutes_used) as voice_minutes_used,
        sum(filtered.emails_sent) as emails_sent,
        sum(filtered.ai_tokens_used) as ai_tokens_used,
        sum(filtered.ai_requests) as ai_requests,
        sum(filtered.total_messages) as total_messages,
        sum(filtered.total_ai_calls) as total_ai_calls,
        sum(filtered.estimated_cost_cents) as estimated_cost_cents,
        sum(filtered.openai_cost_cents) as openai_cost_cents,
        sum(filtered.twilio_sms_cost_cents) as twilio_sms_cost_cents,
        sum(filtered.twilio_voice_cost_cents) as twilio_voice_cost_cents,
        sum(filtered.twilio_cost_cents) as twilio_cost_cents,
        sum(filtered.twilio_phone_cost_cents) as twilio_phone_cost_cents,
        sum(filtered.sendgrid_cost_cents) as sendgrid_cost_cents,
        sum(filtered.stripe_cost_cents) as stripe_cost_cents,
        sum(filtered.google_places_cost_cents) as google_places_cost_cents,
        sum(filtered.storage_cost_cents) as storage_cost_cents,
        sum(filtered.other_cost_cents) as other_cost_cents,
        sum(filtered.ai_cost_cents) as ai_cost_cents,
        sum(filtered.projected_cost_cents) as projected_cost_cents,
        sum(filtered.margin_cents) as margin_cents,
        sum(filtered.own_cost_cents) as own_cost_cents,
        sum(filtered.shared_cost_cents) as shared_cost_cents,
        sum(filtered.full_cost_cents) as full_cost_cents,
        sum(filtered.full_margin_cents) as full_margin_cents,
        sum(filtered.adjustment_cents) as adjustment_cents,
        ops.sum_units(filtered.unpriced_units) filter (where filtered.unpriced_units <> '{}')
        as unpriced_units
    from filtered
    group by filtered.status
),
"""
_KEPT_SUMS = """
parts as (
    select kept_totals.*
    from ops.kept_totals
    where kept_totals.month = %(month)s
        and (%(plans)s::text[] is null or kept_totals.plan = any(%(plans)s::text[]))
        and (%(statuses)s::text[] is null or kept_totals.status = any(%(statuses)s::text[]))
),
"""

# The plans to filter by are those that tenants have, whatever the filters.
_PLANS = """
plans as (
    select tenants.plan as name, tenants.plan_label as label, 1 as tenants
    from marts.tenants
),
"""
_KEPT_PLANS = """
plans as (
    select kept_totals.plan as name, kept_totals.plan_label as label, kept_totals.tenants
    from ops.kept_totals
    where kept_totals.month = %(month)s
),
"""

# What a row says of a tenant's month, in a page and in a file.
_COLUMNS = """
    tenant_months.tenant_id,
    tenant_months.tenant_name,
    tenant_months.plan,
    tenant_months.plan_label,
    tenant_months.account_status,
    trim_scale(tenant_months.sms_used) as sms_used,
    trim_scale(tenant_months.mms_used) as mms_used,
    trim_scale(tenant_months.voice_minutes_used) as voice_minutes_used,
    trim_scale(tenant_months.emails_sent) as emails_sent,
    trim_scale(tenant_months.ai_tokens_used) as ai_tokens_used,
    tenant_months.ai_requests,
    tenant_months.status,
    trim_scale(tenant_months.estimated_cost_cents) as estimated_cost_cents,
    trim_scale(tenant_months.openai_cost_cents) as openai_cost_cents,
    trim_scale(tenant_months.twilio_sms_cost_cents) as twilio_sms_cost_cents,
    trim_scale(tenant_months.twilio_voice_cost_cents) as twilio_voice_cost_cents,
    trim_scale(tenant_months.twilio_phone_cost_cents) as twilio_phone_cost_cents,
    trim_scale(tenant_months.sendgrid_cost_cents) as sendgrid_cost_cents,
    trim_scale(tenant_months.stripe_cost_cents) as stripe_cost_cents,
    trim_scale(tenant_months.google_places_cost_cents) as google_places_cost_cents,
    trim_scale(tenant_months.storage_cost_cents) as storage_cost_cents,
    trim_scale(tenant_months.other_cost_cents) as other_cost_cents,
    tenant_months.total_messages,
    tenant_months.total_ai_calls,
    tenant_months.ai_percent_of_spend,
    tenant_months.twilio_percent_of_spend,
    tenant_months.cost_change_percent,
    trim_scale(tenant_months.projected_cost_cents) as projected_cost_cents,
    trim_scale(tenant_months.margin_cents) as margin_cents,
    trim_scale(tenant_months.own_cost_cents) as own_cost_cents,
    trim_scale(tenant_months.shared_cost_cents) as shared_cost_cents,
    trim_scale(tenant_months.full_cost_cents) as full_cost_cents,
    trim_scale(tenant_months.full_margin_cents) as full_margin_cents,
    trim_scale(tenant_months.adjustment_cents) as adjustment_cents,
    tenant_months.unpriced_units"""

_PAGE = f"""
page as (
    select keyed.tenant_id, keyed.number_key, keyed.text_key
    from keyed
    where %(after_tenant)s::text is null
        or {_BEHIND}
        or ({_BESIDE} and keyed.tenant_id collate "C" > %(after_tenant)s::text)
    order by
        {_by_key("keyed")},
        keyed.tenant_id collate "C"
    limit %(limit)s + 1
)

select
    (
        select row_to_json(part)
        from (
            select
                coalesce(sum(parts.tenants), 0) as tenants,
                coalesce(sum(parts.active_tenants), 0) as active_tenants,
                coalesce(sum(parts.clients), 0) as clients,
                coalesce(sum(parts.active_clients), 0) as active_clients,
                trim_scale(sum(parts.clients_cost_cents)) as clients_cost_cents,
                coalesce(sum(parts.tenants) filter (where parts.status = 'warning'), 0) as warning_tenants,
                coalesce(sum(parts.tenants) filter (where parts.status = 'over_cap'), 0) as over_cap_tenants,
                trim_scale(coalesce(sum(parts.sms_used), 0)) as sms_used,
                trim_scale(coalesce(sum(parts.mms_used), 0)) as mms_used,
                trim_scale(coalesce(sum(parts.voice_minutes_used), 0)) as voice_minutes_used,
                trim_scale(coalesce(sum(parts.emails_sent), 0)) as emails_sent,
                trim_scale(coalesce(sum(parts.ai_tokens_used), 0)) as ai_tokens_used,
                coalesce(sum(parts.ai_requests), 0) as ai_requests,
                coalesce(sum(parts.total_messages), 0) as total_messages,
                coalesce(sum(parts.total_ai_calls), 0) as total_ai_calls,
                trim_scale(case when count(*) = 0 then 0 else sum(parts.estimated_cost_cents) end)
                    as estimated_cost_cents,
                trim_scale(coalesce(sum(parts.openai_cost_cents), 0)) as openai_cost_cents,
                trim_scale(coalesce(sum(parts.ai_cost_cents), 0)) as ai_cost_cents,
                trim_scale(coalesce(sum(parts.twilio_cost_cents), 0)) as twilio_cost_cents,
                trim_scale(coalesce(sum(parts.twilio_sms_cost_cents), 0)) as twilio_sms_cost_cents,
                trim_scale(coalesce(sum(parts.twilio_voice_cost_cents), 0)) as twilio_voice_cost_cents,
                trim_scale(coalesce(sum(parts.twilio_phone_cost_cents), 0)) as twilio_phone_cost_cents,
                trim_scale(coalesce(sum(parts.sendgrid_cost_cents), 0)) as sendgrid_cost_cents,
                trim_scale(coalesce(sum(parts.stripe_cost_cents), 0)) as stripe_cost_cents,
                trim_scale(coalesce(sum(parts.google_places_cost_cents), 0)) as google_places_cost_cents,
                trim_scale(coalesce(sum(parts.storage_cost_cents), 0)) as storage_cost_cents,
                trim_scale(coalesce(sum(parts.other_cost_cents), 0)) as other_cost_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(parts.projected_cost_cents) end)
                    as projected_cost_cents,
                trim_scale(sum(parts.margin_cents)) as margin_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(parts.own_cost_cents) end) as own_cost_cents,
                trim_scale(coalesce(sum(parts.shared_cost_cents), 0)) as shared_cost_cents,
                trim_scale(case when count(*) = 0 then 0 else sum(parts.full_cost_cents) end) as full_cost_cents,
                trim_scale(sum(parts.full_margin_cents)) as full_margin_cents,
                trim_scale(coalesce(sum(parts.adjustment_cents), 0)) as adjustment_cents,
                ops.sum_units(parts.unpriced_units) filter (where parts.unpriced_units <> '{{}}') as unpriced_units
            from parts
        ) as part
    ) as totals,
    (
        select coalesce(
            json_agg(
                part
                order by
                    {_by_key("part")},
                    part.tenant_id collate "C"
            ),
            '[]'
        )
        from (
            select
                {_COLUMNS},
                page.number_key,
                page.text_key
            from page
            inner join tenant_months on page.tenant_id = tenant_months.tenant_id
        ) as part
    ) as page,
    (
        select coalesce(json_agg(part order by part.tenants desc, part.name), '[]')
        from (
            select
                plans.name,
                min(plans.label) as label,
                sum(plans.tenants) as tenants
            from plans
            where plans.name is not null
            group by plans.name
        ) as part
    ) as plans
"""

_IF_KEPT = """
where exists (select 1 from ops.kept_months where kept_months.month = %(month)s)
"""

# Made of the marts, whatever is kept.
TENANT_MONTHS = f"{_MADE}{_KEYED},{_SUMMED}{_PLANS}{_PAGE}"
# No row where the month is not kept, or not of the newest good build.
KEPT_TENANT_MONTHS = f"{_KEPT}{_KEYED},{_KEPT_SUMS}{_KEPT_PLANS}{_PAGE}{_IF_KEPT}"
KEPT_TENANT_MONTHS_SEARCHED = f"{_KEPT}{_KEYED},{_SUMMED}{_KEPT_PLANS}{_PAGE}{_IF_KEPT}"

# All of the filtered set in the same order, for a file.
TENANT_MONTHS_EXPORT = (
    _MADE
    + _KEYED
    + f"""

select
    {_COLUMNS}
from keyed
inner join tenant_months on keyed.tenant_id = tenant_months.tenant_id
order by
    {_by_key("keyed")},
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

# Sorting is by one number or one text, as of tenants (above): equals stand by day, the newest first, then tenant and service.
_RECONCILED = """
with filtered as {0} (
    select
        usage_reconciliation.*,
        coalesce(tenants.name, usage_reconciliation.tenant_id) as tenant_name,
        usage_reconciliation.tracked_units * 100 / nullif(usage_reconciliation.provider_units, 0) as tracked_percent
    from marts.usage_reconciliation
    left join marts.tenants on usage_reconciliation.tenant_id = tenants.tenant_id
    where usage_reconciliation.date between %(first_day)s and %(last_day)s
        and (%(states)s::text[] is null or usage_reconciliation.state = any(%(states)s::text[]))
        and (%(tenant)s::text is null or usage_reconciliation.tenant_id = %(tenant)s::text)
        and (%(service)s::text is null or usage_reconciliation.service = %(service)s::text)
        and (
            %(search)s::text is null
            or position(lower(%(search)s::text) in lower(tenants.name)) > 0
            or position(lower(%(search)s::text) in lower(usage_reconciliation.tenant_id)) > 0
        )
),

keyed as (
    select
        filtered.*,
        case when %(descending)s then -1 else 1 end * case %(sort)s
            when 'date' then filtered.date - date '2000-01-01'
            when 'providerUnits' then filtered.provider_units
            when 'trackedUnits' then filtered.tracked_units
            when 'difference' then filtered.difference
            when 'driftPercent' then filtered.drift_percent
            when 'trackedPercent' then filtered.tracked_percent
        end as number_key,
        case %(sort)s
            when 'tenantName' then lower(filtered.tenant_name)
            when 'service' then filtered.service
            when 'state' then filtered.state
        end collate "C" as text_key
    from filtered
)
"""


def _newest_first(rows: str) -> str:
    return f"""
        {rows}.date desc,
        {rows}.tenant_id collate "C",
        {rows}.service collate "C"
"""


def _reconciled_order(rows: str) -> str:
    return f"{_by_key(rows)}, {_newest_first(rows)}"


_RECONCILED_ROW = """
    {0}.tenant_id,
    {0}.tenant_name,
    {0}.date,
    {0}.service,
    trim_scale({0}.provider_units) as provider_units,
    trim_scale({0}.tracked_units) as tracked_units,
    trim_scale({0}.difference) as difference,
    {0}.drift_percent,
    {0}.tracked_percent,
    {0}.state,
    {0}.matched_count,
    {0}.provider_only_count,
    {0}.tracked_only_count,
    {0}.misattributed_count,
    {0}.price_pending_count
"""


def _reconciliation(order: str, filtered: str) -> str:
    """Return a page in this order, with the totals of the whole filtered set by state."""
    return f"""{_RECONCILED.format(filtered)},

page as (
    select keyed.*
    from keyed
    where %(after_day)s::date is null
        or {_BEHIND}
        or (
            {_BESIDE}
            and (
                keyed.date < %(after_day)s::date
                or (
                    keyed.date = %(after_day)s::date
                    and (keyed.tenant_id collate "C", keyed.service collate "C")
                    > (%(after_tenant)s::text, %(after_service)s::text)
                )
            )
        )
    order by {order}
    limit %(limit)s + 1
)

select
    (
        select coalesce(json_object_agg(by_state.state, by_state.rows), '{{}}')
        from (
            select
                filtered.state,
                count(*) as rows
            from filtered
            group by filtered.state
        ) as by_state
    ) as totals,
    (
        select coalesce(json_agg(part order by {_reconciled_order("part")}), '[]')
        from (
            select {_RECONCILED_ROW.format("page")},
                page.number_key,
                page.text_key
            from page
        ) as part
    ) as page
"""


RECONCILIATION = _reconciliation(_reconciled_order("keyed"), "materialized")
# What is shown unless asked otherwise, in the order of an index: days that are not shown are not sorted. Not for a search, which would look
# each row's tenant up twice.
NEWEST_RECONCILIATION = _reconciliation(_newest_first("keyed"), "not materialized")

# All of the filtered set in the same order, for a file.
RECONCILIATION_EXPORT = f"""{_RECONCILED.format("not materialized")}

select {_RECONCILED_ROW.format("keyed")}
from keyed
order by {_reconciled_order("keyed")}
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

# The newest first unless sorted otherwise: by one number or one text, as tenants are (above); of equals the newest first.
_ALERTS = """
with filtered as (
    select
        alerts.*,
        coalesce(tenants.name, alerts.tenant_id) as tenant_name
    from ops.alerts
    left join marts.tenants on tenants.tenant_id = alerts.tenant_id
    where
        (%(acknowledged)s::boolean is null or alerts.acknowledged = %(acknowledged)s)
        and (%(open)s::boolean is null or (alerts.resolved_at is null) = %(open)s)
        and (%(tenant)s::text is null or alerts.tenant_id = %(tenant)s)
        and (%(alert_type)s::text is null or alerts.alert_type = %(alert_type)s)
        and (%(severity)s::text is null or alerts.severity = %(severity)s)
        and (
            %(search)s::text is null
            or position(
                lower(%(search)s::text)
                in lower(concat_ws(' ', alerts.tenant_id, tenants.name, alerts.message, alerts.subject))
            ) > 0
        )
),

keyed as (
    select
        filtered.*,
        case when %(descending)s then -1 else 1 end * case %(sort)s
            when 'createdAt' then filtered.id
            when 'severity' then array_position('{info, warning, critical}'::text[], filtered.severity)
            when 'lastSentAt' then extract(epoch from filtered.last_sent_at)
            when 'acknowledged' then filtered.acknowledged::integer
        end as number_key,
        case %(sort)s
            when 'tenantName' then lower(filtered.tenant_name)
            when 'type' then filtered.alert_type
            when 'message' then lower(filtered.message)
        end collate "C" as text_key
    from filtered
)

select
    keyed.id,
    keyed.tenant_id,
    keyed.tenant_name,
    keyed.alert_type,
    keyed.severity,
    keyed.channel,
    keyed.message,
    keyed.details,
    keyed.acknowledged,
    keyed.acknowledged_at,
    keyed.acknowledged_by,
    keyed.resolved_at,
    keyed.created_at,
    keyed.last_sent_at,
    keyed.subject,
    keyed.snoozed_until,
    keyed.notes,
    keyed.number_key,
    keyed.text_key
from keyed
"""
_ALERTS_ORDER = f"""
order by
    {_by_key("keyed")},
    keyed.id desc
"""
ALERTS = f"""{_ALERTS}
where %(after_id)s::bigint is null
    or {_BEHIND}
    or ({_BESIDE} and keyed.id < %(after_id)s)
{_ALERTS_ORDER}
limit %(limit)s + 1
"""
ALERTS_EXPORT = _ALERTS + _ALERTS_ORDER

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
                'last_sent_at', alerts.last_sent_at,
                'subject', alerts.subject,
                'snoozed_until', alerts.snoozed_until,
                'notes', alerts.notes
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

# A month by day and service, of what the newest good build has kept and of the marts where it has kept none. Both months of a comparison
# in one statement, so that they are of one snapshot.
SYSTEM_DAYS = """
with months as (
    select asked.month, kept_months.month is not null as is_kept
    from unnest(%(months)s::text[]) as asked (month)
    left join ops.kept_months on asked.month = kept_months.month
)

select kept_days.date, kept_days.service, kept_days.request_count, kept_days.cost_cents
from ops.kept_days
inner join months on kept_days.month = months.month
where months.is_kept
union all
select made.date, made.service, made.request_count, made.cost_cents
from months
cross join lateral ops.days_of_month(months.month) as made
where not months.is_kept
order by 1, 2
"""

# The days of the dearest tenants of a month, in it and in the one before.
DEAREST_TENANT_DAYS = """
with dearest as materialized (
    select tenant_monthly.tenant_id
    from marts.tenant_monthly
    where tenant_monthly.month = %(month)s
        and tenant_monthly.total_cost_cents is not null
    order by tenant_monthly.total_cost_cents desc, tenant_monthly.tenant_id collate "C"
    limit %(tenants)s
)

select
    usage_summary.date,
    usage_summary.tenant_id,
    coalesce(tenants.name, usage_summary.tenant_id) as tenant_name,
    sum(usage_summary.request_count) as request_count,
    trim_scale(sum(usage_summary.estimated_cost_cents)) as cost_cents
from dearest
inner join marts.usage_summary on dearest.tenant_id = usage_summary.tenant_id
left join marts.tenants on dearest.tenant_id = tenants.tenant_id
where usage_summary.date between %(first_day)s and %(last_day)s
group by usage_summary.date, usage_summary.tenant_id, tenants.name
order by usage_summary.date, usage_summary.tenant_id collate "C"
"""

SOURCES = f"select {_SOURCES} as sources"

# What usage of nobody's was used by: a row per resource and kind of usage, numbers in clear where they are ours.
UNATTRIBUTED = """
select
    unattributed_usage.resource_type,
    unattributed_usage.resource_id,
    own_numbers.phone_number,
    unattributed_usage.service,
    unattributed_usage.channel,
    unattributed_usage.unit,
    min(unattributed_usage.date) as first_date,
    max(unattributed_usage.date) as last_date,
    max(unattributed_usage.record_id) as record_id,
    trim_scale(sum(unattributed_usage.unit_count)) as unit_count,
    sum(unattributed_usage.request_count) as request_count,
    trim_scale(sum(unattributed_usage.estimated_cost_usd) * 100) as cost_cents,
    trim_scale(sum(unattributed_usage.unpriced_unit_count)) as unpriced_unit_count
from marts.unattributed_usage
left join ops.own_numbers
    on unattributed_usage.resource_type = 'phone_number'
    and unattributed_usage.resource_id = own_numbers.number_hash
where unattributed_usage.date between %(first_day)s and %(last_day)s
group by
    unattributed_usage.resource_type,
    unattributed_usage.resource_id,
    own_numbers.phone_number,
    unattributed_usage.service,
    unattributed_usage.channel,
    unattributed_usage.unit
order by 1, 2, 4, 5, 6
"""
