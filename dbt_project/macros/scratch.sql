{#
  A scratch build is this very project, built into schemas of its own (var `scratch` is their prefix) by builds/scratch.py:
  other days, seeds or tenants' plans, and nothing of production is touched. What a build does beside its tables asks here first.
#}
{% macro is_scratch() %}
    {{ return(var('scratch', none) is not none) }}
{% endmacro %}

{# A table of the tenant directory; a scratch build may have been given its own. #}
{% macro directory_table(name) -%}
    {%- set found = source('raw', name) -%}
    {%- if var('directory_schema', none) -%}
        {{- found.incorporate(path={'schema': var('directory_schema')}) -}}
    {%- else -%}
        {{- found -}}
    {%- endif -%}
{%- endmacro %}

{# A table of records or events; on Citus what builds/gathering.py has gathered of it, which a scratch build does for itself. #}
{% macro event_rows(name) -%}
    {%- set found = source('raw', name) -%}
    {%- if is_citus() -%}
        {{- found.incorporate(path={'schema': (var('scratch') ~ '_' if is_scratch() else '') ~ 'gathered'}) -}}
    {%- else -%}
        {{- found -}}
    {%- endif -%}
{%- endmacro %}

{% macro is_citus() %}
    {{ return(env_var('METERING_DISTRIBUTION', '') | trim == 'citus') }}
{% endmacro %}

{# Post-hook of the mart by which the cap forgets what is built. #}
{% macro forget_built_usage() -%}
    {%- if not is_scratch() -%} select ops.forget_built_usage() {%- endif -%}
{%- endmacro %}
