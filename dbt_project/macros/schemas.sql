{#
  A model's schema is what it says, whatever the target: raw → staging → intermediate → marts. A scratch build is given
  schemas of its own by builds/scratch.py; who parses with its prefix gets the same.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (var('scratch') ~ '_' if is_scratch() else '') ~ (custom_schema_name or target.schema) }}
{%- endmacro %}
