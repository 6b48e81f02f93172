{#
  What only code changes. dbt looks at each build of each mart whether the query has the contract's columns (it plans the query once more)
  and the table has the query's, and writes every COMMENT anew. Where the code of the newest build is the code of this one (var
  `is_same_code`, see builds/build.py), all that is as it was, of a relation that stood before the build.
#}
{% macro is_as_before() %}
    {{ return(var('is_same_code', false) and load_cached_relation(this) is not none) }}
{% endmacro %}

{% macro postgres__get_assert_columns_equivalent(sql) %}
    {%- if not is_as_before() -%} {{ dbt.default__get_assert_columns_equivalent(sql) }} {%- endif -%}
{% endmacro %}

{% macro postgres__process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {%- if not is_as_before() -%}
        {{ return(dbt.default__process_schema_changes(on_schema_change, source_relation, target_relation)) }}
    {%- endif -%}
    {#- What follows asks for the names alone, and the types are not said of every relation. -#}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do columns.append(api.Column.create(column.name, column.get('data_type', ''))) -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{# The descriptions of a relation and its columns as COMMENTs (config `persist_docs`). A scratch build is read by nobody but the build. #}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) %}
    {%- if not is_as_before() and not is_scratch() -%}
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
