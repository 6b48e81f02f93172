{# The direction of what is in a channel of sums. #}
{% macro sum_direction(channel) -%}
    case when {{ channel }} in ({{ quoted(meters() | selectattr('direction', 'equalto', 'outbound') | map(attribute='channel')) }}) then 'outbound' else 'none' end
{%- endmacro %}

{# What an operation of OpenAI's is counted in: tokens, or what its endpoint counts. #}
{% macro openai_unit(operation) -%}
    case {{ operation }}
        {%- for meter in meters() | selectattr('service', 'equalto', 'openai') | rejectattr('is_channel_unit') %}
        {%- for name in meter.operations %}
        when '{{ name }}' then '{{ meter.unit }}'
        {%- endfor %}
        {%- endfor %}
        else 'tokens'
    end
{%- endmacro %}

{# The unit of a line of a service's: the channel's, but for what OpenAI counts otherwise. #}
{% macro unit_of_operation(service, operation, channel) -%}
    case when {{ service }} in ({{ token_services() }}) then {{ openai_unit(operation) }} else {{ unit_of(channel) }} end
{%- endmacro %}

{# Is a line counted in its channel's unit? Of OpenAI's tools it is not. #}
{% macro is_channel_unit() -%}
    ops.is_channel_unit(channel, unit)
{%- endmacro %}

{# Units of the channel's own kind: a channel's total has no images among its tokens. #}
{% macro channel_units() -%}
    coalesce(sum(unit_count) filter (where {{ is_channel_unit() }}), 0)
{%- endmacro %}

{# Units without a known price, by kind ({"tokens": 12, "images": 3}): what is not alike is not added up. #}
{% macro unpriced_by_kind() -%}
    coalesce(
        ops.sum_units(jsonb_build_object(coalesce(unit, 'units'), unpriced_unit_count)) filter (where unpriced_unit_count <> 0), '{}'
    )
{%- endmacro %}

{# Of them those of the channel's own kind. #}
{% macro unpriced_channel_units() -%}
    coalesce(sum(unpriced_unit_count) filter (where {{ is_channel_unit() }}), 0)
{%- endmacro %}

{# The same of a channel's row, which may be of a build before kinds were kept: its count is all that it says. #}
{% macro kinds_of(row) -%}
    case
        when coalesce({{ row }}.unpriced_units, '{}') <> '{}' then {{ row }}.unpriced_units
        when {{ row }}.unpriced_unit_count <> 0
            then jsonb_build_object(coalesce({{ row }}.unit, {{ unit_of(row ~ '.channel') }}), {{ row }}.unpriced_unit_count)
        else '{}'
    end
{%- endmacro %}

{# The kinds of many rows together. Most rows have none: for them the aggregate's function, which costs more than all else, is not called. #}
{% macro sum_kinds(kinds) -%}
    coalesce(ops.sum_units({{ kinds }}) filter (where {{ kinds }} <> '{}'), '{}')
{%- endmacro %}

{# What the earliest event of a group says (by occurred_at, then key), of those that say anything; null where none does. #}
{% macro earliest(expression, condition='true') -%}
    (array_agg({{ expression }} order by occurred_at, event_key) filter (where {{ condition }}))[1]
{%- endmacro %}

{# A day whose provider's figures are still expected to change. #}
{% macro is_open(day) -%}
    ({{ day }} >= {{ as_of_date() }} - {{ lookback_days() }})
{%- endmacro %}

{# Counted, but by the word of our own events alone while the provider's record is still to come. #}
{% macro is_provisional() -%}
    (evidence = 'tracked' and service in ({{ record_services() }}, {{ aggregate_services() }}))
{%- endmacro %}

{# What usage_daily's rows of a channel add up to: of a day, or of a month. #}
{% macro sums_of_channel() -%}
    {{ channel_units() }} as unit_count,
    sum(request_count) as request_count,
    sum(estimated_cost_usd) as estimated_cost_usd,
    case when count(*) = count(billed_cost_usd) then sum(billed_cost_usd) end as billed_cost_usd,
    {{ unpriced_channel_units() }} as unpriced_unit_count,
    {{ unpriced_by_kind() }} as unpriced_units,
    coalesce(sum(unit_count) filter (where {{ is_provisional() }} and {{ is_channel_unit() }}), 0) as provisional_unit_count
{%- endmacro %}

{# Is it counted in what its service is reconciled in? A gigabyte is not an operation, nor an image a token, nor a recording a call. #}
{% macro is_main_unit(service, operation, channel) -%}
    not coalesce(
        {{ channel }} in ({{ quoted(meters() | selectattr('is_channel_unit') | rejectattr('is_reconciled_with_service') | map(attribute='channel')) }})
        or ({{ service }} in ({{ token_services() }}) and {{ openai_unit(operation) }} <> 'tokens'),
        false
    )
{%- endmacro %}

{# The name under which usage is reconciled: only like is compared with like. #}
{% macro reconciled_as(service, operation, channel) -%}
    case when {{ is_main_unit(service, operation, channel) }} then {{ service }} else {{ service }} || '_' || {{ operation }} end
{%- endmacro %}

{# Percent of the provider's quantity by which ours may differ before it is called drift. #}
{% macro drift_tolerance_percent() -%}
    {%- set percent = var('drift_tolerance_percent', none) -%}
    {{ 1 if percent is none else percent }}::numeric
{%- endmacro %}

{# Both are about the same sum of the provider's. #}
{% macro same_sum(one, other, owner) -%}
    (
        {% for column in ['usage_date', 'service', 'account_id', 'resource_id', 'operation', 'model', 'tier'] -%}
            {{ one }}.{{ column }} = {{ other }}.{{ column }} and
        {% endfor -%}
        {{ owner }} = {{ other }}.owner_id
    )
{%- endmacro %}
