{#
  The one window of a build, half-open: dates >= window_start() and < window_end().
  All of it is read when a statement is rendered, never when the project is parsed, so one parsed manifest serves every run.
  "Now" is as_of(): no model calls now().
#}

{% macro as_of_text() -%}
    {%- set text = var('as_of', none) or env_var('METERING_AS_OF', '') or run_started_at.strftime('%Y-%m-%d %H:%M:%S.%f') -%}
    {{- text | trim -}}
{%- endmacro %}

{# A timestamp without an offset is UTC, whatever the session's time zone. #}
{% macro as_of() -%}
    {%- set text = as_of_text() -%}
    {%- if modules.re.search('(Z|[+-][0-9]{2}:?[0-9]{2})$', text) and text | length > 10 -%}
        '{{ text }}'::timestamptz
    {%- else -%}
        ('{{ text }}'::timestamp at time zone 'UTC')
    {%- endif -%}
{%- endmacro %}

{% macro as_of_date() -%}
    (({{ as_of() }}) at time zone 'UTC')::date
{%- endmacro %}

{% macro start_date() -%}
    {{ env_var('METERING_START_DATE', '') or '2026-01-01' }}
{%- endmacro %}

{% macro window_start() -%}
    '{{ var('window_start', none) or start_date() }}'::date
{%- endmacro %}

{% macro window_end() -%}
    {%- if var('window_end', none) -%} '{{ var('window_end') }}'::date
    {%- else -%} ({{ as_of_date() }} + 1)
    {%- endif -%}
{%- endmacro %}

{#
  A window of days touches months from its first to its last + 1 (which compares itself with the one before). Where days of other months stand
  as a build left them that did not end well, half of their marts made, months_from and months_to name the first and the last of them.
#}
{% macro window_first_month() -%}
    date_trunc('month', {{ or_beyond(window_start(), 'least', 'months_from') }}::timestamp)::date
{%- endmacro %}

{% macro window_after_last_month() -%}
    (date_trunc('month', ({{ or_beyond(window_end() ~ ' - 1', 'greatest', 'months_to') }})::timestamp) + interval '2 months')::date
{%- endmacro %}

{% macro or_beyond(day, which, variable) -%}
    {%- if var(variable, none) -%} {{ which }}({{ day }}, '{{ var(variable) }}'::date) {%- else -%} {{ day }} {%- endif -%}
{%- endmacro %}

{# The day whose plan a month's limits and margin go by: its last, or the as-of day. `first_day` is the month's first. #}
{% macro plan_day(first_day) -%}
    least(({{ first_day }} + interval '1 month')::date - 1, {{ as_of_date() }})
{%- endmacro %}

{# Is a row of the directory's history in effect on `day`? #}
{% macro is_in_force_on(version, day) -%}
    ({{ version }}.valid_from <= {{ day }} and {{ version }}.valid_to > {{ day }})
{%- endmacro %}

{% macro lookback_days() -%}
    {%- set days = var('lookback_days', none) -%}
    {{ (env_var('METERING_LOOKBACK_DAYS', '') or 3) if days is none else days }}
{%- endmacro %}

{% macro sendgrid_parent_stats() -%}
    {{ var('sendgrid_parent_stats', none) or env_var('METERING_SENDGRID_PARENT_STATS', '') or 'total' }}
{%- endmacro %}

{% macro built_at() -%}
    '{{ run_started_at.strftime('%Y-%m-%d %H:%M:%S.%f') }}+00'::timestamptz
{%- endmacro %}

{# The rows of a daily (date) or monthly (month) relation that the window covers. #}
{% macro in_window(column, grain) -%}
    {%- if grain == 'day' -%}
        {{ column }} >= {{ window_start() }} and {{ column }} < {{ window_end() }}
    {%- else -%}
        {{ column }} >= to_char({{ window_first_month() }}, 'YYYY-MM') and {{ column }} < to_char({{ window_after_last_month() }}, 'YYYY-MM')
    {%- endif -%}
{%- endmacro %}
