-- Grain: charge = tenant × date × channel × service × operation × direction × source × feature × model × evidence × tier and component of the price
-- (unit, fixed, percentage, input, cached_input, cache_write, cache_write_1h, output; `unpriced` for usage without a price, `none` for a cost
-- without usage), or one `correction` of a closed month, dated in the open one. Additive: costs and, within a unit, quantities. The columns of
-- FOCUS 1.2 bear their own names; docs/focus.md says what they mean here.
-- A view: it is the widest of all marts, and its rows follow from those of usage_lines and price_sets, which stand as they are in closed months,
-- and from the ledger of adjustments. Stored, they were a quarter of a year's build. Its conditions reach the lines: what it is asked for by day or
-- tenant costs as much as these have lines.
{{ config(materialized='view', post_hook="{{ protect_view() }}") }}

with lines as (
    select * from {{ ref('usage_lines') }}
    where {{ visible_to_caller('tenant_id') }}
),

price_sets as (
    select * from {{ ref('price_sets') }}
),

adjustments as (
    select
        *,
        {{ channel_service('channel') }} as service,
        greatest(booked_on, to_date(booked_month, 'YYYY-MM')) as date
    from {{ ref('stg_ops__cost_adjustments') }}
    where {{ visible_to_caller('tenant_id') }}
),

-- A tenant's name is that of the day, and in a closed month that of its close: a later one does not rename what was charged before.
tenants as (
    select * from {{ ref('stg_directory__tenants') }}
),

closed_months as (
    select * from {{ ref('stg_ops__closed_months') }}
),

closed_names as (
    select * from {{ ref('stg_ops__closed_names') }}
),

-- A cell of usage_daily, its priced lines and its unpriced ones apart. All lines of a cell and a tier have one set of prices.
{% set cell = 'tenant_id, date, channel, service, operation, direction, source, feature, model, evidence' -%}
halves as (
    select
        {{ cell }},
        unit,
        -- Nothing used needs no price.
        estimated_cost_usd is not null or unit_count = 0 as is_priced,
        min(price_operation) as price_operation,
        min(price_model) as price_model,
        min(price_plan) as price_plan,
        coalesce(price_tier, '') as price_tier,
        sum(unit_count) as unit_count,
        sum(input_tokens - cached_input_tokens - cache_write_tokens - cache_write_1h_tokens) as uncached_tokens,
        sum(cached_input_tokens) as cached_tokens,
        sum(cache_write_tokens) as written_tokens,
        sum(cache_write_1h_tokens) as written_1h_tokens,
        sum(output_tokens) as output_tokens,
        sum(amount_usd) as amount_usd,
        sum(estimated_cost_usd) as estimated_cost_usd,
        count(*) as line_count,
        count(billed_cost_usd) as billed_count,
        sum(billed_cost_usd) as billed_cost_usd,
        max(updated_at) as updated_at
    from lines
    group by {{ cell }}, unit, is_priced, coalesce(price_tier, '')
),

-- Billed is known of a cell once it is known of all its lines, as in usage_daily.
cells as (
    select
        halves.*,
        case when sum(line_count) over whole = sum(billed_count) over whole then sum(billed_cost_usd) over whole end as cell_billed_cost_usd
    from halves
    window whole as (partition by {{ cell }})
),

