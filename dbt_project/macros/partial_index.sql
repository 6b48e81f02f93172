{#
  Post-hook of a mart of whose whole history each build reads a few rows: an index of these rows alone, which config `indexes` cannot
  say. It is made when the code is new; a build of the same code takes no lock for it.
#}
{% macro partial_index(name, columns, column, value) -%}
    {%- if not is_as_before() -%}
    create index if not exists {{ name }} on {{ this }} ({{ columns }}) where {{ adapter.quote(column) }} = '{{ value }}'
    {%- endif -%}
{%- endmacro %}
