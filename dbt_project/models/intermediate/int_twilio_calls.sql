-- Grain: call leg that counts. Additive: unit_count (started minutes), request_count, billed_cost_usd.
with legs as not materialized (
    select * from {{ ref('int_twilio_call_owners') }}
),

final as (
    select
        legs.call_sid,
        legs.usage_date,
        coalesce(legs.own_tenant_id, ancestor.own_tenant_id, 'unattributed') as tenant_id,
        case
            when legs.own_tenant_id is not null then legs.own_attribution
            when ancestor.own_tenant_id is not null then 'parent_call'
            else 'none'
        end as attribution,
        legs.direction,
        ceil(legs.duration_seconds / 60.0) as unit_count,
        {{ twilio_billed_usd('legs.price', 'legs.price_unit', 'legs.started_at') }} as billed_cost_usd
    from legs
    -- A child leg that belongs to nobody by itself belongs to its parent call's tenant, whenever the parent started and
    -- whether or not it counts; a parent that is a child itself asks its own. One look-up by sid a generation.
    left join lateral (
        with recursive ancestors as (
            select
                parent.parent_call_sid,
                parent.own_tenant_id,
                1 as generation
            from legs as parent
            where
                legs.own_tenant_id is null
                and parent.call_sid = legs.parent_call_sid
            union all
            select
                parent.parent_call_sid,
                parent.own_tenant_id,
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

        select ancestors.own_tenant_id
        from ancestors
        where ancestors.own_tenant_id is not null
    ) as ancestor on true
    where
        legs.status = 'completed'
        and legs.duration_seconds > 0
)

select * from final
