{# Fails for each row of the window whose column holds one of the values. #}
{% test never_in(model, column, values, day) %}
    select *
    from {{ model }}
    where {{ column }} in ('{{ values | join("', '") }}')
        and {{ in_window(day, 'day') }}
{% endtest %}
