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
