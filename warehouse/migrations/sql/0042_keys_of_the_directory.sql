-- follows: 0041
-- The collector asks whose a key of the directory is, with each request.
create index if not exists tenant_resources_key on raw.tenant_resources ((coalesce(resource_hash, resource_id)));
