{# Joins the owner of a resource on the day of use; `on` adds conditions such as the direction. #}
{% macro join_owner(alias, usage, provider, resource_type, key, condition='true') -%}
    left join owners as {{ alias }}
        on {{ condition }}
        and {{ alias }}.provider = '{{ provider }}'
        and {{ alias }}.resource_type = '{{ resource_type }}'
        and {{ alias }}.resource_key = {{ key }}
        and {{ is_in_force_on(alias, usage ~ '.usage_date') }}
{%- endmacro %}

{# The tenant that the events of a record name; null where they name none. A look-up in a CTE `named` of int_tracked_tenants. #}
{% macro named_tenant(service, record_key) -%}
    (select named.tenant_id from named where named.service = '{{ service }}' and named.record_key = {{ record_key }})
{%- endmacro %}

{#
  Joins, where `condition` holds, the tenant of a call, or of the nearest call that it was dialled from and that has one: a leg that has
  none asks its parent. `own_tenant_id` is the one that the directory gives; `named_tenant_id` the one that a call's event names, where it
  names one, as the event of a call does for the call itself. One look-up by sid a generation, in the CTEs `legs` of
  int_twilio_call_owners and `named` of int_tracked_tenants.
#}
{% macro join_call_owner(alias, call_sid, condition) -%}
    left join lateral (
        with recursive ancestors as (
            select
                parent.parent_call_sid,
                parent.own_tenant_id,
                {{ named_tenant('twilio_voice', 'parent.call_sid') }} as event_tenant_id,
                1 as generation
            from legs as parent
            where
                {{ condition }}
                and parent.call_sid = {{ call_sid }}
            union all
            select
                parent.parent_call_sid,
                parent.own_tenant_id,
                {{ named_tenant('twilio_voice', 'parent.call_sid') }},
                ancestors.generation + 1
            from ancestors
            -- `limit` keeps this a look-up by key: as a plain join it may read every call there is.
            cross join
                lateral (
                    select *
                    from legs
                    where legs.call_sid = ancestors.parent_call_sid
                    limit 1
                ) as parent
            where
                ancestors.own_tenant_id is null
                and ancestors.generation < 10
        )

        select
            max(ancestors.own_tenant_id) as own_tenant_id,
            (
                array_agg(coalesce(ancestors.event_tenant_id, ancestors.own_tenant_id) order by ancestors.generation)
                filter (where ancestors.event_tenant_id is not null or ancestors.own_tenant_id is not null)
            )[1] as named_tenant_id
        from ancestors
    ) as {{ alias }} on true
{%- endmacro %}

{# Twilio's directions, as ours. #}
{% macro twilio_direction(column) -%}
    case when {{ column }} in ('inbound', 'trunking-originating') then 'inbound' else 'outbound' end
{%- endmacro %}

{# The side of a message or call that may be a number of ours: who received what came in, who sent what went out. #}
{% macro our_number(record) -%}
    case when {{ twilio_direction(record ~ '.twilio_direction') }} = 'inbound' then {{ record }}.to_number_hash else {{ record }}.from_number_hash end
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
