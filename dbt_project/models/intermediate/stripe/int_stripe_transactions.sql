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

disputes as not materialized (
    select * from {{ ref('stg_stripe__balance_transactions') }}
    where transaction_type = 'adjustment'
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

tenants as (
    select distinct tenant_id from {{ ref('stg_directory__tenants') }}
),

named as not materialized (
    select * from {{ ref('int_tracked_tenants') }}
),

-- A refund or a dispute is about a charge, made on an earlier day: whoever that was for, by the directory of its day, this is for.
about as (
    select
        transactions.*,
        charge.usage_date as charge_date,
        charge.connected_account_id as charge_account_id,
        charge.metadata_tenant_id as charge_tenant_id,
        {{ named_tenant('stripe', 'charge.transaction_id') }} as charge_event_tenant_id
    from transactions
    left join lateral (
        select
            charges.transaction_id,
            charges.usage_date,
            charges.connected_account_id,
            charges.metadata_tenant_id
        from charges
        where
            charges.charge_id = transactions.charge_id
            and transactions.transaction_type not in ('charge', 'payment')
        order by charges.created_at asc, charges.transaction_id asc
        limit 1
    ) as charge on true
),

-- A dispute is several adjustments (its amount, differences of currencies, what comes back) and has one fee: with the one that bears
-- it, else with the first. A charge that is disputed twice has two that bear one.
kinds as (
    select
        about.*,
        case
            when
                about.transaction_type = 'adjustment'
                and (not {{ may_carry_dispute_fee('about') }} or (about.fee_minor <= 0 and earlier.is_found is not null))
                then 'adjustment_without_fee'
            else about.transaction_type
        end as operation
    from about
    left join lateral (
        select true as is_found
        from disputes
        where
            about.transaction_type = 'adjustment'
            and (
                disputes.charge_id = about.charge_id
                or (about.charge_id is null and disputes.charge_id is null and disputes.source_id = about.source_id)
            )
            and {{ may_carry_dispute_fee('disputes') }}
            and (coalesce(disputes.fee_minor, 0) <= 0, disputes.created_at, disputes.transaction_id)
            < (coalesce(about.fee_minor, 0) <= 0, about.created_at, about.transaction_id)
        limit 1
    ) as earlier on true
),

in_usd as (
    select
        kinds.*,
        -- What a percentage is taken of. A fee that Stripe takes by itself is an amount of its own, and nothing but the fee.
        {{ stripe_usd("case when transaction_type in (" ~ own_fee_types() ~ ") then - amount_minor else amount_minor end") }} as amount_usd,
        -- What a platform takes of its accounts is in their fee as well, and not Stripe's.
        case
            when transaction_type in ({{ money_movement_types() }}) and fee_minor = application_fee_minor then 0
            else {{ stripe_usd("fee_minor - application_fee_minor - case when transaction_type in (" ~ own_fee_types() ~ ") then amount_minor else 0 end") }}
        end as billed_cost_usd
    from kinds
),

owned as (
    select
        in_usd.*,
        case
            when account.tenant_id is not null then 'account'
            when named_tenant.tenant_id is not null then 'metadata'
        end as own_attribution,
        coalesce(account.tenant_id, named_tenant.tenant_id) as own_tenant_id,
        coalesce(charge_account.tenant_id, charge_named.tenant_id) as charge_owner_id
    from in_usd
    {{ join_owner('account', 'in_usd', 'stripe', 'account', 'in_usd.connected_account_id') }}
    left join owners as charge_account
        on
            charge_account.provider = 'stripe'
            and charge_account.resource_type = 'account'
            and in_usd.charge_account_id = charge_account.resource_key
            and {{ is_in_force_on('charge_account', 'in_usd.charge_date') }}
    left join tenants as named_tenant
        on in_usd.metadata_tenant_id = named_tenant.tenant_id
    left join tenants as charge_named
        on in_usd.charge_tenant_id = charge_named.tenant_id
),

final as (
    select
        transaction_id,
        usage_date,
        coalesce(charge_owner_id, own_tenant_id, 'unattributed') as tenant_id,
        coalesce(charge_event_tenant_id, charge_owner_id, own_tenant_id, 'unattributed') as named_tenant_id,
        case
            when charge_event_tenant_id is not null or charge_owner_id is not null then 'charge'
            when own_tenant_id is not null then own_attribution
            else 'none'
        end as attribution,
        operation,
        1 as unit_count,
        amount_usd::numeric(38, 18) as amount_usd,
        case when amount_usd is null then currency else '' end as unconverted_currency,
        billed_cost_usd::numeric(38, 18) as billed_cost_usd
    from owned
)

select * from final
