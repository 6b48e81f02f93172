{# How many minor units (cents) a currency's unit has, as Stripe counts amounts: docs.stripe.com/currencies. #}
{% macro minor_units(currency) -%}
    case
        when {{ currency }} in ('bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf') then 1
        when {{ currency }} in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then 1000
        else 100
    end
{%- endmacro %}

{# Types of Stripe's transactions that are nothing but a fee of its own: what they take is their amount, and their `fee` is none. #}
{% macro own_fee_types() -%} 'stripe_fee', 'stripe_fx_fee', 'tax_fee', 'network_cost' {%- endmacro %}

{#
  May an adjustment be the one that a dispute's fee is taken with? Stripe's category says so; where it says nothing, money that is taken
  away may be. What comes back, a difference of currencies or a correction has none.
#}
{% macro may_carry_dispute_fee(row) -%}
    (
        {{ row }}.transaction_type = 'adjustment'
        and coalesce({{ row }}.reporting_category, 'dispute') = 'dispute'
        and ({{ row }}.fee_minor > 0 or {{ row }}.amount_minor <= 0)
    )
{%- endmacro %}

{# Types that move money between balances and are not payments: without a fee they cost nothing, in whatever currency. #}
{% macro money_movement_types() -%}
    'application_fee', 'application_fee_refund', 'connect_collection_transfer', 'payout', 'payout_cancel', 'payout_failure',
    'reserve_transaction', 'reserved_funds', 'topup', 'topup_reversal', 'transfer', 'transfer_cancel', 'transfer_failure', 'transfer_refund'
{%- endmacro %}

{#
  An amount of Stripe's in USD; null where it cannot be said. Stripe's rate leads from what was charged to what the balance is kept
  in: a balance in another currency is led back by it where USD was charged, and by nothing else.
#}
{% macro stripe_usd(amount_minor) -%}
    case
        when currency = 'usd' then ({{ amount_minor }}) / {{ minor_units('currency') }}::numeric
        when source_currency = 'usd' and exchange_rate is not null
            then ({{ amount_minor }}) / ({{ minor_units('currency') }} * exchange_rate)
    end
{%- endmacro %}
