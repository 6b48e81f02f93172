-- What a role may do stands in warehouse/roles.py and is made again at every migrate. Here are the two functions that it needs.

-- Row-level security of a mart: a tenant's rows for that tenant and for the owner; rows that are no tenant's (plans, prices), in
-- marts without a tenant_id, for whoever has said who they are. Called by dbt after each build of a mart, and by migrate, because
-- a dump that was restored without the roles has lost its policies. DDL takes locks that readers would feel, so the policies
-- are made only where they are missing or their comments say that they are others. Returns whether they were; p_look: only that.
-- The tenant predicate stays in the API's queries; this is the second lock on the same door.
create function ops.protect_rows(p_mart regclass, p_look boolean default false) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    all_rows constant text := $c$(select current_setting('metering.role', true)) = 'root_admin'$c$;
    own text := $c$(select current_setting('metering.tenant_id', true)) <> ''$c$;
    digest text;
begin
    if exists (select from pg_attribute where attrelid = p_mart and attname = 'tenant_id' and not attisdropped) then
        own := $c$tenant_id = (select current_setting('metering.tenant_id', true))$c$;
    end if;
    digest := md5(own || all_rows);
    if (
        select count(*) = 2 and bool_and(relation.relrowsecurity)
        from pg_policy as policy
        inner join pg_class as relation on policy.polrelid = relation.oid
        where relation.oid = p_mart and obj_description(policy.oid, 'pg_policy') = digest
    ) then
        return false;
    end if;
    if p_look then
        return true;
    end if;
    execute format('alter table %s enable row level security', p_mart);
    execute format('drop policy if exists own_tenant on %s', p_mart);
    execute format('drop policy if exists owner_reads_all on %s', p_mart);
    execute format('create policy own_tenant on %s for select to metering_api using (%s)', p_mart, own);
    execute format('create policy owner_reads_all on %s for select to metering_api using (%s)', p_mart, all_rows);
    execute format('comment on policy own_tenant on %s is %L', p_mart, digest);
    execute format('comment on policy owner_reads_all on %s is %L', p_mart, digest);
    execute format('grant select on %s to metering_api', p_mart);
    return true;
end;
$$;

-- As before, but for months of 20 years back to 5 years ahead: the tracker names the months, and must not be able to make tables
-- without end. Events of other months stay in the default partition.
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
        continue when to_regclass('raw.' || name) is not null;
        begin
            execute format('create table raw.%I (like raw.usage_events including all)', name);
            execute format(
                'alter table raw.usage_events attach partition raw.%I for values from (%L) to (%L)',
                name, month::timestamp at time zone 'UTC', (month + interval '1 month')::timestamp at time zone 'UTC'
            );
        exception when check_violation then
            -- The default partition holds rows of that month already: it keeps the rest as well.
            null;
        end;
    end loop;
end;
$$;
