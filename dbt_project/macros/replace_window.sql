{#
  What every mart is built with: delete the window, insert the window, in the one transaction that dbt wraps around it.
  A merge would keep what is no longer there; dbt's `table` would swap the relation under its readers.

  config `window`: 'day' (column date, or config `window_column`), 'month' (column month), or 'all' for the small marts whose rows are not a property of
  a window and which are replaced whole. config `kept_by`, with 'all': the columns of the key, by which a row that says what stands already
  (but for when it was built) is left as it stands: of a long history little changes from build to build.

  A mart (not what it is computed from) keeps the rows of closed months: by their day, or by column `month` or `date` where it is
  replaced whole.
#}
{% macro get_incremental_replace_window_sql(arg_dict) %}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set window = config.require('window') -%}
    {%- set is_kept = config.get('schema') == 'marts' -%}
    {%- set open_rows = and_open(*closing_column(window, arg_dict['dest_columns'] | map(attribute='name') | list)) if is_kept else '' -%}
    {%- if config.get('kept_by') %}
    {{ replace_changed(arg_dict, open_rows) }}
    {%- else %}
    delete from {{ arg_dict['target_relation'] }}
    {%- if window == 'day' %}
    where {{ in_window(config.get('window_column', 'date'), 'day') }} {{ open_rows }}
    {%- elif window == 'month' %}
    where {{ in_window('month', 'month') }} {{ open_rows }}
    {%- elif window != 'all' %}
        {{ exceptions.raise_compiler_error("config 'window' is day, month or all, not " ~ window) }}
    {%- elif open_rows %}
    where true {{ open_rows }}
    {%- endif %};
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {% if is_written_at_once() -%} ({{ sql }}) as made {%- else -%} {{ arg_dict['temp_relation'] }} {%- endif %}
    {%- if open_rows %}
    where true {{ open_rows }}
    {%- endif %}
    {%- endif %}
{% endmacro %}

{#
  Do the rows go straight into their table? dbt first writes them into a temporary one, whose columns it looks at. Those of the same code are
  known, and writing them once is half of the work. A mart that is `kept_by` a key reads its rows twice.
#}
{% macro is_written_at_once() %}
    {{ return(is_as_before() and config.get('incremental_strategy') == 'replace_window' and not config.get('kept_by')) }}
{% endmacro %}

{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- if temporary and is_written_at_once() -%} select 1 {%- else -%} {{ dbt.postgres__create_table_as(temporary, relation, sql) }} {%- endif -%}
{%- endmacro %}

{# The statements of a mart that is `kept_by` a key: what it no longer says goes, what it says anew comes. #}
{% macro replace_changed(arg_dict, open_rows) %}
    {%- set key = config.get('kept_by') -%}
    {%- set said = arg_dict['dest_columns'] | rejectattr('name', 'in', key + ['updated_at']) | map(attribute='quoted') | list -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set same_key -%}
        {%- for column in key %}{{ 'and ' if not loop.first }}made.{{ column }} = stands.{{ column }} {% endfor -%}
    {%- endset -%}
    delete from {{ arg_dict['target_relation'] }} as stands
    where
        not exists (
            select 1
            from {{ arg_dict['temp_relation'] }} as made
            where
                {{ same_key }}
                and (made.{{ said | join(', made.') }}) is not distinct from (stands.{{ said | join(', stands.') }})
        )
        {{ open_rows }};
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }} as made
    where
        not exists (select 1 from {{ arg_dict['target_relation'] }} as stands where {{ same_key }})
        {{ open_rows }}
{% endmacro %}

{# The column and grain by which a mart's rows belong to a month; none of a mart that belongs to no time. #}
{% macro closing_column(window, columns) %}
    {%- if window == 'day' -%} {{ return([config.get('window_column', 'date'), 'day']) }}
    {%- elif window == 'month' or 'month' in columns -%} {{ return(['month', 'month']) }}
    {%- elif 'date' in columns -%} {{ return(['date', 'day']) }}
    {%- endif -%}
    {{ return([none, none]) }}
{% endmacro %}
