{# Joins the owner of a resource on the day of use; `on` adds conditions such as the direction. #}
{% macro join_owner(alias, usage, provider, resource_type, key, condition='true') -%}
    left join owners as {{ alias }}
        on {{ condition }}
        and {{ alias }}.provider = '{{ provider }}'
        and {{ alias }}.resource_type = '{{ resource_type }}'
        and {{ alias }}.resource_key = {{ key }}
        and {{ alias }}.valid_from <= {{ usage }}.usage_date
        and {{ alias }}.valid_to > {{ usage }}.usage_date
{%- endmacro %}

{# Twilio's directions, as ours. #}
{% macro twilio_direction(column) -%}
    case when {{ column }} in ('inbound', 'trunking-originating') then 'inbound' else 'outbound' end
{%- endmacro %}

{#
  What Twilio bills, in USD: its price as a positive amount; 0 where none has come after 72 hours; else not known yet.
  A price in another currency is not known in ours.
#}
{% macro twilio_billed_usd(price, price_unit, happened_at) -%}
    case
        when {{ price }} is not null and coalesce({{ price_unit }}, 'USD') = 'USD' then abs({{ price }})
        when {{ price }} is null and {{ as_of() }} - {{ happened_at }} > interval '72 hours' then 0
    end
{%- endmacro %}
