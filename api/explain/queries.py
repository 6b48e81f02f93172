"""SQL of the explanations: one statement, so that figures, lines and records are of one snapshot."""

from api.kit.queries import CELL, CELL_COSTS

# A cost that is null sorts last, below any that numeric(38,18) can hold.
_SORT_KEY = "coalesce(usage_lines.estimated_cost_usd, -1e21)"

_RECORD = """
    json_build_object(
        'table', numbered.raw_table,
        'id', numbered.record_id,
        'attribution', numbered.attribution,
        'event_count', numbered.event_count,
        'unit_count', trim_scale(numbered.unit_count),
        'request_count', numbered.request_count,
        'input_tokens', numbered.input_tokens,
        'cached_input_tokens', numbered.cached_input_tokens,
        'cache_write_tokens', numbered.cache_write_tokens,
        'cache_write_1h_tokens', numbered.cache_write_1h_tokens,
        'output_tokens', numbered.output_tokens,
        'billed_cost_cents', trim_scale(numbered.billed_cost_usd * 100)
    )
"""

# One line more than is shown tells whether there is a next page; of records likewise.
EXPLANATION = f"""
with page as materialized (
    select
        usage_lines.*,
        {_SORT_KEY} as sort_key
    from marts.usage_lines
    where usage_lines.tenant_id = %(tenant_id)s
        and usage_lines.date = %(day)s
        and (%(channel)s::text is null or usage_lines.channel = %(channel)s)
        and (%(line)s::text is null or usage_lines.line_id = %(line)s)
        and (
            %(after_cost)s::numeric is null
            or {_SORT_KEY} < %(after_cost)s
            or ({_SORT_KEY} = %(after_cost)s and usage_lines.line_id > %(after_line)s)
        )
    order by {_SORT_KEY} desc, usage_lines.line_id
    limit %(limit)s + 1
),

numbered as materialized (
    select
        records.*,
        (records.raw_table, records.record_id) > (%(after_table)s::text, %(after_record)s::text) as is_after,
        count(*) filter (where (records.raw_table, records.record_id) > (%(after_table)s::text, %(after_record)s::text))
            over (partition by records.line_id order by records.raw_table, records.record_id) as place
    from marts.usage_line_records as records
    where records.tenant_id = %(tenant_id)s
        and records.date = %(day)s
        and records.line_id in (select page.line_id from page)
),

rules as (
    select
        counted.line_id,
        sum(counted.record_count) as total,
        json_agg(
            json_build_object('rule', counted.attribution, 'record_count', counted.record_count)
            order by counted.record_count desc, counted.attribution
        ) as rules
    from (
        select
            numbered.line_id,
            numbered.attribution,
            count(*) as record_count
        from numbered
        group by numbered.line_id, numbered.attribution
    ) as counted
    group by counted.line_id
),

shown as (
    select
        numbered.line_id,
        json_agg({_RECORD} order by numbered.raw_table, numbered.record_id) as records
    from numbered
    where numbered.is_after
        and numbered.place <= %(records)s + 1
    group by numbered.line_id
)

select
    tenants.tenant_id,
    (
        select coalesce(json_agg(part), '[]')
        from (
            select
                {CELL},
                {CELL_COSTS},
                usage_summary.is_final
            from marts.usage_summary
            where usage_summary.tenant_id = %(tenant_id)s
                and usage_summary.date = %(day)s
                and (%(channel)s::text is null or usage_summary.channel = %(channel)s)
        ) as part
    ) as channels,
    (
        select coalesce(json_agg(part order by part.recorded_at, part.id), '[]')
        from (
            select
                booked.id,
                booked.channel,
                booked.reason,
                booked.booked_month,
                booked.recorded_at,
                trim_scale(booked.unit_count) as unit_count,
                trim_scale(booked.unpriced_unit_count) as unpriced_unit_count,
                booked.unpriced_units,
                trim_scale(booked.cost_usd * 100) as cost_cents,
                trim_scale(booked.charged_cost_usd * 100) as charged_cost_cents
            from ops.booked_adjustments as booked
            where booked.tenant_id = %(tenant_id)s
                and booked.date = %(day)s
                and (%(channel)s::text is null or booked.channel = %(channel)s)
        ) as part
    ) as adjustments,
    (
        select coalesce(json_agg(part order by part.sort_key desc, part.line_id), '[]')
        from (
            select
                page.line_id,
                page.sort_key,
                page.channel,
                page.service,
                page.operation,
                page.direction,
                page.source,
                page.feature,
                page.activity,
                page.model,
                page.tier,
                page.evidence,
                page.plan,
                page.unit,
                trim_scale(page.unit_count)::text as unit_count,
                page.request_count,
                page.input_tokens,
                page.cached_input_tokens,
                page.cache_write_tokens,
                page.cache_write_1h_tokens,
                page.output_tokens,
                trim_scale(page.amount_usd)::text as amount_usd,
                page.unconverted_currency,
                trim_scale(page.estimated_cost_usd * 100) as estimated_cost_cents,
                trim_scale(page.billed_cost_usd * 100) as billed_cost_cents,
                page.basis -> 'is_exact' as is_exact,
                coalesce((page.basis ->> 'long_context_unknown')::boolean, false) as long_context_unknown,
                page.basis -> 'provider' as provider,
                page.basis -> 'tracked' as tracked,
                page.price_operation,
                page.price_model,
                page.price_plan,
                page.price_tier,
                price_sets.price_version,
                price_sets.prices,
                coalesce(rules.total, 0) as record_total,
                coalesce(rules.rules, '[]') as rules,
                coalesce(shown.records, '[]') as records
            from page
            left join marts.price_sets
                on page.date = price_sets.date
                and page.service = price_sets.service
                and page.price_operation = price_sets.operation
                and page.price_model = price_sets.model
                and page.price_plan = price_sets.plan
                and coalesce(page.price_tier, '') = price_sets.tier
            left join rules on page.line_id = rules.line_id
            left join shown on page.line_id = shown.line_id
        ) as part
    ) as lines
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""
