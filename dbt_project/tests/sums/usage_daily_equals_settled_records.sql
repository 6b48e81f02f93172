-- Every settled record is in the mart once, of services without sums of the provider's; of the others, every tracked one.
with settled as (
    select
        usage_date,
        service,
        sum(request_count) as requests,
        sum(unit_count) as units
    from {{ ref('int_settled_records') }}
    where {{ in_open_window('usage_date') }}
    group by usage_date, service
    having bool_or(is_counted)
),

found as (
    select
        date as usage_date,
        service,
        sum(request_count) as requests,
        sum(unit_count) as units
    from {{ ref('usage_daily') }}
    where
        {{ in_open_window('date') }}
        and evidence <> 'residual'
    group by date, service
)

select
    coalesce(settled.usage_date, found.usage_date) as usage_date,
    coalesce(settled.service, found.service) as service
from settled
full join found
    on
        settled.usage_date = found.usage_date
        and settled.service = found.service
where
    settled.requests is distinct from found.requests
    or settled.units is distinct from found.units
