-- Grain: date × service × the name of a price set (operation, model, plan, tier): the prices that the day's lines were computed with, and the
-- version of the price book that they stood in. Kept, whatever happens to the book later. Not additive.
-- usage_lines has written the same rows with its own (macros/price_sets.sql); here they get their table, its columns and its tests.
-- depends_on: {{ ref('usage_lines') }}
{{ config(
    window='day',
    pre_hook="{{ build_together_with(['usage_lines']) }}",
    post_hook="{{ protect_rows() }}",
    indexes=[{'columns': ['date']}]
) }}

{{ price_sets_of_window(ref('price_book'), ref('int_usage_lines_estimated')) }}
