{#
  Post-hook of a table that later steps of the same build read, and that cannot wait for autovacuum to tell the planner how many rows
  these are. A small part of a long history can: the planner knows its days, looks up the newest in the index, and autovacuum samples the
  table once a tenth of it has changed.
#}
{% macro analyze_window() -%}
    do $analyze$
    begin
        if (
            select count(*) * 20 >= (select reltuples from pg_class where oid = '{{ this }}'::regclass)
            from {{ this }}
            where {{ in_window(config.get('window_column', 'date'), 'day') }}
        ) then
            analyze {{ this }};
        end if;
    end
    $analyze$
{%- endmacro %}
