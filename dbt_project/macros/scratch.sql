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

{# A table of Twilio's messages in the columns of stg_twilio__messages. #}
{% macro messages_of(rows) -%}
    select
        sid as message_sid,
        account_id as account_sid,
        usage_date,
        messaging_service_sid,
        from_number_hash,
        to_number_hash,
        direction as twilio_direction,
        status,
        num_segments,
        num_media,
        price,
        price_unit,
        date_sent as sent_at
    from {{ rows }}
{%- endmacro %}

{#
  All messages, to be summed and not looked up: on Citus not what is gathered of them, but what the workers have. By its name, not as a
  source: what a model depends on is the same with either setting, and the staging model depends on it.
#}
{% macro every_message() -%}
    {%- set found = ref('stg_twilio__messages') -%}
    {%- if is_citus() -%} ({{ messages_of('raw.twilio_messages') }}) as every_message {%- else -%} {{ found }} {%- endif -%}
{%- endmacro %}

{#
  `query`, sums of `every_message`: on Citus a query of their own, for with a table of the workers in it Citus would take charge of
  the whole statement, and write down each part that is the coordinator's. `columns` are their names and types.
#}
{% macro by_workers(query, columns) -%}
    {%- if is_citus() -%} select * from raw.by_workers($sums${{ query }}$sums$) as sums ({{ columns }}) {%- else -%} {{ query }} {%- endif -%}
{%- endmacro %}

{#
  Post-hook of the record grain, whose statement has settled what is gathered: on Citus the workers settle all else by the same statement,
  each part of the tables by itself (`raw.settle_on_workers`).
#}
{% macro settle_on_workers() -%}
    {%- if is_citus() -%}
        select raw.settle_on_workers('{{ this }}'::regclass, $model${{ sql }}$model$, {{ window_start() }}, {{ window_end() }})
    {%- endif -%}
{%- endmacro %}

{% macro is_citus() %}
    {{ return(env_var('METERING_DISTRIBUTION', '') | trim == 'citus') }}
{% endmacro %}

{# Post-hook of the mart by which the cap forgets what is built. #}
{% macro forget_built_usage() -%}
    {%- if not is_scratch() -%} select ops.forget_built_usage() {%- endif -%}
{%- endmacro %}
