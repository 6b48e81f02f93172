-- Grain: resource × owner's period. `resource_key` is what usage is joined on: a number's hash, else the id itself.
select
    tenant_id,
    provider,
    resource_type,
    coalesce(resource_hash, resource_id) as resource_key,
    coalesce(valid_from, '-infinity'::date) as valid_from,
    coalesce(valid_to, 'infinity'::date) as valid_to
from {{ source('raw', 'tenant_resources') }}
