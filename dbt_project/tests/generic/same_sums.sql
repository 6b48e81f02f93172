{#
  Fails for each key of the window's days whose sums are not those of the other relation; `strict`: also for a key that stands in one of
  them only, or whose sum is known (not null) in one of them only.
#}
{% test same_sums(model, other, by, sums, strict=true) %}
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
        {%- if strict %}
        or bool_or({{ name }} is not null) filter (where side = 1) is distinct from bool_or({{ name }} is not null) filter (where side = -1)
        {%- endif %}
        {{ ' or ' if not loop.last }}
        {%- endfor %}
{% endtest %}
