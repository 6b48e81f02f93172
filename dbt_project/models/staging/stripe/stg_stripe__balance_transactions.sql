-- Grain: balance transaction. Renames only.
select
    id as transaction_id,
    account_id,
    usage_date,
    type as transaction_type,
    reporting_category,
    source_id,
    currency,
    amount_minor,
    fee_minor,
    application_fee_minor,
    exchange_rate,
    source_currency,
    charge_id,
    connected_account_id,
    metadata_tenant_id,
    created as created_at
from {{ event_rows('stripe_balance_transactions') }}
