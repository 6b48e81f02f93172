-- Grain: date × usage line × raw record: which records a line is made of. Additive: everything, and a line's sum is the line's, but of a residual
-- (the provider's rows, from which what was tracked is subtracted).
-- A view: records are many, explanations few. It reads what the last build settled (int_settled_records), and costs a build nothing.
{{ config(
    materialized='view',
    contract={'enforced': false},
    post_hook="{{ protect_view() }}"
) }}

with lines as (
    select * from {{ ref('usage_lines') }}
    where {{ visible_to_caller('tenant_id') }}
),

records as (
    select
        settled.*,
        coalesce(cardinality(settled.record_keys), 1) as record_count
    from {{ ref('int_settled_records') }} as settled
    where settled.is_counted
),

-- Records that are priced by themselves.
own_records as (
    select
        lines.tenant_id,
        lines.date,
        lines.line_id,
        case
            when not records.has_record then 'raw.usage_events'
            else {{ raw_table_of('records.service', 'records.channel') }}
        end as raw_table,
        record.record_id,
        records.attribution,
        records.event_count,
        -- Records that are alike are one row: each has its share.
        (records.unit_count / records.record_count)::numeric(38, 18) as unit_count,
        records.request_count / records.record_count as request_count,
        records.input_tokens,
        records.cached_input_tokens,
        records.cache_write_tokens,
        records.cache_write_1h_tokens,
        records.output_tokens,
        (records.billed_cost_usd / records.record_count)::numeric(38, 18) as billed_cost_usd
    from lines
    inner join records
        on
            lines.date = records.usage_date
            and lines.tenant_id = records.tenant_id
            and lines.channel = records.channel
            and lines.service = records.service
            and lines.operation = records.operation
            and lines.direction = records.direction
            and lines.source = records.source
            and lines.model = records.model
            and lines.tier = records.tier
            and lines.feature = records.feature
            and lines.activity = records.activity
            and lines.unconverted_currency = records.unconverted_currency
            and lines.evidence = case when records.has_record then 'provider' else 'tracked' end
    cross join lateral unnest(coalesce(records.record_keys, array[records.record_key])) as record (record_id)
    where lines.basis is null
),

-- Events of a service whose provider keeps sums: those that the match put into the line.
members as (
    select
        lines.tenant_id,
        lines.date,
        lines.line_id,
        lines.service,
        lines.operation,
        lines.channel,
        lines.source,
        lines.feature,
        lines.activity,
        member.tenant,
        member.attribution,
        member.model,
        coalesce(member.tier, '') as tier,
        member.resource
    from lines
    cross join lateral jsonb_path_query(lines.basis, '$.members[*][*]') as found (entry)
    cross join lateral jsonb_to_record(found.entry) as member (tenant text, attribution text, model text, tier text, resource text)
    where lines.basis ? 'members'
),

tracked_records as (
    select
        members.tenant_id,
        members.date,
        members.line_id,
        'raw.usage_events' as raw_table,
        records.record_key as record_id,
        records.attribution,
        records.event_count,
        records.unit_count,
        records.request_count,
        records.input_tokens,
        records.cached_input_tokens,
        records.cache_write_tokens,
        records.cache_write_1h_tokens,
        records.output_tokens,
        records.billed_cost_usd
    from members
    inner join records
        on
            members.date = records.usage_date
            and members.service = records.service
            and members.operation = records.operation
            and members.channel = records.channel
            and members.source = records.source
            and members.feature = records.feature
            and members.activity = records.activity
            and members.tenant = records.tenant_id
            and members.attribution = records.attribution
            and members.model = records.model
            and members.tier = records.tier
            and members.resource = records.resource_id
),

provider_rows as (
    select
        lines.tenant_id,
        lines.date,
        lines.line_id,
        provider_row.raw_table,
        provider_row.record_id,
        provider_row.attribution,
        0::bigint as event_count,
        provider_row.unit_count,
        provider_row.request_count,
        provider_row.input_tokens,
        provider_row.cached_input_tokens,
        -- Rows kept before it was read have none.
        coalesce(provider_row.cache_write_tokens, 0),
        coalesce(provider_row.cache_write_1h_tokens, 0),
        provider_row.output_tokens,
        null::numeric(38, 18) as billed_cost_usd
    from lines
    cross join
        lateral jsonb_to_recordset(lines.basis -> 'rows')
            as provider_row (
                raw_table text,
                record_id text,
                attribution text,
                unit_count numeric(38, 18),
                request_count bigint,
                input_tokens bigint,
                cached_input_tokens bigint,
                cache_write_tokens bigint,
                cache_write_1h_tokens bigint,
                output_tokens bigint
            )
    where lines.basis ? 'rows'
),

final as (
    select * from own_records
    union all
    select * from tracked_records
    union all
    select * from provider_rows
)

select * from final
