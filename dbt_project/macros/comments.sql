{#
  What a relation says of itself: its description and its columns' as COMMENTs (config `persist_docs`), by one statement. dbt would write
  them at each build of each mart; they change with the code alone, so that a build of the code that built last (var `is_commented`,
  see builds/build.py) leaves them as they are on what stood before it. A scratch build is read by nobody but the build.
#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) %}
    {%- set is_commented = var('is_commented', false) and load_cached_relation(this) is not none -%}
    {%- if not is_commented and not is_scratch() -%}
        {%- set comments -%}
            {%- if for_relation and config.persist_relation_docs() and model.description -%}
                {{ alter_relation_comment(relation, model.description) }}
            {%- endif -%}
            {%- if for_columns and config.persist_column_docs() and model.columns -%}
                {{ alter_column_comment(relation, model.columns) }}
            {%- endif -%}
        {%- endset -%}
        {%- if comments | trim -%} {%- do run_query(comments) -%} {%- endif -%}
    {%- endif -%}
{% endmacro %}
