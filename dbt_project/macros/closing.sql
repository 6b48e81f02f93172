{# Closed months: their marts stay as they are. See docs/closing.md. #}

{# Is this a build whose figures are production's? A scratch build (var `scratch`) computes every day and records nothing. #}
{% macro keeps_records() %}
    {{ return(execute and not var('scratch', none)) }}
{% endmacro %}

{# The closed months, oldest first; none in a scratch build. #}
{% macro closed_months() %}
    {%- if not keeps_records() -%} {{ return([]) }} {%- endif -%}
    {{ return(run_query("select month from ops.closed_months order by month").columns[0].values() | list) }}
{% endmacro %}

{# ` and …` for a where clause: only rows of open months. Nothing where no month is closed. `grain` day (a date) or month (2026-10). #}
{% macro and_open(column, grain) -%}
    {%- set months = closed_months() if column else [] -%}
    {%- if months %}
    and {% if grain == 'day' -%} to_char({{ column }}, 'YYYY-MM') {%- else -%} {{ column }} {%- endif %} not in ('{{ months | join("', '") }}')
    {%- endif -%}
{%- endmacro %}

{# As in_window, without the days of closed months: for tests that hold a mart against what it would be if it were built now. #}
{% macro in_open_window(column) -%}
    {{ in_window(column, 'day') }} {{ and_open(column, 'day') }}
{%- endmacro %}
