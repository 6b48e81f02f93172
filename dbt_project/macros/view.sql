{#
  How a view is built here. dbt's own way creates a new view, renames both and drops the old one by cascade, at every build:
  that takes the views on it along (a build of a part breaks the rest) and churns the catalog 96 times a day. Here a view whose
  text is as it was is left alone (its comment ends with a digest of the text and of what is said of the columns); a changed one is
  replaced in place, and only if its columns changed, too, dropped with what stands on it, which the same build makes again: a build of a part
  that would not is refused. Post-hooks run only after the view was made or changed.
#}
{# The project's views that stand on a relation and that this build would not make again, as one text; null: there are none. #}
{% macro views_left_out(relation) -%}
    {%- set left_out = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized == 'view' and node.unique_id not in selected_resources -%}
        {%- do left_out.append("'" ~ node.schema ~ '.' ~ node.alias ~ "'") -%}
    {%- endfor -%}
    (
        with recursive standing as (
            select to_regclass('{{ relation }}')::oid as oid
            union
            select pg_rewrite.ev_class
            from standing
            inner join pg_depend on standing.oid = pg_depend.refobjid and pg_depend.classid = 'pg_rewrite'::regclass
            inner join pg_rewrite on pg_depend.objid = pg_rewrite.oid
        )
        select string_agg(name, ', ' order by name)
        from (
            select concat_ws('.', pg_namespace.nspname, pg_class.relname) as name
            from standing
            inner join pg_class on standing.oid = pg_class.oid
            inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
        ) as views
        where name = any(array[{{ left_out | join(', ') }}]::text[])
    )
{%- endmacro %}

{% materialization view, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set columns = model.columns.values() | map(attribute='description') | join('\n') -%}
    {#- Not of the database's name: a copy under another one has these views. -#}
    {%- set text = sql | replace('"' ~ target_relation.database ~ '".', '') -%}
    {%- set comment = (model.description ~ '\n\ndbt ' ~ local_md5(text ~ columns)) | trim -%}

    {%- set refusal = ' cannot be made anew, for other views of the project stand on it: select ' ~ this.identifier ~ '+' -%}
    {%- if existing is not none and not existing.is_view -%}
        {%- if run_query('select ' ~ views_left_out(target_relation)).columns[0].values()[0] is not none -%}
            {{ exceptions.raise_compiler_error(this.schema ~ '.' ~ this.identifier ~ refusal) }}
        {%- endif -%}
        {{ adapter.drop_relation(existing) }}
        {%- set existing = none -%}
    {%- endif -%}
    {%- set is_kept = existing is not none and run_query(
        "select obj_description(to_regclass('" ~ target_relation ~ "'), 'pg_class') = " ~ postgres_escape_comment(comment)
    ).columns[0].values()[0] -%}

    {%- if is_kept -%}
        {%- call noop_statement('main', 'UNCHANGED', 'UNCHANGED', 0) -%}
            -- unchanged
        {%- endcall -%}
    {%- else -%}
        {%- call statement('main') -%}
            do $build$
            begin
                create or replace view {{ target_relation }} as (
                    {{ sql }}
                );
            exception when invalid_table_definition then
                if {{ views_left_out(target_relation) }} is not null then
                    raise exception '{{ this.schema }}.{{ this.identifier }}{{ refusal }}';
                end if;
                drop view {{ target_relation }} cascade;
                create view {{ target_relation }} as (
                    {{ sql }}
                );
            end
            $build$;
            comment on view {{ target_relation }} is {{ postgres_escape_comment(comment) }};
        {%- endcall -%}
        {%- do persist_docs(target_relation, model, for_relation=false) -%}
        {{ run_hooks(post_hooks) }}
        {{ adapter.commit() }}
    {%- endif -%}

    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