parts as (
    select
        cells.*,
        price_sets.prices,
        part.component,
        part.quantity
    from cells
    left join price_sets
        on
            cells.date = price_sets.date
            and cells.service = price_sets.service
            and cells.price_operation = price_sets.operation
            and cells.price_model = price_sets.model
            and cells.price_plan = price_sets.plan
            and cells.price_tier = price_sets.tier
    left join lateral (
        select
            named.component,
            named.quantity
        from (
            values
            ('unit', '[{"component": "unit"}]'::jsonb, case when cells.unit <> 'tokens' then cells.unit_count end),
            ('fixed', '[{"component": "fixed"}]', case when cells.unit <> 'tokens' then cells.unit_count end),
            ('percentage', '[{"component": "percentage"}]', case when cells.unit <> 'tokens' then cells.amount_usd end),
            ('input', null, case when cells.unit = 'tokens' then cells.uncached_tokens end),
            ('cached_input', null, case when cells.unit = 'tokens' then cells.cached_tokens end),
            ('cache_write', null, case when cells.unit = 'tokens' then cells.written_tokens end),
            ('cache_write_1h', null, case when cells.unit = 'tokens' then cells.written_1h_tokens end),
            ('output', null, case when cells.unit = 'tokens' then cells.output_tokens end)
        ) as named (component, as_price, quantity)
        where
            cells.is_priced
            and named.quantity <> 0
            -- Of AI a price is there for all that was used; of the rest the set may have any of the three.
            and (cells.unit = 'tokens' or price_sets.prices @> named.as_price)
    ) as part on true
),

-- Cached and written input without a price of its own is charged as input, and names that price.
priced as (
    select
        parts.*,
        chosen.price,
        (chosen.price ->> 'unit_price_usd')::numeric as unit_price,
        (chosen.price ->> 'per')::numeric as per,
        price_time.days,
        (
            {{ price_of('parts.quantity', "(chosen.price ->> 'unit_price_usd')::numeric", "(chosen.price ->> 'per')::numeric", 'price_time.days') }}
        )::numeric(38, 18) as product
    from parts
    cross join
        lateral (
            select case when parts.component = 'unit' then {{ price_days('parts.channel', 'parts.date') }} else 1 end as days
        ) as price_time
    left join lateral (
        select candidate.price
        from jsonb_array_elements(parts.prices) as candidate (price)
        where
            candidate.price ->> 'component' = parts.component
            or (parts.component in ('cached_input', 'cache_write', 'cache_write_1h') and candidate.price ->> 'component' = 'input')
        order by candidate.price ->> 'component' = parts.component desc
        limit 1
    ) as chosen on parts.component is not null
),

-- The last component takes what rounding left, so that a cell's charges sum to its cost to the last digit.
listed as (
    select
        priced.*,
        case
            when component is null then coalesce(estimated_cost_usd, 0)
            when component = max(component) over half then estimated_cost_usd - sum(product) over half + product
            else product
        end as list_cost
    from priced
    -- Ordered as the next ones, of whole cells, and not partitioned by all of it: so that the rows are sorted once.
    window half as (partition by {{ cell }} order by is_priced desc, price_tier asc groups between current row and current row)
),

running as (
    select
        listed.*,
        row_number() over in_cell as place,
        sum(list_cost) over in_cell as cost_to_here,
        sum(list_cost) over in_cell - list_cost as cost_before,
        sum(list_cost) over (partition by {{ cell }}) as cost_of_cell
    from listed
    window in_cell as (partition by {{ cell }} order by is_priced desc, price_tier asc, component asc rows unbounded preceding)
),

-- What was billed is spread by estimated cost: rounding what has been given out so far, not each part, leaves no remainder.
charged as (
    select
        running.*,
        case
            when cell_billed_cost_usd is null then list_cost
            when cost_of_cell <> 0
                then
                    round(cell_billed_cost_usd * cost_to_here / cost_of_cell, 18)
                    - round(cell_billed_cost_usd * cost_before / cost_of_cell, 18)
            when place = 1 then cell_billed_cost_usd
            else 0
        end as charged_cost,
        component is not null as is_usage,
        coalesce(component, case when is_priced then 'none' else 'unpriced' end) as charge_component
    from running
),

