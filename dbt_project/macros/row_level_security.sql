{# Post-hook of every mart: who may read which of its rows (`ops.protect_rows`, which `metering migrate` calls, too). #}
{% macro protect_rows() %}
    {%- if execute and not is_scratch() -%} select ops.protect_rows('{{ this }}'::regclass) {%- endif -%}
{% endmacro %}
