{# Fails for each row of the window whose column holds none of the allowed values. #}
{% test values_in(model, column, allowed, window) %}
    select *
    from {{ model }}
    where ({{ column }} is null or {{ column }} not in ('{{ allowed | join("', '") }}'))
    {% if window in ('day', 'month') %}
        and {{ in_window('date' if window == 'day' else 'month', window) }}
    {% endif %}
{% endtest %}
