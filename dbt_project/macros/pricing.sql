{# How many days a unit price is for: a number's of the days that its month has, a GB-month's always of 30. #}
{% macro price_days(channel, day) -%}
    case {{ channel }}
        {%- for meter in meters() | unique(attribute='channel') if meter.price_days != '1' %}
        when '{{ meter.channel }}' then {{ days_of_month(day) if meter.price_days == 'month' else meter.price_days }}
        {%- endfor %}
        else 1
    end::numeric
{%- endmacro %}

{% macro days_of_month(day) -%}
    extract(day from date_trunc('month', {{ day }}::timestamp) + interval '1 month' - interval '1 day')
{%- endmacro %}

{# What a quantity costs by a price for `per` units (of `days` days). Multiply first, divide last: no digit is lost before the one cast at the end. #}
{% macro price_of(quantity, price, per, days=none) -%}
    {{ quantity }} * {{ price }} / {% if days is none %}{{ per }}{% else %}({{ per }} * {{ days }}){% endif %}
{%- endmacro %}

{# A percentage to 18 decimals, rounded once. PostgreSQL's quotient has 20 decimals below 1, and a cast to numeric(38, 18) would round what is
   rounded: 1 of 274 is 0.364963503649635036|496…, and became …037. Null where the whole is null or 0. #}
{% macro percent_of(part, whole) -%}
    sign(({{ part }}) * ({{ whole }})) * div(abs({{ part }}) * 2e20 + abs({{ whole }}), nullif(abs({{ whole }}), 0) * 2) * 1e-18
{%- endmacro %}

{# Does a line item of a provider's costs name the tool that the operation is the use of? #}
{% macro is_item_of(line_item, operation) -%}
    (
        ({{ operation }} = 'web_search_call' and {{ line_item }} ilike '%web%search%')
        or ({{ operation }} = 'file_search_call' and {{ line_item }} ilike '%file%search%' and {{ line_item }} not ilike '%storage%')
        or ({{ operation }} = 'code_interpreter_session' and {{ line_item }} ilike '%code%interpreter%')
        or ({{ operation }} = 'vector_store' and ({{ line_item }} ilike '%vector%' or {{ line_item }} ilike '%file%search%storage%'))
    )
{%- endmacro %}

{#
  Does `name` continue `base` only with a snapshot suffix? gpt-4o-mini-2024-07-18 is a snapshot of gpt-4o-mini, claude-haiku-4-5-20251001
  of claude-haiku-4-5; gpt-5-nano is none of gpt-5.
#}
{% macro is_snapshot_of(name, base) -%}
    (
        {{ base }} <> ''
        and starts_with({{ name }}, {{ base }})
        and substr({{ name }}, length({{ base }}) + 1) ~ '^(-[0-9]{4}-[0-9]{2}-[0-9]{2}|-[0-9]{4}|-[0-9]{8}|-latest|-preview.*)$'
    )
{%- endmacro %}


{#
  The rule of prices, which every estimate and the cap's live usage go by. A price book's rows here have '' for "any" and a beginning
  and an end; `needed` is what is priced: its service, operation, model and tier, on the days for which `condition` holds.
#}

{# Input tokens above which a call is a long one: where its model has prices for those, the whole call costs them. Null: none is. #}
{% macro long_context_from(service, model) -%}
    case
        {%- for meter in meters() | unique(attribute='service') %}
        {%- for limit in meter.long_context_from %}
        {%- set name, _, tokens = limit.rpartition(':') %}
        when {{ service }} = '{{ meter.service }}'{% if name %} and starts_with({{ model }}, '{{ name }}'){% endif %} then {{ tokens }}
        {%- endfor %}
        {%- endfor %}
    end
{%- endmacro %}

{# The tier of long calls that were processed as `processing` says. #}
{% macro long_tier(processing) -%} concat_ws('_', nullif({{ processing }}, ''), 'long_context') {%- endmacro %}

{#
  The tier of a call that was processed as `processing` says: a long one's is `long_context`, `batch_long_context`, …, for which a book
  may have prices.
#}
{% macro tier_of_call(processing, input_tokens, service, model) -%}
    case
        when {{ input_tokens }} > {{ long_context_from(service, model) }} then {{ long_tier(processing) }}
        else {{ processing }}
    end
{%- endmacro %}

{# Do a provider's sums of a service tell long calls from others? Then their tier is a call's. #}
{% macro tells_long_calls(service) -%}
    {{ service }} in ({{ quoted(meters() | selectattr('sums_tell_long_calls') | map(attribute='service')) }})
{%- endmacro %}

{# How the calls of a tier were processed, long or not: batch, flex, priority, '' (standard). Most providers' sums know no more. #}
{% macro processing_of(tier) -%}
    regexp_replace({{ tier }}, '_?long_context$', '')
{%- endmacro %}

{# A service tier's one name, as ingestion gives it: the standard one has none. #}
{% macro tier_name(said) -%}
    case lower(coalesce({{ said }}, ''))
        when 'auto' then ''
        when 'default' then ''
        when 'standard' then ''
        when 'fast' then 'priority'
        else lower(coalesce({{ said }}, ''))
    end
{%- endmacro %}

{# What a price may be made of. #}
{% macro priced_components() -%}
    {{ return(['unit', 'fixed', 'percentage', 'input', 'cached_input', 'cache_write', 'cache_write_1h', 'output']) }}
{%- endmacro %}

{# What a price depends on: the columns of what is to be priced. #}
{% macro priced_by() -%}
    {{ return(['usage_date', 'service', 'operation', 'model', 'tier', 'plan']) }}
{%- endmacro %}

{# The rows of the seed, as what follows reads them. #}
{% macro price_book_rows(price_book) -%}
    select
        service,
        coalesce(operation, '') as operation,
        coalesce(model, '') as model,
        coalesce(plan, '') as plan,
        coalesce(tier, '') as tier,
        component,
        unit_price_usd,
        per,
        coalesce(effective_from, '-infinity'::date) as effective_from,
        coalesce(effective_to, 'infinity'::date) as effective_to
    from {{ price_book }}
{%- endmacro %}

{# The columns by which a set of prices is named. #}
{% macro price_set_name() -%}
    {{ return(['operation', 'model', 'plan', 'tier']) }}
{%- endmacro %}

{# One set of prices is chosen by its name, and all components come from it: a query of one row, or none. #}
{% macro chosen_price_set(needed, plan, book, condition) -%}
    select
        {%- for column in price_set_name() %}
        candidate.{{ column }} as set_{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ book }} as candidate
    where
        candidate.service = {{ needed }}.service
        and {{ condition }}
        and candidate.plan in ('', {{ plan }})
        -- What holds for a tier before what holds for any; a long call takes its own price, else its processing's, else a long call's.
        and candidate.tier in (
            '', {{ needed }}.tier, {{ processing_of(needed ~ '.tier') }}, substring({{ needed }}.tier from 'long_context$')
        )
        and candidate.operation in ('', {{ needed }}.operation)
        and (
            candidate.model in ('', {{ needed }}.model)
            or {{ is_snapshot_of(needed ~ '.model', 'candidate.model') }}
        )
    order by
        candidate.plan <> '' desc,
        candidate.tier <> '' desc,
        candidate.tier = {{ needed }}.tier desc,
        candidate.tier = {{ processing_of(needed ~ '.tier') }} desc,
        candidate.model <> '' and candidate.model = {{ needed }}.model desc,
        length(candidate.model) desc,
        candidate.operation <> '' desc
    limit 1
{%- endmacro %}

{# The rows of `component` that belong to the chosen set. #}
{% macro is_of_price_set(needed) -%}
    component.service = {{ needed }}.service
    {%- for column in price_set_name() %}
    and component.{{ column }} = price_set.set_{{ column }}
    {%- endfor %}
{%- endmacro %}

{#
  Joins of `needed` (with its `plan` and `usage_date`) to `price_set`, the name of what was chosen, and `components`, its prices:
  <component>_price and <component>_per. What has no set is left out.
#}
{% macro join_prices(needed, book) -%}
    inner join lateral (
        {{ chosen_price_set(needed, needed ~ '.plan', book, is_in_effect_on('candidate', needed)) }}
    ) as price_set on true
    -- Where two rows of a component overlap (a test fails then), the newer one holds.
    inner join lateral (
        select
            {%- for name in priced_components() %}
            {%- for column, value in [(name ~ '_price', 'unit_price_usd'), (name ~ '_per', 'per')] %}
            (
                array_agg(component.{{ value }} order by component.effective_from desc, component.unit_price_usd desc)
                filter (where component.component = '{{ name }}')
            )[1] as {{ column }}{{ ',' if not loop.last }}
            {%- endfor %}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ book }} as component
        where
            {{ is_of_price_set(needed) }}
            and {{ is_in_effect_on('component', needed) }}
    ) as components on true
{%- endmacro %}

{#
  A query of `lines`, each with its prices by `book` (null where it has none): <component>_price and <component>_per, the set's name
  (set_operation, …), and has_long_price, whether a long call of its kind has prices of its own.
#}
{% macro priced_lines(lines, book) -%}
    -- What a price depends on; many lines share it, and it is looked up once.
    with needed as (
        select distinct {{ priced_by() | join(', ') }}
        from {{ lines }}
    ),

    prices as (
        select
            needed.*,
            price_set.*,
            components.*,
            exists(
                select 1
                from {{ book }} as longer
                where
                    longer.service = needed.service
                    and longer.operation = price_set.set_operation
                    and longer.model = price_set.set_model
                    and longer.tier = {{ long_tier('price_set.set_tier') }}
                    and {{ is_in_effect_on('longer', 'needed') }}
            ) as has_long_price
        from needed
        {{ join_prices('needed', book) }}
    )

    select
        {{ lines }}.*,
        {%- for column in price_set_name() %}
        prices.set_{{ column }},
        {%- endfor %}
        {%- for name in priced_components() %}
        prices.{{ name }}_price,
        prices.{{ name }}_per,
        {%- endfor %}
        prices.has_long_price
    from {{ lines }}
    left join prices
        on
            {%- for column in priced_by() %}
            {{ 'and ' if not loop.first }}{{ lines }}.{{ column }} = prices.{{ column }}
            {%- endfor %}
{%- endmacro %}

{% macro is_in_effect_on(price, needed) -%}
    {{ price }}.effective_from <= {{ needed }}.usage_date and {{ price }}.effective_to > {{ needed }}.usage_date
{%- endmacro %}

{#
  What a line costs in USD by the prices that `join_prices` found, which stand among its own columns. Null where a price that it needs
  is not known.
#}
{% macro estimated_cost() -%}
    -- A price is needed only where there is something to price (a residual may be less than nothing).
    (
        case
            when service in ({{ token_services() }}) and coalesce(unit, 'tokens') = 'tokens'
                then
                    case
                        when input_tokens <> cached_input_tokens + cache_write_tokens + cache_write_1h_tokens
                            then {{ price_of('(input_tokens - cached_input_tokens - cache_write_tokens - cache_write_1h_tokens)', 'input_price', 'input_per') }}
                        else 0
                    end
                    {%- for part in ['cached_input', 'cache_write', 'cache_write_1h'] %}
                    + case
                        when {{ part }}_tokens <> 0 and {{ part }}_price is not null then {{ price_of(part ~ '_tokens', part ~ '_price', part ~ '_per') }}
                        when {{ part }}_tokens <> 0 then {{ price_of(part ~ '_tokens', 'input_price', 'input_per') }}
                        else 0
                    end
                    {%- endfor %}
                    + case when output_tokens <> 0 then {{ price_of('output_tokens', 'output_price', 'output_per') }} else 0 end
            when unit_count = 0 then 0
            -- What was charged in a currency that leads to no USD is set aside, whatever its price is made of.
            when unconverted_currency not in ('', 'unknown') and billed_cost_usd is null then null
            -- Whatever the set has of these, added up; a percentage is of the amount, in USD, and there is none without it.
            when coalesce(unit_price, fixed_price, percentage_price) is not null
                then
                    case when unit_price is not null then {{ price_of('unit_count', 'unit_price', 'unit_per', price_days('channel', 'usage_date')) }} else 0 end
                    + case when fixed_price is not null then {{ price_of('unit_count', 'fixed_price', 'fixed_per') }} else 0 end
                    + case when percentage_price is not null then {{ price_of('amount_usd', 'percentage_price', 'percentage_per') }} else 0 end
        end
    )::numeric(38, 18)
{%- endmacro %}
