{# Fails for each row (of the window, where the model has a day) in which one of the columns is below 0. #}
{% test not_negative(model, columns, day=none) %}
    select *
    from {{ model }}
    where ({{ columns | join(' < 0 or ') }} < 0)
    {% if day %}
        and {{ in_window(day, 'day') }}
    {% endif %}
{% endtest %}