charges as (
    select
        tenant_id,
        date,
        date as usage_date,
        null::bigint as adjustment_id,
        channel,
        unit,
        service,
        operation,
        direction,
        source,
        feature,
        model,
        evidence,
        charge_component,
        component,
        price,
        price_operation,
        price_model,
        price_tier,
        unit_price,
        per,
        is_usage,
        case when is_usage then quantity end as consumed_quantity,
        case
            when is_usage then quantity / (per * days)
            when not is_priced then unit_count
        end as pricing_quantity,
        charged_cost,
        case when is_usage then list_cost else charged_cost end as list_cost,
        case when is_priced then list_cost end as estimated_cost,
        case when is_priced then 0 else unit_count end as unpriced_quantity,
        case
            when cell_billed_cost_usd is not null then 'billed'
            when is_priced then 'estimated'
            else 'unpriced'
        end as cost_status,
        updated_at
    from charged
    -- A line without usage and without cost is not a charge.
    where
        is_usage
        or not is_priced
        or charged_cost <> 0
    union all
    select
        tenant_id,
        date,
        usage_date,
        adjustment_id,
        channel,
        null as unit,
        service,
        '' as operation,
        'none' as direction,
        lower({{ focus_service('service', 0) }}) as source,
        '(untracked)' as feature,
        '' as model,
        '' as evidence,
        'correction' as charge_component,
        null as component,
        null as price,
        null as price_operation,
        null as price_model,
        '' as price_tier,
        null as unit_price,
        null as per,
        false as is_usage,
        null as consumed_quantity,
        null as pricing_quantity,
        charged_cost_usd as charged_cost,
        cost_usd as list_cost,
        cost_usd as estimated_cost,
        unpriced_unit_count as unpriced_quantity,
        case when charged_cost_usd = cost_usd then 'estimated' else 'billed' end as cost_status,
        recorded_at as updated_at
    from adjustments
),

