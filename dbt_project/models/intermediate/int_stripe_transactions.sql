-- Grain: balance transaction. Additive: unit_count, and amount_usd and billed_cost_usd where known.
with listed as not materialized (
    select * from {{ ref('stg_stripe__balance_transactions') }}
),

-- An account that the directory knows may be the key's own: its transactions are then in two lists, and count in the one that says whose
-- they are.
transactions as (
    select listed.*
    from listed
    left join lateral (
        select true as is_found
        from listed as other
        where
            other.transaction_id = listed.transaction_id
            and (other.account_id = 'platform', other.account_id) < (listed.account_id = 'platform', listed.account_id)
        limit 1
    ) as better on true
    where better.is_found is null
),

charges as not materialized (
    select * from {{ ref('stg_stripe__balance_transactions') }}
    where transaction_type in ('charge', 'payment')
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

-- A refund or a dispute is about a charge, made on an earlier day: whoever that was for, this is for.
about as (
    select
        transactions.*,
        charge.connected_account_id as charge_account_id,
        charge.metadata_tenant_id as charge_tenant_id
    from transactions
    left join lateral (
        select
            charges.connected_account_id,
            charges.metadata_tenant_id
        from charges
        where
            charges.charge_id = transactions.charge_id
            and charges.transaction_id <> transactions.transaction_id
        order by charges.created_at asc, charges.transaction_id asc
        limit 1
    ) as charge on true
),

in_usd as (
    select
        about.*,
        -- What a percentage is taken of. A fee that Stripe takes by itself is an amount of its own, and nothing but the fee.
        {{ stripe_usd("case when transaction_type in (" ~ own_fee_types() ~ ") then - amount_minor else amount_minor end") }} as amount_usd,
        -- What a platform takes of its accounts is in their fee as well, and not Stripe's.
        {{ stripe_usd("fee_minor - application_fee_minor - case when transaction_type in (" ~ own_fee_types() ~ ") then amount_minor else 0 end") }} as billed_cost_usd
    from about
),

final as (
    select
        in_usd.transaction_id,
        in_usd.usage_date,
        coalesce(account.tenant_id, named.tenant_id, charge_account.tenant_id, charge_named.tenant_id, 'unattributed') as tenant_id,
        case
            when account.tenant_id is not null then 'account'
            when named.tenant_id is not null then 'metadata'
            when charge_account.tenant_id is not null or charge_named.tenant_id is not null then 'charge'
            else 'none'
        end as attribution,
        in_usd.transaction_type as operation,
        1 as unit_count,
        in_usd.amount_usd::numeric(38, 18) as amount_usd,
        case when in_usd.amount_usd is null then in_usd.currency else '' end as unconverted_currency,
        in_usd.billed_cost_usd::numeric(38, 18) as billed_cost_usd
    from in_usd
    {{ join_owner('account', 'in_usd', 'stripe', 'account', 'in_usd.connected_account_id') }}
    {{ join_owner('charge_account', 'in_usd', 'stripe', 'account', 'in_usd.charge_account_id') }}
    left join tenants as named
        on in_usd.metadata_tenant_id = named.tenant_id
    left join tenants as charge_named
        on in_usd.charge_tenant_id = charge_named.tenant_id
)

select * from final
