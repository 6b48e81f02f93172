-- The services' costs sum to the total, and the total to usage_monthly's.
with monthly as (
    select
        tenant_id,
        month,
        sum(estimated_cost_cents) as total_cost_cents
    from {{ ref('usage_monthly') }}
    group by tenant_id, month
)

select
    tenant_monthly.tenant_id,
    tenant_monthly.month
from {{ ref('tenant_monthly') }} as tenant_monthly
left join monthly
    on
        tenant_monthly.tenant_id = monthly.tenant_id
        and tenant_monthly.month = monthly.month
where
    coalesce(tenant_monthly.total_cost_cents, 0) <> coalesce(monthly.total_cost_cents, 0)
    or coalesce(tenant_monthly.total_cost_cents, 0) <> coalesce(tenant_monthly.openai_cost_cents, 0)
    + coalesce(tenant_monthly.twilio_sms_cost_cents, 0)
    + coalesce(tenant_monthly.twilio_voice_cost_cents, 0)
    + coalesce(tenant_monthly.twilio_phone_cost_cents, 0)
    + coalesce(tenant_monthly.sendgrid_cost_cents, 0)
    + coalesce(tenant_monthly.stripe_cost_cents, 0)
    + coalesce(tenant_monthly.google_places_cost_cents, 0)
    + coalesce(tenant_monthly.storage_cost_cents, 0)
    + coalesce(tenant_monthly.other_cost_cents, 0)
