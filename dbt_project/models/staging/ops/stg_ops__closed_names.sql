-- Grain: closed month × tenant × version, as the directory had it at the close. Renames only.
select
    month,
    tenant_id,
    name,
    valid_from,
    valid_to
from {{ source('ops', 'closed_names') }}
