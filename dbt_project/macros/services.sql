{#
  What SQL says of meters, from the catalogue (seeds/meters.csv, by `meters()`): a row is what is counted in one unit by one rule. The
  first row of a service is its usual meter; empty `operations` are any. `seeds/_seeds.yml` has the columns.
#}

{# Texts as SQL's, with commas between. #}
{% macro quoted(texts) -%} '{{ texts | unique | join("', '") }}' {%- endmacro %}

{# Names of services, quoted, with commas between: those whose provider keeps one of `kinds`. #}
{% macro services_that_keep(kinds) -%}
    {{ quoted(meters() | selectattr('keeps', 'in', kinds) | map(attribute='service')) }}
{%- endmacro %}

{# Services whose tokens are priced by kind: in, cached, out. #}
{% macro token_services() -%}
    {{ quoted(meters() | selectattr('unit', 'equalto', 'tokens') | map(attribute='service')) }}
{%- endmacro %}

{# Services whose provider keeps a record of each use, those of which it keeps sums, and all of which it keeps anything. #}
{% macro record_services() -%} {{ services_that_keep(['records']) }} {%- endmacro %}

{% macro aggregate_services() -%} {{ services_that_keep(['sums']) }} {%- endmacro %}

{% macro provider_services() -%} {{ services_that_keep(['records', 'sums', 'held']) }} {%- endmacro %}

{# Providers, as the directory names them, of the services of which sums are kept. #}
{% macro aggregate_providers() -%}
    {{ quoted(meters() | selectattr('keeps', 'equalto', 'sums') | map(attribute='provider')) }}
{%- endmacro %}

{# The directory's word for the provider of a service. #}
{% macro provider_of(service) -%}
    case {{ service }}
        {%- for meter in meters() | unique(attribute='service') if meter.provider != meter.service %}
        when '{{ meter.service }}' then '{{ meter.provider }}'
        {%- endfor %}
        else {{ service }}
    end
{%- endmacro %}

{# What a provider keeps the sums of a service by: the first of the kinds of resources that the directory may name. #}
{% macro resource_type_of(service) -%}
    case {{ service }}
        {%- for meter in meters() | selectattr('keeps', 'equalto', 'sums') | unique(attribute='service') %}
        when '{{ meter.service }}' then '{{ meter.resource_types[0] }}'
        {%- endfor %}
        else 'resource'
    end
{%- endmacro %}

{# The service of which a provider, as the directory names it, keeps sums. #}
{% macro aggregate_service_of(provider) -%}
    case {{ provider }}
        {%- for meter in meters() | selectattr('keeps', 'equalto', 'sums') | unique(attribute='service') if meter.provider != meter.service %}
        when '{{ meter.provider }}' then '{{ meter.service }}'
        {%- endfor %}
        else {{ provider }}
    end
{%- endmacro %}

{# Services whose provider tells what it bills apart from their usage, by line item: those of int_cost_items. #}
{% macro itemized_services() -%}
    {{ quoted(meters() | selectattr('bills', 'equalto', 'items') | map(attribute='service')) }}
{%- endmacro %}

{# Is a line of an itemized service in none of its items? What is committed beforehand is billed elsewhere. #}
{% macro is_billed_elsewhere(service, tier) -%}
    case {{ service }}
        {%- for meter in meters() | selectattr('unbilled_tiers') | unique(attribute='service') %}
        when '{{ meter.service }}' then {{ processing_of(tier) }} in ({{ quoted(meter.unbilled_tiers) }})
        {%- endfor %}
        else false
    end
{%- endmacro %}

{# Where a provider's record of a service and channel stands. #}
{% macro raw_table_of(service, channel) -%}
    case
        {%- for meter in meters() | selectattr('keeps', 'in', ['records', 'held']) %}
        when {{ service }} = '{{ meter.service }}' and {{ channel }} = '{{ meter.channel }}' then 'raw.{{ meter.raw_table }}'
        {%- endfor %}
    end
{%- endmacro %}

{# Does a record's status say that nothing was used and nothing is to be paid? Null where the status is not known. #}
{% macro is_unused(status, channel) -%}
    {{ status }} in ({{ quoted((meters() | selectattr('channel', 'equalto', channel) | first).unused_statuses) }})
{%- endmacro %}

{# What a channel is counted in. #}
{% macro unit_of(channel) -%}
    case {{ channel }}
        {%- for meter in meters() | selectattr('is_channel_unit') | rejectattr('unit', 'equalto', 'units') | unique(attribute='channel') %}
        when '{{ meter.channel }}' then '{{ meter.unit }}'
        {%- endfor %}
        else 'units'
    end
{%- endmacro %}

{# The service that a channel's usage is of, where only the channel is known: the first that has it. #}
{% macro channel_service(channel) -%}
    case {{ channel }}
        {%- for meter in meters() | rejectattr('service', 'equalto', 'internal') | unique(attribute='channel') %}
        when '{{ meter.channel }}' then '{{ meter.service }}'
        {%- endfor %}
        else 'internal'
    end
{%- endmacro %}

{# The columns in which tenant_monthly has costs, but the last, which has the rest; and the channels of some of them, quoted. #}
{% macro monthly_costs() -%}
    {{ return(meters() | map(attribute='monthly_cost') | unique | reject('equalto', 'other') | list) }}
{%- endmacro %}

{% macro monthly_channels(columns) -%}
    {{ quoted(meters() | selectattr('monthly_cost', 'in', columns) | map(attribute='channel')) }}
{%- endmacro %}

{# Rows of channel, service, operation ('' for any) and components: what the price of a channel's next unit is. #}
{% macro channel_price_rows() -%}
    {%- set rows = [] -%}
    {%- for meter in meters() | selectattr('is_channel_unit') -%}
        {%- do rows.append("('" ~ [meter.channel, meter.service, meter.next_unit_operation] | join("', '") ~ "', array[" ~ quoted(meter.next_unit_components) ~ "])") -%}
    {%- endfor -%}
    {{ rows | unique | join(',\n        ') }}
{%- endmacro %}

{# Channel of a sum of a provider's: the usual meter's, but for operations of another. #}
{% macro sum_channel(service, operation) -%}
    case
        {%- for usual in meters() | selectattr('keeps', 'equalto', 'sums') | unique(attribute='service') %}
        {%- for meter in meters() | selectattr('service', 'equalto', usual.service) if meter.channel != usual.channel %}
        when {{ service }} = '{{ meter.service }}' and {{ operation }} in ({{ quoted(meter.operations) }}) then '{{ meter.channel }}'
        {%- endfor %}
        when {{ service }} = '{{ usual.service }}' then '{{ usual.channel }}'
        {%- endfor %}
    end
{%- endmacro %}

{#
  The table whose read answers for a sum of a provider's: the meter's; of an operation that no meter names, the usual meter's where its
  channel has but one.
#}
{% macro sum_table(service, operation, resource_id) -%}
    case
        when {{ service }} = 'sendgrid' and starts_with({{ resource_id }}, 'category:') then 'sendgrid_category_stats'
        when {{ service }} = 'sendgrid' and {{ resource_id }} <> '' then 'sendgrid_subuser_stats'
        {%- for usual in meters() | selectattr('keeps', 'equalto', 'sums') | unique(attribute='service') %}
        {%- set its = meters() | selectattr('service', 'equalto', usual.service) | list %}
        {%- for meter in its %}
        when {{ service }} = '{{ meter.service }}' and {{ operation }} in ({{ quoted(meter.operations) }}) then '{{ meter.raw_table }}'
        {%- endfor %}
        {%- if its | selectattr('channel', 'equalto', usual.channel) | map(attribute='raw_table') | unique | list | length == 1 %}
        when {{ service }} = '{{ usual.service }}' then '{{ usual.raw_table }}'
        {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}

{#
  One provider's branch of int_provider_records: a relation's rows in the columns that all records have. What is not said here is the
  relation's column of that name, or the usual.
#}
{% macro as_provider_records(relation) -%}
    {%- set usual = {
        'service': none,
        'record_key': 'record_key',
        'usage_date': 'usage_date',
        'tenant_id': 'tenant_id',
        'named_tenant_id': 'tenant_id',
        'attribution': 'attribution',
        'channel': 'channel',
        'operation': 'operation',
        'direction': "'none'",
        'source': none,
        'unit_count': 'unit_count',
        'amount_usd': 'null',
        'unconverted_currency': "''",
        'billed_cost_usd': 'billed_cost_usd'
    } -%}
    {%- set types = {'unit_count': '::numeric(38, 18)', 'amount_usd': '::numeric', 'billed_cost_usd': '::numeric'} -%}
    {%- for column in kwargs if column not in usual -%}
        {{ exceptions.raise_compiler_error('a record has no ' ~ column ~ ': ' ~ (usual | join(', '))) }}
    {%- endfor -%}
    select
        {%- for column, expression in usual.items() %}
        {{ kwargs.get(column, expression) }}{{ types.get(column, '') }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ relation }}
{%- endmacro %}
