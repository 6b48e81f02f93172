{#
  How a view is built here. dbt's own way creates a new view, renames both and drops the old one by cascade, at every build:
  that takes the views on it along (a build of a part breaks the rest) and churns the catalog 96 times a day. Here a view whose
  text is as it was is left alone (its comment ends with a digest of the text and of what is said of the columns); a changed one is
  replaced in place, and only if its columns changed, too, dropped with what stands on it, which the same build makes again. Post-hooks
  run only after the view was made or changed.
#}
{% materialization view, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set columns = model.columns.values() | map(attribute='description') | join('\n') -%}
    {#- Not of the database's name: a copy under another one has these views. -#}
    {%- set text = sql | replace('"' ~ target_relation.database ~ '".', '') -%}
    {%- set comment = (model.description ~ '\n\ndbt ' ~ local_md5(text ~ columns)) | trim -%}

    {%- if existing is not none and not existing.is_view -%}
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
