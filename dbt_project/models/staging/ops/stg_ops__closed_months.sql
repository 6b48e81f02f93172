-- Grain: month whose marts stay as they are. Renames only.
select month
from {{ source('ops', 'closed_months') }}
