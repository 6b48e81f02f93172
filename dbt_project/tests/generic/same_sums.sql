{# Fails for each key of the window's days whose sums are not those of the other relation, or are known in one of them only. #}
{% test same_sums(model, other, by, sums) %}
    select {{ by | join(', ') }}
    from (
        {% for side, relation in [(1, model), (-1, other)] -%}
        select {{ (by + sums) | join(', ') }}, {{ side }} as side
        from {{ relation }}
        where {{ in_window('date', 'day') }}
        {{ ' union all ' if not loop.last }}
        {%- endfor %}
    ) as both_sides
    group by {{ by | join(', ') }}
    having
        {% for name in sums -%}
        sum(side * coalesce({{ name }}, 0)) <> 0
        or bool_or({{ name }} is not null) filter (where side = 1) is distinct from bool_or({{ name }} is not null) filter (where side = -1)
        {{ ' or ' if not loop.last }}
        {%- endfor %}
{% endtest %}
