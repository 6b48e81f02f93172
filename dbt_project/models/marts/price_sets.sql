-- Grain: date × service × the name of a price set (operation, model, plan, tier): the prices that the day's lines were computed with, and the
-- version of the price book that they stood in. Kept, whatever happens to the book later. Not additive.
{{ config(
    window='day',
    pre_hook=[
        "{{ build_together_with(['int_usage_lines_estimated']) }}",
        "{{ new_key_column('tier', ['date', 'service', 'operation', 'model', 'plan', 'tier']) }}"
    ],
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['date']}]
) }}

with price_book as (
    select * from {{ ref('price_book') }}
),

-- Once, not for each day: it is a digest of the whole book.
book as materialized (
    select {{ price_book_version() }} as version
    from price_book
),

used as (
    select distinct
        usage_date,
        service,
        price_operation,
        price_model,
        price_plan,
        coalesce(price_tier, '') as price_tier
    from {{ ref('int_usage_lines_estimated') }}
    where
        {{ in_window('usage_date', 'day') }}
        and price_plan is not null
),

-- Of two rows of a component that overlap (a test fails then), the newer: as int_usage_lines_estimated takes them.
price_rows as (
    select distinct on (used.usage_date, used.service, used.price_operation, used.price_model, used.price_plan, used.price_tier, price_book.component)
        used.*,
        price_book.component,
        jsonb_build_object(
            'price_id', {{ price_id('price_book') }},
            'component', price_book.component,
            'unit_price_usd', trim_scale(price_book.unit_price_usd)::text,
            'per', trim_scale(price_book.per)::text,
            'effective_from', price_book.effective_from,
            'effective_to', price_book.effective_to,
            'source', price_book.source
        ) as price
    from used
    inner join price_book
        on
            used.service = price_book.service
            and used.price_operation = coalesce(price_book.operation, '')
            and used.price_model = coalesce(price_book.model, '')
            and used.price_plan = coalesce(price_book.plan, '')
            and used.price_tier = coalesce(price_book.tier, '')
            and coalesce(price_book.effective_from, '-infinity') <= used.usage_date
            and coalesce(price_book.effective_to, 'infinity') > used.usage_date
    order by
        used.usage_date asc,
        used.service asc,
        used.price_operation asc,
        used.price_model asc,
        used.price_plan asc,
        used.price_tier asc,
        price_book.component asc,
        coalesce(price_book.effective_from, '-infinity') desc,
        price_book.unit_price_usd desc
),

final as (
    select
        price_rows.usage_date::date as date,
        price_rows.service::text as service,
        price_rows.price_operation::text as operation,
        price_rows.price_model::text as model,
        price_rows.price_plan::text as plan,
        price_rows.price_tier::text as tier,
        min(book.version)::text as price_version,
        jsonb_agg(price_rows.price order by price_rows.component)::jsonb as prices,
        {{ built_at() }} as updated_at
    from price_rows
    cross join book
    group by price_rows.usage_date, price_rows.service, price_rows.price_operation, price_rows.price_model, price_rows.price_plan, price_rows.price_tier
)

select * from final
