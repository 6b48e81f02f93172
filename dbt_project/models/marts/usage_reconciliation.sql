-- Grain: tenant × date × service, of the services whose provider keeps records or sums. What the provider says against what was
-- tracked. provider_units are on the tenant that the directory gives the record or resource to, tracked_units on the tenant that the
-- event names: a difference of the two shows on both. What a service counts in a unit of its own (R2's gigabytes beside its operations,
-- OpenAI's images beside its tokens) is a service of its own (`cloudflare_r2_storage`), and there only where it was tracked. So are Twilio's
-- totals of an account (`…_total`) against its messages and calls, which are of the tenant whose subaccount it is. Additive within a
-- service: units and counts (not drift_percent, not state).
{{ config(
    window='day',
    pre_hook="{{ build_together_with(['int_settled_records', 'int_tracked_aggregates', 'int_settled_aggregates']) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['date']}]
) }}

-- Read three times, rather than kept once with all its columns: a year's records are many.
with records as not materialized (
    select
        found.*,
        {{ reconciled_as('found.service', 'found.operation', 'found.channel') }} as reconciled_service
    from {{ ref('int_settled_records') }} as found
    where
        {{ in_window('found.usage_date', 'day') }}
        and found.is_counted
        and found.service in ({{ record_services() }})
        and (found.event_count > 0 or {{ is_main_unit('found.service', 'found.operation', 'found.channel') }})
),

tracked as (
    select
        found.*,
        {{ reconciled_as('found.service', 'found.operation', 'found.channel') }} as reconciled_service
    from {{ ref('int_tracked_aggregates') }} as found
    where {{ in_window('found.usage_date', 'day') }}
),

settled as (
    select
        found.*,
        {{ reconciled_as('found.service', 'found.operation', sum_channel('found.service', 'found.operation')) }} as reconciled_service
    from {{ ref('int_settled_aggregates') }} as found
    where
        {{ in_window('found.usage_date', 'day') }}
        and (found.has_tracked or {{ is_main_unit('found.service', 'found.operation', sum_channel('found.service', 'found.operation')) }})
),

control_totals as (
    select * from {{ ref('int_twilio_control_totals') }}
),

-- Each as the provider sees it (on the directory's tenant) and as we do (on the event's).
entries as (
    select
        coalesce(directory_tenant_id, 'unattributed') as tenant_id,
        usage_date,
        reconciled_service as service,
        unit_count as provider_units,
        0 as tracked_units,
        -- Who tracked no quantity (a call that had only begun) said nothing that could differ.
        case when tracked_unit_count > 0 then abs(unit_count - tracked_unit_count) else 0 end as drift_units,
        0 as untracked_units,
        (event_count > 0)::int as matched_count,
        case when event_count = 0 then coalesce(cardinality(record_keys), 1) else 0 end as provider_only_count,
        0 as tracked_only_count,
        is_misattributed::int as misattributed_count,
        (event_count > 0 and billed_cost_usd is null)::int as price_pending_count
    from records
    where has_record
    union all
    select
        tenant_id,
        usage_date,
        reconciled_service as service,
        0 as provider_units,
        -- What was tracked, not what it was settled to. Where no quantity was told yet, there is nothing to differ.
        case when tracked_unit_count > 0 then tracked_unit_count else unit_count end as tracked_units,
        0 as drift_units,
        0 as untracked_units,
        0 as matched_count,
        0 as provider_only_count,
        (not has_record)::int as tracked_only_count,
        (is_misattributed and tenant_id <> directory_tenant_id)::int as misattributed_count,
        0 as price_pending_count
    from records
    where event_count > 0
    union all
    select
        directory_tenant_id as tenant_id,
        usage_date,
        reconciled_service as service,
        0 as provider_units,
        0 as tracked_units,
        0 as drift_units,
        0 as untracked_units,
        0 as matched_count,
        0 as provider_only_count,
        0 as tracked_only_count,
        1 as misattributed_count,
        0 as price_pending_count
    from records
    where
        is_misattributed
        and not has_record
        and tenant_id <> directory_tenant_id
    union all
    select
        owner_id as tenant_id,
        usage_date,
        reconciled_service as service,
        provider_unit_count as provider_units,
        0 as tracked_units,
        case when is_closed then greatest(tracked_unit_count - provider_unit_count, 0) else 0 end as drift_units,
        greatest(provider_unit_count - tracked_unit_count, 0) as untracked_units,
        0 as matched_count,
        ((provider_unit_count - tracked_unit_count) * 100 > provider_unit_count * {{ drift_tolerance_percent() }})::int as provider_only_count,
        0 as tracked_only_count,
        0 as misattributed_count,
        0 as price_pending_count
    from settled
    union all
    select
        tracked.tenant_id,
        tracked.usage_date,
        tracked.reconciled_service as service,
        0 as provider_units,
        tracked.unit_count as tracked_units,
        0 as drift_units,
        0 as untracked_units,
        case when settled.is_confirmed and settled.provider_unit_count > 0 then tracked.record_count else 0 end as matched_count,
        0 as provider_only_count,
        case when settled.is_confirmed and settled.provider_unit_count > 0 then 0 else tracked.record_count end as tracked_only_count,
        case when tracked.is_misattributed then tracked.record_count else 0 end as misattributed_count,
        0 as price_pending_count
    from tracked
    inner join settled
        on {{ same_sum('tracked', 'settled', 'tracked.owner_id') }}
    union all
    select
        owner_id as tenant_id,
        usage_date,
        reconciled_service as service,
        0 as provider_units,
        0 as tracked_units,
        0 as drift_units,
        0 as untracked_units,
        0 as matched_count,
        0 as provider_only_count,
        0 as tracked_only_count,
        record_count as misattributed_count,
        0 as price_pending_count
    from tracked
    where is_misattributed
    union all
    select
        tenant_id,
        usage_date,
        service || '_total' as service,
        control_units as provider_units,
        record_units as tracked_units,
        abs(control_units - record_units) as drift_units,
        0 as untracked_units,
        1 as matched_count,
        0 as provider_only_count,
        0 as tracked_only_count,
        0 as misattributed_count,
        0 as price_pending_count
    from control_totals
),

summed as (
    select
        tenant_id,
        usage_date,
        service,
        sum(provider_units) as provider_units,
        sum(tracked_units) as tracked_units,
        sum(drift_units) as drift_units,
        sum(untracked_units) as untracked_units,
        sum(matched_count) as matched_count,
        sum(provider_only_count) as provider_only_count,
        sum(tracked_only_count) as tracked_only_count,
        sum(misattributed_count) as misattributed_count,
        sum(price_pending_count) as price_pending_count
    from entries
    group by tenant_id, usage_date, service
    having sum(provider_units) <> 0 or sum(tracked_units) <> 0
),

measured as (
    select
        summed.*,
        case
            when drift_units = 0 then 0
            when provider_units = 0 then 100
            else {{ percent_of('drift_units', 'provider_units') }}
        end as drift_percent
    from summed
),

final as (
    select
        tenant_id::text as tenant_id,
        usage_date::date as date,
        service::text as service,
        provider_units::numeric(38, 18) as provider_units,
        tracked_units::numeric(38, 18) as tracked_units,
        (provider_units - tracked_units)::numeric(38, 18) as difference,
        drift_percent::numeric(38, 18) as drift_percent,
        case
            when drift_percent > {{ drift_tolerance_percent() }} then 'drift'
            when misattributed_count > 0 then 'misattributed'
            when tracked_only_count > 0 then 'tracked_only'
            when
                (service in ({{ record_services() }}) and provider_only_count > 0)
                or untracked_units * 100 > provider_units * {{ drift_tolerance_percent() }}
                -- What was tracked of it agrees; how much that is, tracked_units of provider_units says.
                then case when tracked_units > 0 then 'partly_tracked' else 'provider_only' end
            when price_pending_count > 0 then 'price_pending'
            else 'matched'
        end::text as state,
        matched_count::bigint as matched_count,
        provider_only_count::bigint as provider_only_count,
        tracked_only_count::bigint as tracked_only_count,
        misattributed_count::bigint as misattributed_count,
        price_pending_count::bigint as price_pending_count,
        {{ built_at() }} as updated_at
    from measured
)

select * from final
