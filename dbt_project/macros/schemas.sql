{# A model's schema is what it says, whatever the target: raw → staging → intermediate → marts. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
