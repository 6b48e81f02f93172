{#
  A model's schema is what it says, whatever the target: raw → staging → intermediate → marts. A scratch build has schemas of
  its own, and is parsed with their prefix.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (var('scratch') ~ '_' if is_scratch() else '') ~ (custom_schema_name or target.schema) }}
{%- endmacro %}
