{#
  What marts.usage_daily writes down about its own costs, in the transaction that replaces its window: which price book and which
  code each day was computed with, every change of a day that was complete already, and what a closed month would say otherwise.
  docs/closing.md gives the rules.
#}

{% macro code_version() -%} {{ var('code_version', none) or 'unknown' }} {%- endmacro %}

{# Keeps the price book of this build and returns its version. #}
{% macro price_version() %}
    {{ return(run_query("select ops.keep_price_book('staging.price_book')").columns[0].values()[0]) }}
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

{# The statements that replace_window puts before its delete: `target` still holds what was, `source` what will be. #}
{% macro record_cost_changes(target, source) %}
    {%- if keeps_records() -%}
        {%- set version = price_version() -%}
        {{ cost_changes(target, source, version, closed=false) }}
        insert into ops.cost_restatements (
            tenant_id, date, channel, old_cost_usd, new_cost_usd, old_billed_cost_usd, new_billed_cost_usd,
            old_unpriced_unit_count, new_unpriced_unit_count, old_unpriced_units, new_unpriced_units, reason,
            old_price_version, new_price_version, old_code_version, new_code_version, build_id
        )
        select
            tenant_id, date, channel, old_cost_usd, new_cost_usd, old_billed_cost_usd, new_billed_cost_usd,
            old_unpriced_unit_count, new_unpriced_unit_count, old_unpriced_units, new_unpriced_units, reason,
            price_version, '{{ version }}', code_version, '{{ code_version() }}', '{{ var("build_id", invocation_id) }}'
        from explained
        order by date, tenant_id, channel;
        {% if closed_months() %}
            {{ cost_changes(target, source, version, closed=true) }}
            insert into ops.cost_adjustments (
                tenant_id, month, date, channel, cost_usd, billed_cost_usd, charged_cost_usd, unit_count, unpriced_unit_count, unpriced_units, booked_month, booked_on, reason,
                old_price_version, new_price_version, old_code_version, new_code_version, build_id
            )
            select
                tenant_id, to_char(date, 'YYYY-MM'), date, channel,
                coalesce(new_cost_usd, 0) - coalesce(old_cost_usd, 0),
                coalesce(new_billed_cost_usd, 0) - coalesce(old_billed_cost_usd, 0),
                coalesce(new_charged_cost_usd, 0) - coalesce(old_charged_cost_usd, 0),
                coalesce(new_unit_count, 0) - coalesce(old_unit_count, 0),
                coalesce(new_unpriced_unit_count, 0) - coalesce(old_unpriced_unit_count, 0),
                ops.subtract_units(new_unpriced_units, old_unpriced_units),
                -- The as-of month, or the first after it that is open.
                (
                    select min(to_char(month, 'YYYY-MM'))
                    from generate_series(
                        date_trunc('month', {{ as_of_date() }}::timestamp),
                        date_trunc('month', {{ as_of_date() }}::timestamp) + interval '20 years',
                        interval '1 month'
                    ) as month
                    where to_char(month, 'YYYY-MM') not in (select closed_months.month from ops.closed_months)
                ),
                {{ as_of_date() }}, reason, price_version, '{{ version }}', code_version, '{{ code_version() }}', '{{ var("build_id", invocation_id) }}'
            from explained
            order by date, tenant_id, channel;
        {% endif %}
    {%- endif -%}
{% endmacro %}

{#
  `with … explained as (…)`: a row per tenant, day and channel whose figures differ between `target` (with what was booked since, for
  closed months) and `source`, with the reason. Only the cells that differ are looked at by their lines.
#}
{% macro cost_changes(target, source, version, closed) %}
    {%- set months = closed_months() -%}
    {%- set is_closed = "to_char(usage_date, 'YYYY-MM') in ('" ~ (months | join("', '")) ~ "')" if months else 'false' -%}
    {%- set cell = ['tenant_id', 'date', 'channel'] -%}
    {%- set figures = ['cost_usd', 'billed_cost_usd', 'charged_cost_usd', 'unit_count', 'unpriced_unit_count'] -%}
    with known_days as materialized (
        select usage_date, price_version, code_version, plans
        from ops.built_days
        where
            completed_at is not null
            and {{ in_window('usage_date', 'day') }}
            and {{ is_closed if closed else 'not ' ~ is_closed }}
    ),
    {% for side, relation in [('old', target), ('new', source)] %}
    {{ side }}_lines as (
        select
            usage.tenant_id, usage.date, usage.channel,
            sum(usage.estimated_cost_usd) as cost_usd,
            -- What is booked is a difference of sums; what a day of an open month cost is not known until all its lines are.
            {% if not closed -%} case when count(*) = count(usage.billed_cost_usd) then {% endif -%} sum(usage.billed_cost_usd)
            {%- if not closed %} end {%- endif %} as billed_cost_usd,
            sum(coalesce(usage.billed_cost_usd, usage.estimated_cost_usd, 0)) as charged_cost_usd,
            {{ channel_units() }} as unit_count,
            {{ unpriced_channel_units() }} as unpriced_unit_count,
            {{ unpriced_by_kind() }} as unpriced_units
        from {{ relation }} as usage
        inner join known_days on usage.date = known_days.usage_date
        group by usage.tenant_id, usage.date, usage.channel
    ),
    {% endfor %}
    old_cells as (
        {% if closed %}
        select
            {{ cell | join(', ') }},
            {% for figure in figures -%} sum({{ figure }}) as {{ figure }}, {% endfor %}
            ops.sum_units(unpriced_units) as unpriced_units
        from (
            select * from old_lines
            union all
            select
                booked.tenant_id, booked.date, booked.channel,
                {% for figure in figures -%} booked.{{ figure }}, {% endfor %}
                booked.unpriced_units
            from ops.cost_adjustments as booked
            inner join known_days on booked.date = known_days.usage_date
        ) as parts
        group by {{ cell | join(', ') }}
        {% else %}
        select * from old_lines
        {% endif %}
    ),
    changed as materialized (
        select
            {% for column in cell -%} coalesce(old_cells.{{ column }}, new_lines.{{ column }}) as {{ column }}, {% endfor %}
            {% for figure in figures -%}
            old_cells.{{ figure }} as old_{{ figure }},
            new_lines.{{ figure }} as new_{{ figure }},
            {% endfor %}
            old_cells.unpriced_units as old_unpriced_units,
            new_lines.unpriced_units as new_unpriced_units
        from old_cells
        full join new_lines
            on old_cells.tenant_id = new_lines.tenant_id and old_cells.date = new_lines.date and old_cells.channel = new_lines.channel
        where
            {% if closed %}
            -- Nothing and a sum of nothing are the same here: what is booked is a difference.
            {% for figure in figures -%}
            coalesce(old_cells.{{ figure }}, 0) <> coalesce(new_lines.{{ figure }}, 0) or
            {% endfor %}
            coalesce(old_cells.unpriced_units, '{}') <> coalesce(new_lines.unpriced_units, '{}')
            {% else %}
            old_cells.cost_usd is distinct from new_lines.cost_usd
            or old_cells.billed_cost_usd is distinct from new_lines.billed_cost_usd
            or old_cells.unpriced_unit_count is distinct from new_lines.unpriced_unit_count
            or old_cells.unpriced_units is distinct from new_lines.unpriced_units
            {% endif %}
    ),
    {% for side, relation in [('old', target), ('new', source)] %}
    {{ side }}_quantities as (
        select
            usage.tenant_id, usage.date, usage.channel, usage.service, usage.operation, usage.model,
            sum(usage.unit_count) as unit_count, sum(usage.input_tokens) as input_tokens,
            sum(usage.cached_input_tokens) as cached_input_tokens,
            sum(usage.cache_write_tokens) as cache_write_tokens,
            sum(usage.cache_write_1h_tokens) as cache_write_1h_tokens, sum(usage.output_tokens) as output_tokens
        from {{ relation }} as usage
        where (usage.date, usage.channel) in (select changed.date, changed.channel from changed)
        group by usage.tenant_id, usage.date, usage.channel, usage.service, usage.operation, usage.model
    ),
    {% endfor %}
    -- Cells whose quantities differ, and whether the day's quantities of that channel do, whoever they belong to.
    {% for name, by in [('cell_quantities', 'tenant_id, '), ('day_quantities', '')] %}
    {{ name }} as (
        select distinct {{ by }}date, channel
        from (
            select
                {{ by }}date, channel, service, operation, model,
                sum(unit_count) as unit_count, sum(input_tokens) as input_tokens,
                sum(cached_input_tokens) as cached_input_tokens,
                sum(cache_write_tokens) as cache_write_tokens,
                sum(cache_write_1h_tokens) as cache_write_1h_tokens, sum(output_tokens) as output_tokens
            from (
                select * from new_quantities
                union all
                select
                    tenant_id, date, channel, service, operation, model,
                    -unit_count, -input_tokens, -cached_input_tokens, -cache_write_tokens, -cache_write_1h_tokens, -output_tokens
                from old_quantities
            ) as both_sides
            group by {{ by }}date, channel, service, operation, model
        ) as differences
        where
            unit_count <> 0 or input_tokens <> 0 or cached_input_tokens <> 0
            or cache_write_tokens <> 0 or cache_write_1h_tokens <> 0 or output_tokens <> 0
    ),
    {% endfor %}
    new_plans as materialized (
        select distinct on (usage_date, tenant_id) usage_date, tenant_id, plan
        from {{ ref('int_usage_lines_estimated') }}
        where usage_date in (select changed.date from changed)
        order by usage_date, tenant_id, plan
    ),
    tiers as materialized (
        select distinct usage_date, tenant_id, service, operation, model, tier
        from {{ ref('int_usage_lines_estimated') }}
        where usage_date in (select changed.date from changed) and service in ({{ token_services() }})
    ),
    -- What the cells that differ are priced by, on either side, and which components of a price they need.
    used as materialized (
        select
            changed.tenant_id, changed.date, changed.channel, known_days.price_version,
            quantities.service, quantities.operation, quantities.model, coalesce(tiers.tier, '') as tier,
            coalesce(known_days.plans ->> changed.tenant_id, new_plans.plan, '') as old_plan,
            coalesce(new_plans.plan, known_days.plans ->> changed.tenant_id, '') as new_plan,
            bool_or(quantities.input_tokens <> 0) as has_input,
            bool_or(quantities.cached_input_tokens <> 0) as has_cached_input,
            bool_or(quantities.cache_write_tokens <> 0) as has_cache_write,
            bool_or(quantities.cache_write_1h_tokens <> 0) as has_cache_write_1h,
            bool_or(quantities.output_tokens <> 0) as has_output
        from changed
        inner join known_days on changed.date = known_days.usage_date
        inner join (select * from new_quantities union all select * from old_quantities) as quantities
            on
                changed.tenant_id = quantities.tenant_id
                and changed.date = quantities.date
                and changed.channel = quantities.channel
        left join new_plans on changed.tenant_id = new_plans.tenant_id and changed.date = new_plans.usage_date
        -- A cell may have lines of several.
        left join tiers
            on
                changed.tenant_id = tiers.tenant_id
                and changed.date = tiers.usage_date
                and quantities.service = tiers.service
                and quantities.operation = tiers.operation
                and quantities.model = tiers.model
        group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    ),
    {%- set priced_by = ['date', 'price_version', 'service', 'operation', 'model', 'tier', 'old_plan', 'new_plan', 'has_input', 'has_cached_input', 'has_cache_write', 'has_cache_write_1h', 'has_output'] %}
    effects as materialized (
        select
            needed.*,
            needed.price_version <> '{{ version }}'
            and {{ chosen_prices('needed.price_version', 'needed.old_plan') }} is distinct from {{ chosen_prices("'" ~ version ~ "'", 'needed.old_plan') }}
                as has_other_price,
            needed.old_plan <> needed.new_plan
            and {{ chosen_prices("'" ~ version ~ "'", 'needed.old_plan') }} is distinct from {{ chosen_prices("'" ~ version ~ "'", 'needed.new_plan') }}
                as has_other_plan
        from (select distinct {{ priced_by | join(', ') }} from used where price_version is not null) as needed
    ),
    cell_effects as (
        select used.tenant_id, used.date, used.channel, bool_or(effects.has_other_price) as has_other_prices, bool_or(effects.has_other_plan) as has_other_plan
        from used
        inner join effects using ({{ priced_by | join(', ') }})
        group by used.tenant_id, used.date, used.channel
    ),
    judged as (
        select
            changed.*,
            known_days.price_version,
            known_days.code_version,
            -- The frozen lines are not what was computed last: units tell, and only where they and the prices do not, the lines.
            {% if closed -%} coalesce(changed.old_unit_count, 0) <> coalesce(changed.new_unit_count, 0)
            {%- else -%} (changed.tenant_id, changed.date, changed.channel) in (select * from cell_quantities)
            {%- endif %} as has_other_usage,
            (changed.tenant_id, changed.date, changed.channel) in (select * from cell_quantities) as has_other_lines,
            (changed.date, changed.channel) in (select * from day_quantities) as has_other_total,
            coalesce(cell_effects.has_other_prices, false) as has_other_prices,
            coalesce(cell_effects.has_other_plan, false) as has_other_plan,
            coalesce(changed.old_cost_usd, 0) = coalesce(changed.new_cost_usd, 0)
            and coalesce(changed.old_unpriced_units, '{}') = coalesce(changed.new_unpriced_units, '{}') as has_same_cost,
            -- Days that were built before this was kept.
            known_days.price_version is null or known_days.code_version is null as is_of_unknown_version
        from changed
        inner join known_days on changed.date = known_days.usage_date
        left join cell_effects
            on
                changed.tenant_id = cell_effects.tenant_id
                and changed.date = cell_effects.date
                and changed.channel = cell_effects.channel
    ),
    explained as (
        select
            judged.*,
            case
                when has_same_cost and not has_other_usage then 'bill'
                else
                    coalesce(
                        nullif(
                            concat_ws(
                                ', ',
                                case when has_other_usage then case when has_other_total then 'usage' else 'attribution' end end,
                                case when has_other_prices and not is_of_unknown_version then 'price' end,
                                case when has_other_plan and not is_of_unknown_version then 'plan' end
                            ),
                            ''
                        ),
                        case when is_of_unknown_version then 'unknown' end,
                        {% if closed %} case when has_other_lines and code_version = '{{ code_version() }}' then 'usage' end, {% endif %}
                        case when code_version <> '{{ code_version() }}' then 'code' end,
                        'unknown'
                    )
            end as reason
        from judged
    )
{% endmacro %}

{#
  The prices that a row of `needed` has in a book by a plan, as one text; null where it has none. The same choice as of the
  lines' prices, of books that are kept.
#}
{% macro chosen_prices(version, plan) -%}
    (
        select string_agg(concat_ws(' ', component.component, component.unit_price_usd, component.per), ', ' order by component.component, component.number)
        from (
            {{ chosen_price_set('needed', plan, 'ops.price_book_rows', "candidate.version = " ~ version ~ " and " ~ is_in_effect('candidate')) }}
        ) as price_set
        inner join ops.price_book_rows as component
            on {{ is_of_price_set('needed') }}
        where
            component.version = {{ version }}
            and {{ is_in_effect('component') }}
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

{% macro is_in_effect(row) -%}
    {{ row }}.effective_from <= to_char(needed.date, 'YYYY-MM-DD')
    and ({{ row }}.effective_to = '' or {{ row }}.effective_to > to_char(needed.date, 'YYYY-MM-DD'))
{%- endmacro %}
