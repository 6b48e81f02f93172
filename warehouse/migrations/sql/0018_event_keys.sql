-- Keys that callers make are of a tenant and service. They were global before, and what was stored under one keeps it: the tracker asks
-- here, for it may not read events.

-- As `usage_metering.events.scoped_key` writes it.
create function raw.scoped_event_key(p_tenant_id text, p_service text, p_key text) returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when length(whole) <= 500 then whole
        else p_service || '::' || encode(sha256(convert_to(whole, 'UTF8')), 'hex')
    end
    from (
        select p_service || ':' || replace(replace(p_tenant_id, '%', '%25'), ':', '%3A') || ':' || p_key as whole
    ) as spelled
$$;

-- Whether a stored event of that key and day is of that tenant and service.
create function raw.is_event_of(p_event_key text, p_usage_date date, p_tenant_id text, p_service text) returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from raw.usage_events as events
        where events.event_key = p_event_key
            and events.occurred_at >= p_usage_date::timestamp at time zone 'UTC'
            and events.occurred_at < (p_usage_date + 1)::timestamp at time zone 'UTC'
            and events.tenant_id = p_tenant_id
            and events.service = p_service
    )
$$;
