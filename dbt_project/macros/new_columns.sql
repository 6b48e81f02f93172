{#
  Pre-hook of a model that has got columns since its table was first made: adds what is missing, with what the rows from before
  mean by it. `full_refresh` is off (a table swap breaks readers) and a build holds only its window, so the table cannot be made anew.

  columns: {name: [type, value of the rows from before, or none: null, as it may be of later ones]}
  computed: {name: [type, expression over the row's other columns]}
#}
{% macro new_columns(columns={}, computed={}) %}
    {% if execute and load_cached_relation(this) is not none and not is_as_before() %}
        {%- set found = adapter.get_columns_in_relation(this) | map(attribute='name') | list -%}
        {% for name, (type, value) in columns.items() if name not in found %}
            {% if value is none %}
                alter table {{ this }} add column {{ name }} {{ type }};
            {% else %}
                alter table {{ this }} add column {{ name }} {{ type }} not null default {{ value }};
                alter table {{ this }} alter column {{ name }} drop default;
            {% endif %}
        {% endfor %}
        {% for name, (type, expression) in computed.items() if name not in found %}
            alter table {{ this }} add column {{ name }} {{ type }};
            update {{ this }} set {{ name }} = {{ expression }};
            alter table {{ this }} alter column {{ name }} set not null;
        {% endfor %}
    {% endif %}
{% endmacro %}

{# The first day of a row's month. #}
{% macro month_start(month='month') -%} to_date({{ month }}, 'YYYY-MM')::date {%- endmacro %}

{# Pre-hook of a model that writes a mart whose key has got a column: adds it, and makes the key anew. Rows from before have '' there. #}
{% macro new_key_column(name, key, mart) %}
    {%- set table = this.incorporate(path={'identifier': mart}) -%}
    {% if execute and load_cached_relation(table) is not none and not is_as_before() %}
        {%- set found = adapter.get_columns_in_relation(table) | map(attribute='name') | list -%}
        {% if name not in found %}
            alter table {{ table }} add column {{ name }} text not null default '';
            alter table {{ table }} alter column {{ name }} drop default;
            alter table {{ table }} drop constraint {{ mart }}_pkey, add primary key ({{ key | join(', ') }});
        {% endif %}
    {% endif %}
{% endmacro %}
