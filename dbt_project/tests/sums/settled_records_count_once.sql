-- No record counts on two days or twice on one.
select
    service,
    record_key
from {{ ref('int_settled_records') }}
where
    {{ in_window('usage_date', 'day') }}
    and is_counted
group by service, record_key
having count(*) > 1
