-- Grain: tenant × date × channel × service × operation × direction × source × feature × model × evidence. Additive: everything.
-- The hooks write down what its days are computed from, and which costs change with them, in the transaction that replaces them:
-- depends_on: {{ ref('ledger_cost_changes') }}
-- depends_on: {{ ref('int_usage_lines_estimated') }}
-- depends_on: {{ ref('price_book') }}
{{ config(
    window='day',
    pre_hook=[
        "{{ build_together_with(['int_settled_records', 'int_usage_lines_estimated', 'ledger_usage_daily', 'ledger_cost_changes']) }}",
        "{{ new_columns({'cache_write_tokens': ['bigint', '0'], 'cache_write_1h_tokens': ['bigint', '0']}) }}"
    ],
    post_hook=[
        "{{ protect_rows() }}", "{{ record_cost_changes() }}", "{{ record_built_days() }}", "{{ analyze_window() }}",
        "{{ partial_index('usage_daily_ai', 'tenant_id, date', 'channel', 'ai') }}"
    ],
    indexes=[{'columns': ['tenant_id', 'date']}, {'columns': ['date']}]
) }}

with daily as (
    select * from {{ ref('ledger_usage_daily') }}
),

final as (
    select
        daily.*,
        {{ built_at() }} as updated_at
    from daily
)

select * from final
