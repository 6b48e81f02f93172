-- Grain: resource × owner's period. `resource_key` is what usage is joined on: a number's hash, else the id itself; a category's bears
-- its type, since a subuser may have the same name.
select
    tenant_id,
    provider,
    resource_type,
    case when resource_type = 'category' then 'category:' else '' end || coalesce(resource_hash, resource_id) as resource_key,
    coalesce(valid_from, '-infinity'::date) as valid_from,
    coalesce(valid_to, 'infinity'::date) as valid_to
from {{ source('raw', 'tenant_resources') }}
