{# Fails for each period that begins before the one before it (of the same key) has ended: a join on a day would find two. #}
{% test periods_do_not_overlap(model, columns, valid_from='valid_from', valid_to='valid_to') %}
    select *
    from (
        select
            {{ columns | join(', ') }},
            {{ valid_from }} as starts,
            max(coalesce({{ valid_to }}, 'infinity'::date)) over (
                partition by {{ columns | join(', ') }}
                order by {{ valid_from }}
                rows between unbounded preceding and 1 preceding
            ) as previous_ends
        from {{ model }}
    ) as periods
    where starts < previous_ends
{% endtest %}
