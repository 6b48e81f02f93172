{#
  How many days a unit price is for, where it is a price by the month: a number's of the days that its month has, a GB-month's always of 30.
#}
{% macro price_days(channel, day) -%}
    case {{ channel }}
        when 'phone' then extract(day from date_trunc('month', {{ day }}::timestamp) + interval '1 month' - interval '1 day')
        when 'storage' then 30
        else 1
    end::numeric
{%- endmacro %}

{# Does a line item of OpenAI's costs name the tool that the operation is the use of? #}
{% macro is_item_of(line_item, operation) -%}
    (
        ({{ operation }} = 'web_search_call' and {{ line_item }} ilike '%web%search%')
        or ({{ operation }} = 'file_search_call' and {{ line_item }} ilike '%file%search%' and {{ line_item }} not ilike '%storage%')
        or ({{ operation }} = 'code_interpreter_session' and {{ line_item }} ilike '%code%interpreter%')
        or ({{ operation }} = 'vector_store' and ({{ line_item }} ilike '%vector%' or {{ line_item }} ilike '%file%search%storage%'))
    )
{%- endmacro %}

{#
  Does `name` continue `base` only with a snapshot suffix? gpt-4o-mini-2024-07-18 is a snapshot of gpt-4o-mini;
  gpt-5-nano is none of gpt-5.
#}
{% macro is_snapshot_of(name, base) -%}
    (
        {{ base }} <> ''
        and starts_with({{ name }}, {{ base }})
        and substr({{ name }}, length({{ base }}) + 1) ~ '^(-[0-9]{4}-[0-9]{2}-[0-9]{2}|-[0-9]{4}|-latest|-preview.*)$'
    )
{%- endmacro %}
