{#
  What tracked events say of a record, and what it counts as where the events are all there is.
#}

{# A table of events in the columns of stg_tracking__events. #}
{% macro tracked_events(rows) -%}
    select
        record_key,
        event_key,
        usage_date,
        occurred_at,
        tenant_id,
        service,
        operation,
        channel,
        direction,
        source,
        feature,
        activity,
        model,
        units as unit_count,
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        output_tokens,
        resource_id,
        metadata ->> 'status' as event_status,
        metadata ->> 'amount_minor' as amount_minor,
        lower(metadata ->> 'currency') as currency,
        {{ tier_name("metadata ->> 'service_tier'") }} as tier
    from {{ rows }}
{%- endmacro %}

{#
  One row per service and record of `about`, events in the columns of stg_tracking__events. `tenants` has the ids that the directory
  knows: who sends events may name another, and that must not hide one that it knows.
#}
{% macro tracked_records(about, tenants) -%}
    select
        summed.*,
        -- Without a record of the provider's: what is known to have failed does not count, nor a call that no minutes are known of, nor
        -- the release of a number.
        (service not in ({{ record_services() }}) or not has_failed)
        and (service not in ('twilio_voice', 'twilio_phone') or unit_count > 0) as counts_by_itself
    from (
        select
            service,
            record_key,
            count(*) as event_count,
            {{ earliest('usage_date') }} as usage_date,
            coalesce(
                {{ earliest('tenant_id', 'is_known') }},
                {{ earliest('tenant_id', "tenant_id not in ('', 'unattributed')") }}
            ) as event_tenant_id,
            coalesce(
                min(tenant_id) filter (where tenant_id not in ('', 'unattributed'))
                < max(tenant_id) filter (where tenant_id not in ('', 'unattributed')),
                false
            ) as has_several_tenants,
            coalesce({{ earliest('feature', "is_known and feature <> ''") }}, {{ earliest('feature', "feature <> ''") }}) as feature,
            {{ earliest('activity', "activity <> ''") }} as activity,
            {{ earliest('channel') }} as channel,
            coalesce({{ earliest('operation', "operation <> ''") }}, '') as operation,
            coalesce({{ earliest('direction', "direction in ('outbound', 'inbound')") }}, 'none') as direction,
            coalesce({{ earliest('source', "source <> ''") }}, '') as source,
            coalesce({{ earliest('model', "model <> ''") }}, '') as model,
            coalesce({{ earliest('resource_id', "resource_id <> ''") }}, '') as resource_id,
            max(unit_count)::numeric(38, 18) as unit_count,
            max(input_tokens) as input_tokens,
            max(cached_input_tokens) as cached_input_tokens,
            -- A span tells one number of writes to the cache: it holds where no event of the use tells those of an hour from the others.
            case
                when bool_or(cache_write_1h_tokens is not null)
                    then coalesce(max(cache_write_tokens) filter (where cache_write_1h_tokens is not null), 0)
                else max(cache_write_tokens)
            end as cache_write_tokens,
            max(cache_write_1h_tokens) as cache_write_1h_tokens,
            max(output_tokens) as output_tokens,
            {{ earliest('amount_minor::numeric / 100', "amount_minor ~ '^-?[0-9]{1,18}$' and currency = 'usd'") }} as amount_usd,
            {{ earliest('currency', 'currency is not null') }} as currency,
            coalesce({{ earliest('tier', "tier <> ''") }}, '') as tier,
            coalesce(bool_or({{ is_unused('event_status', 'sms') }}), false) as has_failed
        from (
            select
                about.*,
                tenants.tenant_id is not null and about.tenant_id not in ('', 'unattributed') as is_known
            from {{ about }} as about
            left join {{ tenants }} as tenants
                on about.tenant_id = tenants.tenant_id
        ) as named
        group by service, record_key
    ) as summed
{%- endmacro %}

{# Who has the resource that a tracked record names on its day, as `owners` (stg_directory__resources) say: a row, or none. #}
{% macro resource_owner(record, owners, condition='true') -%}
    select
        owners.tenant_id,
        owners.resource_type
    from {{ owners }} as owners
    where
        {{ condition }}
        and {{ record }}.resource_id <> ''
        and owners.provider = {{ provider_of(record ~ '.service') }}
        and owners.resource_key = {{ record }}.resource_id
        and {{ is_in_force_on('owners', record ~ '.usage_date') }}
    order by array_position(array['subaccount', 'messaging_service', 'phone_number', 'project', 'workspace', 'api_key'], owners.resource_type)
    limit 1
{%- endmacro %}

{# Of tracked records with their resource's owner, those that count by themselves, and what they count as. #}
{% macro counted_by_themselves(records) -%}
    select
        usage_date,
        service,
        record_key,
        event_count,
        event_tenant_id,
        has_several_tenants,
        directory_tenant_id,
        attribution,
        feature,
        activity,
        channel,
        operation,
        case when service in ({{ aggregate_services() }}) then {{ sum_direction('channel') }} else direction end as direction,
        source,
        model,
        -- Of AI: how it was processed, and whether it was a long call, which may have prices of their own.
        case when service in ({{ token_services() }}) then {{ tier_of_call('tier', 'input_tokens', 'service', 'model') }} else '' end as tier,
        resource_id,
        case
            when {{ counts_tokens() }} and coalesce(input_tokens, output_tokens) is not null
                then coalesce(input_tokens, 0) + coalesce(output_tokens, 0)
            else unit_count
        end as unit_count,
        case
            when channel in ({{ quoted(meters() | selectattr('requests', 'equalto', 'units') | map(attribute='channel')) }}) then unit_count
            -- What is held for a day is no request: gigabytes, and the bytes of a vector store.
            {%- for meter in meters() | selectattr('requests', 'equalto', 'none') %}
            when {{ "channel = '" ~ meter.channel ~ "'" if meter.is_channel_unit else "service = '" ~ meter.service ~ "' and operation in (" ~ quoted(meter.operations) ~ ")" }} then 0
            {%- endfor %}
            else 1
        end::bigint as request_count,
        -- Tokens that nobody split are taken for input, so that a day's sums stay sums of its parts.
        case
            when {{ counts_tokens() }} and coalesce(input_tokens, output_tokens) is null then unit_count::bigint
            else coalesce(input_tokens, 0)
        end as input_tokens,
        coalesce(cached_input_tokens, 0) as cached_input_tokens,
        coalesce(cache_write_tokens, 0) as cache_write_tokens,
        coalesce(cache_write_1h_tokens, 0) as cache_write_1h_tokens,
        coalesce(output_tokens, 0) as output_tokens,
        unit_count as tracked_unit_count,
        case when service = 'stripe' and operation in ({{ own_fee_types() }}) then -amount_usd else amount_usd end as amount_usd,
        case when service = 'stripe' and amount_usd is null then coalesce(currency, 'unknown') else '' end as unconverted_currency
    from {{ records }}
    where counts_by_itself
{%- endmacro %}

{% macro counts_tokens() -%}
    service in ({{ token_services() }}) and {{ openai_unit('operation') }} = 'tokens'
{%- endmacro %}
