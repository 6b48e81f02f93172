-- Months are made as they are needed, by whoever brings the events; `attach` locks less than `create … partition of`. Only from 20 years
-- back to 5 years ahead: the tracker names the months, and must not be able to make tables without end. Events of other months stay in
-- the default partition.
create or replace function raw.ensure_usage_event_months(p_months date[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    month date;
    name text;
begin
    foreach month in array p_months loop
        continue when month is null;
        continue when month < current_date - interval '20 years' or month > current_date + interval '5 years';
        month := date_trunc('month', month)::date;
        name := 'usage_events_' || to_char(month, 'YYYY_MM');
        continue when to_regclass('raw.' || name) is not null;
        perform pg_advisory_xact_lock(hashtextextended('raw.usage_events', 0));
        -- Read from the table: waiting for an advisory lock does not refresh what `to_regclass` remembers.
        continue when exists (select from pg_class where relname = name and relnamespace = 'raw'::regnamespace);
        begin
            execute format('create table raw.%I (like raw.usage_events including all)', name);
            execute format(
                'alter table raw.usage_events attach partition raw.%I for values from (%L) to (%L)',
                name, month::timestamp at time zone 'UTC', (month + interval '1 month')::timestamp at time zone 'UTC'
            );
            perform ops.watch_inputs();
        exception when check_violation then
            -- The default partition has rows of that month already, and keeps receiving the month's events.
            null;
        end;
    end loop;
end;
$$;

-- Event keys of callers are scoped to a tenant and service. Older events keep their unscoped keys; the tracker, which may not read events,
-- asks these functions which it is.

-- The same as `usage_metering.events.scoped_key`.
create or replace function raw.scoped_event_key(p_tenant_id text, p_service text, p_key text) returns text
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

-- Whether a stored event of that key and day is of that tenant and service. Of an archived month nobody can say: it is taken for theirs, and
-- an event that says something else is set aside under its key.
create or replace function raw.is_event_of(p_event_key text, p_usage_date date, p_tenant_id text, p_service text) returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select 1 from raw.usage_events as events
        where events.event_key = p_event_key
            and events.occurred_at >= p_usage_date::timestamp at time zone 'UTC'
            and events.occurred_at < (p_usage_date + 1)::timestamp at time zone 'UTC'
            and events.tenant_id = p_tenant_id
            and events.service = p_service
    ) or exists (select 1 from ops.archived_months where archived_months.month = to_char(p_usage_date, 'YYYY-MM'))
$$;

-- Those of these keys of which an event is stored: a provider's ids, or events' own keys where they name no id.
create or replace function raw.recorded_keys(p_keys text[]) returns setof text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select distinct events.record_key
    from raw.usage_events as events
    where events.record_key = any(p_keys)
$$;
