{#
  How a function is built here: by dbt's own materialization, but that, as of views, one whose text is as it was is left alone (its
  digest is its comment) and a changed one is replaced in place; only if it returns other columns it is dropped first. It runs with
  the rights of its owner, and PostgreSQL's gift to everybody is taken back. On Citus with those of its caller, which are more: workers
  show one role nothing of what another has written in the same transaction.
#}
{% macro postgres__scalar_function_sql(target_relation) %}
    function {{ target_relation.include(database=false) }} ({{ formatted_scalar_function_args_sql() }})
    returns {{ model.returns.data_type }}
    language sql
    {{ scalar_function_volatility_sql() }}
    security {{ 'invoker' if is_citus() else 'definer' }}
    set search_path = pg_catalog, pg_temp
    as $function$
    {{ model.compiled_code }}
    $function$
{% endmacro %}

{% macro postgres__function_execute_build_sql(build_sql, existing_relation, target_relation) %}
    {%- set signature = target_relation.include(database=false) ~ '(' ~ (model.arguments | map(attribute='data_type') | join(', ')) ~ ')' -%}
    {%- set digest = 'dbt ' ~ local_md5(build_sql) -%}
    {%- set is_kept = run_query(
        "select obj_description(to_regprocedure('" ~ signature ~ "'), 'pg_proc') = '" ~ digest ~ "'"
    ).columns[0].values()[0] -%}

    {%- if is_kept -%}
        {%- call noop_statement('main', 'UNCHANGED', 'UNCHANGED', 0) -%}
            -- unchanged
        {%- endcall -%}
    {%- else -%}
        {%- call statement('main') -%}
            do $build$
            begin
                create or replace {{ build_sql }};
            exception when invalid_function_definition then
                drop function {{ signature }};
                create {{ build_sql }};
            end
            $build$;
            revoke all on function {{ signature }} from public;
            comment on function {{ signature }} is '{{ digest }}';
        {%- endcall -%}
        {{ adapter.commit() }}
    {%- endif -%}
{% endmacro %}
