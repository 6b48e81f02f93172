{# Fails for each row (of the window, where the model has a day) in which one of the columns is null. #}
{% test never_null(model, columns, day=none) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    where ({{ columns | join(' is null or ') }} is null)
    {% if day %}
        and {{ in_window(day, 'day') }}
    {% endif %}
{% endtest %}
