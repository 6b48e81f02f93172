{# Fails for each row of the window whose day is not the UTC day of its instant, whatever the session's time zone. #}
{% test is_utc_day_of(model, day, instant) %}
    select *
    from {{ every_message() if model.identifier == 'stg_twilio__messages' else model }}
    where {{ day }} is distinct from ({{ instant }} at time zone 'UTC')::date
        and {{ in_window(day, 'day') }}
{% endtest %}
