{# Fails for each key of the window that stands in more than one row. #}
{% test unique_grain(model, columns, window) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    {% if window in ('day', 'month') %}
    where {{ in_window('date' if window == 'day' else 'month', window) }}
    {% endif %}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
