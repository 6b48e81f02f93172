{#
  What every mart is built with: delete the window, insert the window, in the one transaction that dbt wraps around it.
  A merge would keep what is no longer there; dbt's `table` would swap the relation under its readers.

  config `window`: 'day' (column date, or config `window_column`), 'month' (column month), or 'all' for the small marts whose rows are no property of
  a window and which are replaced whole.
#}
{% macro get_incremental_replace_window_sql(arg_dict) %}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set window = config.require('window') -%}
    delete from {{ arg_dict['target_relation'] }}
    {%- if window == 'day' %}
    where {{ in_window(config.get('window_column', 'date'), 'day') }}
    {%- elif window == 'month' %}
    where {{ in_window('month', 'month') }}
    {%- elif window != 'all' %}
        {{ exceptions.raise_compiler_error("config 'window' is day, month or all, not " ~ window) }}
    {%- endif %};
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{% endmacro %}
