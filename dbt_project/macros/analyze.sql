{#
  Post-hook of a table that later steps of the same build read, and that cannot wait for autovacuum to tell the planner how many rows
  these are. A sample of all of a long history costs more than a day of it: where the window is a small part of the table, a tenth of
  the sample says that it is there, and about how much of it.
#}
{% macro analyze_window() -%}
    do $analyze$
    begin
        if (
            select count(*) * 20 < (select reltuples from pg_class where oid = '{{ this }}'::regclass)
            from {{ this }}
            where {{ in_window(config.get('window_column', 'date'), 'day') }}
        ) then
            set local default_statistics_target = 10;
        end if;
        analyze {{ this }};
    end
    $analyze$
{%- endmacro %}
