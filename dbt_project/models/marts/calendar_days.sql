-- Grain: UTC day. Not additive.
-- The days that a figure may be of, with their months: MetricFlow joins it, and so can whoever wants quiet days as rows. A view of constants.
{{ config(materialized='view', post_hook="{{ protect_view() }}") }}

with days as (
    select day::date as date_day
    from generate_series('2020-01-01'::timestamp, '2049-12-31'::timestamp, interval '1 day') as day
),

final as (
    select
        date_day,
        date_trunc('week', date_day::timestamp)::date as week_start,
        date_trunc('month', date_day::timestamp)::date as month_start,
        to_char(date_day, 'YYYY-MM') as month
    from days
)

select * from final
where {{ visible_to_known_callers() }}
