{#
  Fails for each key of the window's days whose sums are not those of the other relation, or are known in one of them only.
  `same_keys` false: a key that stands in one of them only is nothing wrong if its sums are 0 or unknown.
#}
{% test same_sums(model, other, by, sums, same_keys=true) %}
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
        or (
            min(side) <> max(side)
            and bool_or({{ name }} is not null) filter (where side = 1) <> bool_or({{ name }} is not null) filter (where side = -1)
        )
        {{ ' or ' if not loop.last }}
        {%- endfor %}
        {%- if same_keys %}
        or min(side) = max(side)
        {%- endif %}
{% endtest %}
