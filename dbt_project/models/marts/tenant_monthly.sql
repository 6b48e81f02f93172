-- Grain: tenant × month, every month from the tenant's first usage to the as-of month. Additive over tenants (not the percents).
-- Computed whole: that a month exists depends on the tenant's first usage, which may lie outside the window. It reads
-- usage_monthly (tenant × month × channel), days of the as-of month and the one before, and AI's days for what is not OpenAI's.
-- Rows of closed months stay; what changes about them since is adjustment_cents of the month that it is booked in.
{{ config(
    window='all',
    kept_by=['tenant_id', 'month'],
    pre_hook="{{ new_columns({'adjustment_cents': ['numeric(38,18)', '0'], 'unpriced_units': ['jsonb', none]}, computed={'month_start': ['date', month_start()]}) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['month']}]
) }}

with ai_services as (
    -- Months with tokens of other servers than OpenAI's own.
    select
        tenant_id,
        to_char(date, 'YYYY-MM') as month,
        count(*) filter (where service = 'openai') > 0 as has_openai,
        sum(estimated_cost_usd) filter (where service = 'openai') * 100 as openai_cost_cents,
        sum(estimated_cost_usd) filter (where service <> 'openai') * 100 as elsewhere_cost_cents
    from {{ ref('usage_daily') }}
    where channel = 'ai'
    group by tenant_id, to_char(date, 'YYYY-MM')
    having count(*) filter (where service <> 'openai') > 0
),

-- By channel, but for what of AI is not OpenAI's: that is a row of its own, without counts where there are both.
monthly as (
    select
        of_channel.tenant_id,
        of_channel.month,
        of_channel.channel,
        of_channel.unit_count,
        of_channel.request_count,
        {{ kinds_of('of_channel') }} as unpriced_units,
        case when ai_services.has_openai then ai_services.openai_cost_cents else of_channel.estimated_cost_cents end as estimated_cost_cents
    from {{ ref('usage_monthly') }} as of_channel
    left join ai_services
        on
            of_channel.tenant_id = ai_services.tenant_id
            and of_channel.month = ai_services.month
            and of_channel.channel = 'ai'
    where
        of_channel.month <= to_char({{ as_of_date() }}, 'YYYY-MM')
        and coalesce(ai_services.has_openai, true)
    union all
    select
        of_channel.tenant_id,
        of_channel.month,
        'ai elsewhere' as channel,
        case when ai_services.has_openai then 0 else of_channel.unit_count end as unit_count,
        case when ai_services.has_openai then 0 else of_channel.request_count end as request_count,
        case when ai_services.has_openai then '{}' else {{ kinds_of('of_channel') }} end as unpriced_units,
        ai_services.elsewhere_cost_cents as estimated_cost_cents
    from {{ ref('usage_monthly') }} as of_channel
    inner join ai_services
        on
            of_channel.tenant_id = ai_services.tenant_id
            and of_channel.month = ai_services.month
    where
        of_channel.month <= to_char({{ as_of_date() }}, 'YYYY-MM')
        and of_channel.channel = 'ai'
),

-- Days of the as-of month, and as many of the month before as are complete.
summary as (
    select * from {{ ref('usage_summary') }}
    where
        (
            date >= date_trunc('month', {{ as_of_date() }}::timestamp)::date
            and date <= {{ as_of_date() }}
        )
        or (
            date >= (date_trunc('month', {{ as_of_date() }}::timestamp) - interval '1 month')::date
            and date < (date_trunc('month', {{ as_of_date() }}::timestamp) - interval '1 month')::date
            + ({{ as_of_date() }} - date_trunc('month', {{ as_of_date() }}::timestamp)::date)
        )
),

versions as (
    select * from {{ ref('stg_directory__tenants') }}
),

plans as (
    select * from {{ ref('plans') }}
),

usage_status as (
    select * from {{ ref('tenant_usage_status') }}
),

adjustments as (
    select
        tenant_id,
        booked_month as month,
        sum(cost_usd) * 100 as adjustment_cents
    from {{ ref('stg_ops__cost_adjustments') }}
    group by tenant_id, booked_month
),