final as (
    select
        charges.tenant_id::text as tenant_id,
        charges.date::date as date,
        md5(
            case
                when charges.adjustment_id is not null then jsonb_build_array('adjustment', charges.adjustment_id)
                else jsonb_build_array(
                    charges.tenant_id, charges.date, charges.channel, charges.service, charges.operation, charges.direction,
                    charges.source, charges.feature, charges.model, charges.evidence, charges.charge_component
                ) || case when charges.price_tier = '' then '[]' else jsonb_build_array(charges.price_tier) end
            end::text
        )::text as charge_id,
        charges.charged_cost::numeric(38, 18) as "BilledCost",
        coalesce(nullif(charges.source, ''), charges.service)::text as "BillingAccountId",
        ({{ focus_service('charges.service', 0) }} || ' account')::text as "BillingAccountName",
        'Account'::text as "BillingAccountType",
        'USD'::text as "BillingCurrency",
        ((date_trunc('month', charges.date::timestamp) + interval '1 month') at time zone 'UTC')::timestamptz as "BillingPeriodEnd",
        (date_trunc('month', charges.date::timestamp) at time zone 'UTC')::timestamptz as "BillingPeriodStart",
        case when charges.is_usage then 'Usage' else 'Adjustment' end::text as "ChargeCategory",
        case when charges.adjustment_id is not null then 'Correction' end::text as "ChargeClass",
        concat_ws(
            ' ',
            case charges.charge_component
                when 'unpriced' then 'No price known yet:'
                when 'none' then 'Billed by the provider without usage:'
                when 'correction' then 'Correction of ' || to_char(charges.usage_date, 'YYYY-MM-DD') || ':'
            end,
            {{ focus_service('charges.service', 1) }},
            nullif(charges.operation, ''),
            nullif(charges.model, ''),
            nullif(replace(charges.price_tier, '_', ' '), ''),
            case when charges.is_usage then lower({{ focus_meter('charges.component', 'charges.unit') }}) end
        )::text as "ChargeDescription",
        'Usage-Based'::text as "ChargeFrequency",
        ((charges.usage_date + 1)::timestamp at time zone 'UTC')::timestamptz as "ChargePeriodEnd",
        (charges.usage_date::timestamp at time zone 'UTC')::timestamptz as "ChargePeriodStart",
        null::text as "CommitmentDiscountStatus",
        charges.consumed_quantity::numeric(38, 18) as "ConsumedQuantity",
        case when charges.is_usage then {{ focus_part_unit('charges.component', 'charges.unit') }} end::text as "ConsumedUnit",
        charges.list_cost::numeric(38, 18) as "ContractedCost",
        charges.unit_price::numeric(38, 18) as "ContractedUnitPrice",
        charges.charged_cost::numeric(38, 18) as "EffectiveCost",
        null::text as "InvoiceId",
        ({{ focus_service('charges.service', 0) }})::text as "InvoiceIssuerName",
        charges.list_cost::numeric(38, 18) as "ListCost",
        charges.unit_price::numeric(38, 18) as "ListUnitPrice",
        case when charges.is_usage then 'Standard' end::text as "PricingCategory",
        'USD'::text as "PricingCurrency",
        charges.unit_price::numeric(38, 18) as "PricingCurrencyContractedUnitPrice",
        charges.charged_cost::numeric(38, 18) as "PricingCurrencyEffectiveCost",
        charges.unit_price::numeric(38, 18) as "PricingCurrencyListUnitPrice",
        charges.pricing_quantity::numeric(38, 18) as "PricingQuantity",
        case
            when charges.pricing_quantity is null then null
            when not charges.is_usage then {{ focus_unit('charges.unit') }}
            else
                case when charges.per > 1 then trim_scale(charges.per)::text || ' ' else '' end
                || {{ focus_pricing_unit('charges.component', 'charges.unit') }}
        end::text as "PricingUnit",
        ({{ focus_service('charges.service', 0) }})::text as "ProviderName",
        ({{ focus_service('charges.service', 0) }})::text as "PublisherName",
        ({{ focus_service('charges.service', 2) }})::text as "ServiceCategory",
        ({{ focus_service('charges.service', 1) }})::text as "ServiceName",
        ({{ focus_service('charges.service', 3) }})::text as "ServiceSubcategory",
        case
            when charges.is_usage
                then concat_ws(
                    '/', charges.service, charges.price_operation, charges.price_model, nullif(charges.price_tier, ''), charges.price ->> 'component'
                )
        end::text as "SkuId",
        case when charges.is_usage then {{ focus_meter("(charges.price ->> 'component')", 'charges.unit') }} end::text as "SkuMeter",
        case
            when charges.is_usage then jsonb_build_object('x_PriceSource', coalesce(charges.price ->> 'source', ''))
        end::text as "SkuPriceDetails",
        case when charges.is_usage then charges.price ->> 'price_id' end::text as "SkuPriceId",
        charges.tenant_id::text as "SubAccountId",
        coalesce(closed_names.name, tenants.name, initcap(charges.tenant_id))::text as "SubAccountName",
        'Tenant'::text as "SubAccountType",
        case when charges.feature = '(untracked)' then '{}' else jsonb_build_object('feature', charges.feature)::text end::text as "Tags",
        charges.channel::text as "x_Channel",
        charges.charge_component::text as "x_Component",
        charges.cost_status::text as "x_CostStatus",
        charges.direction::text as "x_Direction",
        charges.estimated_cost::numeric(38, 18) as "x_EstimatedCost",
        charges.evidence::text as "x_Evidence",
        charges.model::text as "x_Model",
        charges.operation::text as "x_Operation",
        charges.unpriced_quantity::numeric(38, 18) as "x_UnpricedQuantity",
        charges.updated_at
    from charges
    left join closed_months
        on to_char(charges.date, 'YYYY-MM') = closed_months.month
    left join closed_names
        on
            closed_months.month = closed_names.month
            and charges.tenant_id = closed_names.tenant_id
            and {{ is_in_force_on('closed_names', 'charges.usage_date') }}
    left join tenants
        on
            closed_months.month is null
            and charges.tenant_id = tenants.tenant_id
            and {{ is_in_force_on('tenants', 'charges.usage_date') }}
)

select * from final
