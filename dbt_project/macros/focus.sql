{# The words of FOCUS 1.2 for what is ours; docs/focus.md has the mapping. #}

{# One of a service's words; of a service that is not in the catalogue its own name, and the category Other. #}
{% macro focus_service(column, place) -%}
    {%- set word = ['focus_provider', 'focus_service', 'focus_category', 'focus_subcategory'][place] -%}
    case {{ column }}
        {%- for meter in meters() | unique(attribute='service') %}
        when '{{ meter.service }}' then '{{ meter[word] }}'
        {%- endfor %}
        else {{ [column, column, "'Other'", "'Other (Other)'"][place] }}
    end
{%- endmacro %}

{# A unit in FOCUS's UnitFormat. #}
{% macro focus_unit(column) -%}
    case {{ column }}
        {%- for meter in meters() | unique(attribute='unit') if meter.unit != 'units' %}
        when '{{ meter.unit }}' then '{{ meter.focus_unit }}'
        {%- endfor %}
        else 'Units'
    end
{%- endmacro %}

{# The unit of what a component of a price is the price of: a percentage is one of dollars. #}
{% macro focus_part_unit(component, unit) -%}
    case when {{ component }} = 'percentage' then 'US Dollars' else {{ focus_unit(unit) }} end
{%- endmacro %}

{# The same, as it is priced: what is counted by days is priced by months. #}
{% macro focus_pricing_unit(component, unit) -%}
    case
        when {{ unit }} = 'number_days' then 'Phone Number-Months'
        when {{ unit }} = 'gb_days' then 'GB-Months'
        else {{ focus_part_unit(component, unit) }}
    end
{%- endmacro %}

{# The name of what a component of a price meters. #}
{% macro focus_meter(component, unit) -%}
    case {{ component }}
        when 'input' then 'Input Tokens'
        when 'cached_input' then 'Cached Input Tokens'
        when 'cache_write' then 'Cache Write Input Tokens'
        when 'cache_write_1h' then 'Cache Write 1 Hour Input Tokens'
        when 'output' then 'Output Tokens'
        when 'percentage' then 'Processed Amount'
        else {{ focus_unit(unit) }}
    end
{%- endmacro %}