calendar as (
    select
        {{ as_of_date() }} as today,
        to_char({{ as_of_date() }}, 'YYYY-MM') as this_month,
        date_trunc('month', {{ as_of_date() }}::timestamp)::date as month_start,
        (date_trunc('month', {{ as_of_date() }}::timestamp) - interval '1 month')::date as previous_month_start,
        {{ as_of_date() }} - date_trunc('month', {{ as_of_date() }}::timestamp)::date as complete_days,
        {{ days_of_month(as_of_date()) }}::int as days_of_month
),

tenant_months as (
    select
        first_usage.tenant_id,
        month_start::date as month_start,
        to_char(month_start, 'YYYY-MM') as month
    from (
        select
            tenant_id,
            min(month) as first_month
        from (
            select
                tenant_id,
                month
            from monthly
            union all
            -- All that is known of a tenant may be what a closed month should have said of it.
            select
                tenant_id,
                month
            from adjustments
            where month <= to_char({{ as_of_date() }}, 'YYYY-MM')
        ) as mentioned
        group by tenant_id
    ) as first_usage
    cross join generate_series(
        to_date(first_usage.first_month, 'YYYY-MM')::timestamp,
        date_trunc('month', {{ as_of_date() }}::timestamp),
        interval '1 month'
    ) as month_start
),

-- Nothing used costs nothing; something used without any price is not known (null).
costs as (
    select
        tenant_months.tenant_id,
        tenant_months.month,
        tenant_months.month_start,
        -- What has no column of its own is in the last.
        {% for column in monthly_costs() + ['other'] -%}
            {% set channels = monthly_channels(monthly_costs() if column == 'other' else [column]) -%}
            {% set is_its = 'monthly.channel ' ~ ('not in' if column == 'other' else 'in') ~ ' (' ~ channels ~ ')' -%}
            case
                when count(*) filter (where {{ is_its }}) = 0 then 0
                else sum(monthly.estimated_cost_cents) filter (where {{ is_its }})
            end as {{ column }}_cost_cents,
        {% endfor %}
        case when count(monthly.channel) = 0 then 0 else sum(monthly.estimated_cost_cents) end as total_cost_cents,
        coalesce(sum(monthly.request_count) filter (where monthly.channel in ({{ monthly_channels(['twilio_sms']) }})), 0) as total_messages,
        coalesce(sum(monthly.request_count) filter (where monthly.channel in ('ai', 'ai elsewhere')), 0) as total_ai_calls,
        coalesce(sum(monthly.unit_count) filter (where monthly.channel = 'voice'), 0) as total_voice_minutes,
        coalesce(sum(monthly.unit_count) filter (where monthly.channel = 'email'), 0) as total_emails,
        {{ sum_kinds('monthly.unpriced_units') }} as unpriced_units
    from tenant_months
    left join monthly
        on
            tenant_months.tenant_id = monthly.tenant_id
            and tenant_months.month = monthly.month
    group by tenant_months.tenant_id, tenant_months.month, tenant_months.month_start
),

-- The as-of month has only so many complete days; they are compared with as many of the month before.
parts as (
    select
        summary.tenant_id,
        summary.estimated_cost_cents,
        case
            when summary.date = calendar.today then 'today'
            when summary.date >= calendar.month_start then 'this_month'
            when summary.date < calendar.previous_month_start + calendar.complete_days then 'previous_month'
        end as part
    from summary
    cross join calendar
),

complete_days as (
    select
        tenant_id,
    {% for part in ['this_month', 'today', 'previous_month'] -%}
        case
            when count(*) filter (where part = '{{ part }}') = 0 then 0
            else sum(estimated_cost_cents) filter (where part = '{{ part }}')
        end as {{ part }}_cents{{ ',' if not loop.last }}
    {% endfor -%}
    from parts
    group by tenant_id
),

