-- Every tenant has a row on every day of the window up to the as-of day; closed months have those of their time.
with expected as (
    select
        tenants.tenant_id,
        calendar.day::date as date
    from {{ ref('tenants') }} as tenants
    cross join generate_series(
        {{ window_start() }}::timestamp, least({{ window_end() }} - 1, {{ as_of_date() }})::timestamp, interval '1 day'
    ) as calendar (day)
),

found as (
    select
        tenant_id,
        date
    from {{ ref('billing_usage_daily') }}
    where {{ in_window('date', 'day') }}
)

select
    expected.tenant_id,
    expected.date
from expected
left join found
    on
        expected.tenant_id = found.tenant_id
        and expected.date = found.date
where found.tenant_id is null {{ and_open('expected.date', 'day') }}
