-- Row-level security of a mart. A tenant reads its own rows, the owner all; of marts without a tenant_id (plans, prices) everybody who has
-- identified reads all rows. Those are the API's; an analyst, who has a login of one's own, reads all rows without saying anything. dbt calls
-- this after each build of a mart, and migrate does, since a dump that was restored without the roles has lost its policies. DDL takes locks
-- that readers would feel, so policies are made only where they are missing or their comments name other ones. Returns whether they were
-- missing; with p_look it changes nothing. The API's queries filter by tenant as well.
-- Whether all rows are read is one yes or no, asked once a query: of a text that is compared with 'root_admin' the planner expects
-- one row in two hundred, and joins the owner's months by nested loops.
create or replace function ops.protect_rows(p_mart regclass, p_look boolean default false) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    all_rows constant text := $c$(select current_setting('metering.role', true) = 'root_admin')$c$;
    own text := $c$(select current_setting('metering.tenant_id', true) <> '')$c$;
    digest text;
begin
    if exists (select from pg_attribute where attrelid = p_mart and attname = 'tenant_id' and not attisdropped) then
        own := $c$tenant_id = (select current_setting('metering.tenant_id', true))$c$;
    end if;
    digest := md5(own || all_rows);
    if (
        select count(*) = 3 and bool_and(relation.relrowsecurity)
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
    execute format('drop policy if exists analyst_reads_all on %s', p_mart);
    execute format('create policy analyst_reads_all on %s for select to metering_analyst using (true)', p_mart);
    execute format('comment on policy own_tenant on %s is %L', p_mart, digest);
    execute format('comment on policy owner_reads_all on %s is %L', p_mart, digest);
    execute format('comment on policy analyst_reads_all on %s is %L', p_mart, digest);
    execute format('grant select on %s to metering_api, metering_analyst', p_mart);
    return true;
end;
$$;