placed as (
    select
        costs.*,
        costs.month = calendar.this_month as is_open,
        calendar.complete_days,
        calendar.days_of_month,
        case when complete_days.tenant_id is null then 0 else complete_days.this_month_cents end as complete_cents,
        case when complete_days.tenant_id is null then 0 else complete_days.today_cents end as today_cents,
        case when complete_days.tenant_id is null then 0 else complete_days.previous_month_cents end as previous_complete_cents,
        coalesce(previous.total_cost_cents, case when previous.month is null then 0 end) as previous_cents
    from costs
    cross join calendar
    left join costs as previous
        on
            costs.tenant_id = previous.tenant_id
            and previous.month_start = (costs.month_start - interval '1 month')::date
    left join complete_days
        on costs.tenant_id = complete_days.tenant_id
),

compared as (
    select
        placed.*,
        case when is_open then complete_cents else total_cost_cents end as compared_cents,
        case when is_open then previous_complete_cents else previous_cents end as base_cents
    from placed
),

worst_status as (
    select
        tenant_id,
        month,
        ops.status_of(max(ops.severity(status))) as status
    from usage_status
    group by tenant_id, month
),

final as (
    select
        compared.tenant_id::text as tenant_id,
        compared.month::text as month,
        {{ month_start('compared.month') }} as month_start,
        compared.openai_cost_cents::numeric(38, 18) as openai_cost_cents,
        compared.twilio_sms_cost_cents::numeric(38, 18) as twilio_sms_cost_cents,
        compared.twilio_voice_cost_cents::numeric(38, 18) as twilio_voice_cost_cents,
        compared.twilio_phone_cost_cents::numeric(38, 18) as twilio_phone_cost_cents,
        compared.sendgrid_cost_cents::numeric(38, 18) as sendgrid_cost_cents,
        compared.stripe_cost_cents::numeric(38, 18) as stripe_cost_cents,
        compared.google_places_cost_cents::numeric(38, 18) as google_places_cost_cents,
        compared.storage_cost_cents::numeric(38, 18) as storage_cost_cents,
        compared.other_cost_cents::numeric(38, 18) as other_cost_cents,
        compared.total_cost_cents::numeric(38, 18) as total_cost_cents,
        compared.total_messages::bigint as total_messages,
        compared.total_ai_calls::bigint as total_ai_calls,
        compared.total_voice_minutes::numeric(38, 18) as total_voice_minutes,
        compared.total_emails::bigint as total_emails,
        compared.previous_cents::numeric(38, 18) as previous_month_cost_cents,
        ({{ percent_of('compared.compared_cents - compared.base_cents', 'compared.base_cents') }})::numeric(38, 18) as cost_change_percent,
        case
            when not compared.is_open or compared.total_cost_cents is null then compared.total_cost_cents
            when compared.complete_days = 0 then greatest(compared.today_cents * compared.days_of_month, compared.total_cost_cents)
            else greatest(compared.complete_cents * compared.days_of_month / compared.complete_days, compared.total_cost_cents)
        end::numeric(38, 18) as projected_cost_cents,
        (plans.monthly_base_price_usd * 100 - compared.total_cost_cents)::numeric(38, 18) as margin_cents,
        coalesce(adjustments.adjustment_cents, 0)::numeric(38, 18) as adjustment_cents,
        coalesce(worst_status.status, 'ok')::text as usage_status,
        -- Channels' units have no sum: null where there are several kinds.
        ops.only_quantity(compared.unpriced_units)::numeric(38, 18) as unpriced_unit_count,
        compared.unpriced_units::jsonb as unpriced_units,
        {{ built_at() }} as updated_at
    from compared
    left join versions
        on
            compared.tenant_id = versions.tenant_id
            and {{ is_in_force_on('versions', plan_day('compared.month_start')) }}
    left join plans
        on versions.plan = plans.plan
    left join worst_status
        on
            compared.tenant_id = worst_status.tenant_id
            and compared.month = worst_status.month
    left join adjustments
        on
            compared.tenant_id = adjustments.tenant_id
            and compared.month = adjustments.month
)

select * from final
