-- No record counts on two days or twice on one.
with records as (
    select
        settled.service,
        record.record_key
    from {{ ref('int_settled_records') }} as settled
    cross join lateral unnest(coalesce(settled.record_keys, array[settled.record_key])) as record (record_key)
    where
        {{ in_window('settled.usage_date', 'day') }}
        and settled.is_counted
)

select
    service,
    record_key
from records
group by service, record_key
having count(*) > 1
