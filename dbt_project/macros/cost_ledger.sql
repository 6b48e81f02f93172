{#
  What usage_daily's hooks write down about its own costs, in the transaction that replaces its days: which price book and which code each
  day was computed with, every change of a day that was complete already, and what a closed month would say otherwise. The changes are those
  of models/ledger; docs/closing.md gives the rules.
#}

{% macro code_version() -%} {{ var('code_version', none) or 'unknown' }} {%- endmacro %}

{# Keeps the price book of this build and returns its version. #}
{% macro price_version() %}
    {{ return(run_query("select ops.keep_price_book('" ~ ref('price_book') ~ "')").columns[0].values()[0]) }}
{% endmacro %}

{# Post-hook: the window's days are built now, with these prices and this code. A day is complete from the first build after it ended. #}
{% macro record_built_days() %}
    {% if keeps_records() %}
        insert into ops.built_days (usage_date, price_version, code_version, build_id, completed_at, plans)
        select
            day::date,
            '{{ price_version() }}',
            '{{ code_version() }}',
            '{{ var("build_id", invocation_id) }}',
            case when day::date < {{ as_of_date() }} then clock_timestamp() end,
            coalesce(plans.plans, '{}')
        from generate_series({{ window_start() }}::timestamp, least({{ window_end() }} - 1, {{ as_of_date() }})::timestamp, interval '1 day') as day
        left join (
            select usage_date, jsonb_object_agg(tenant_id, plan) as plans
            from (
                select distinct on (usage_date, tenant_id) usage_date, tenant_id, plan
                from {{ ref('int_usage_lines_estimated') }}
                where {{ in_window('usage_date', 'day') }}
                order by usage_date, tenant_id, plan
            ) as tenants
            group by usage_date
        ) as plans on plans.usage_date = day::date
        on conflict (usage_date) do update set
            price_version = excluded.price_version,
            code_version = excluded.code_version,
            build_id = excluded.build_id,
            plans = excluded.plans,
            completed_at = coalesce(built_days.completed_at, excluded.completed_at)
    {% else %}
        select 1
    {% endif %}
{% endmacro %}

{# Post-hook: what ledger_cost_changes has found goes to the ledgers: of open months as it is, of closed ones as a difference, booked in an open month. #}
{% macro record_cost_changes() %}
    {%- set changed = ['cost_usd', 'billed_cost_usd', 'unpriced_unit_count', 'unpriced_units'] -%}
    {%- set booked = ['cost_usd', 'billed_cost_usd', 'charged_cost_usd', 'unit_count', 'unpriced_unit_count'] -%}
    {%- set versions = 'reason, old_price_version, new_price_version, old_code_version, new_code_version, build_id' -%}
    {%- set of_versions -%}
        reason, old_price_version, new_price_version, old_code_version, '{{ code_version() }}', '{{ var("build_id", invocation_id) }}'
    {%- endset -%}
    {% if keeps_records() %}
        insert into ops.cost_restatements (
            tenant_id, date, channel, {% for figure in changed -%} old_{{ figure }}, new_{{ figure }}, {% endfor %} {{ versions }}
        )
        select tenant_id, date, channel, {% for figure in changed -%} old_{{ figure }}, new_{{ figure }}, {% endfor %} {{ of_versions }}
        from {{ ref('ledger_cost_changes') }}
        where not is_closed
        order by date, tenant_id, channel;
        insert into ops.cost_adjustments (
            tenant_id, date, channel, month, {{ booked | join(', ') }}, unpriced_units, booked_month, booked_on, {{ versions }}
        )
        select
            tenant_id, date, channel, to_char(date, 'YYYY-MM'),
            {% for figure in booked -%} coalesce(new_{{ figure }}, 0) - coalesce(old_{{ figure }}, 0), {% endfor %}
            ops.subtract_units(new_unpriced_units, old_unpriced_units),
            -- The as-of month, or the first after it that is open.
            (
                select min(to_char(month, 'YYYY-MM'))
                from generate_series(
                    date_trunc('month', {{ as_of_date() }}::timestamp),
                    date_trunc('month', {{ as_of_date() }}::timestamp) + interval '20 years',
                    interval '1 month'
                ) as month
                where true {{ and_open('month', 'day') }}
            ),
            {{ as_of_date() }}, {{ of_versions }}
        from {{ ref('ledger_cost_changes') }}
        where is_closed
        order by date, tenant_id, channel
    {% else %}
        select 1
    {% endif %}
{% endmacro %}

{# What usage_daily holds before this build replaces its days; before the first build, and where nothing is recorded, what it will hold. #}
{% macro usage_daily_before() %}
    {%- set before = source('before', 'usage_daily') -%}
    {{ return(before if keeps_records() and load_cached_relation(before) else ref('ledger_usage_daily')) }}
{% endmacro %}

{#
  The prices that a row of `needed` takes by a plan, as one text; null where it has none. The same choice as of the lines' prices. `book` has
  the columns of `price_book_rows`, and where it is of several versions, `version` says which.
#}
{% macro chosen_prices(book, plan, version=none) -%}
    {%- set of_candidate = is_in_effect_on('candidate', 'needed') ~ (' and candidate.version = ' ~ version if version else '') -%}
    (
        select
            string_agg(
                concat_ws(' ', component.component, trim_scale(component.unit_price_usd), trim_scale(component.per)),
                ', ' order by component.component, component.effective_from, component.unit_price_usd
            )
        from ({{ chosen_price_set('needed', plan, book, of_candidate) }}) as price_set
        inner join {{ book }} as component
            on {{ is_of_price_set('needed') }}
        where
            {{ is_in_effect_on('component', 'needed') }}
            {%- if version %}
            and component.version = {{ version }}
            {%- endif %}
            and case component.component
                when 'input' then needed.has_input
                when 'cached_input' then needed.has_cached_input
                when 'cache_write' then needed.has_cache_write
                when 'cache_write_1h' then needed.has_cache_write_1h
                when 'output' then needed.has_output
                else true
            end
    )
{%- endmacro %}
