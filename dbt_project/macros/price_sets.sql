{#
  The prices of a build's lines, and their place: a line names its set of prices, so both are replaced in the one transaction of usage_lines,
  or who reads in between would see lines without prices, and a build that fails there would leave them so.
#}

{# The rows of price_sets in the window, of a price book and the priced lines. #}
{% macro price_sets_of_window(price_book, lines) -%}
with price_book as (
    select * from {{ price_book }}
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
    from {{ lines }}
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
{%- endmacro %}

{# Post-hook of usage_lines: replaces the window's price sets. Of a database that has none yet, price_sets itself makes them a moment later. #}
{% macro replace_price_sets() %}
    {%- set price_sets = this.incorporate(path={'identifier': 'price_sets'}) -%}
    {% if execute and load_cached_relation(price_sets) is not none %}
        {%- set open_days = and_open('date', 'day') -%}
        {%- set columns = 'date, service, operation, model, plan, tier, price_version, prices, updated_at' -%}
        delete from {{ price_sets }} where {{ in_window('date', 'day') }} {{ open_days }};
        insert into {{ price_sets }} ({{ columns }})
        select {{ columns }}
        from ({{ price_sets_of_window(ref('price_book'), ref('int_usage_lines_estimated')) }}) as made
        where true {{ open_days }}
    {% else %}
        select 1
    {% endif %}
{% endmacro %}
