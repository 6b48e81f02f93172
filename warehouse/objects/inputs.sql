-- What the marts are made of says itself that it has changed, by whatever program it is changed. A transaction writes rows of its own only:
-- nobody waits for anybody.
create or replace function ops.note_input_change() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ops.input_changes (relation, made_by)
    values (tg_table_schema || '.' || tg_table_name, pg_current_xact_id())
    on conflict do nothing;
    return null;
end;
$$;

-- Gives these triggers to every table of `raw` that models read, and to what they read of `ops`, where they are missing; migrate calls it, and
-- who makes a month of events: a statement's triggers are those of the table that it names. Of tables whose rows are written again and
-- again as they are (a listing, who answered) each row that has changed counts; of the others each statement, which costs the same for a
-- million rows as for one. A table without them is safe, too: where one is missing every build is made.
create or replace function ops.watch_inputs() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    watched record;
begin
    for watched in
        select
            tables.oid::regclass as name,
            case
                when tables.oid = 'ops.source_reads'::regclass then 'update of table_name, account_id, usage_date'
                else 'update'
            end as updated,
            tables.relnamespace = 'ops'::regnamespace
            or exists (select from pg_attribute where attrelid = tables.oid and attname = 'last_seen_on') as is_by_row
        from pg_class as tables
        where
            tables.relkind in ('r', 'p')
            and (
                tables.relnamespace = 'raw'::regnamespace
                and tables.relname not in ('rejected_records', 'usage_event_keys')
                or tables.oid in (
                    'ops.source_reads'::regclass, 'ops.cost_adjustments'::regclass, 'ops.closed_months'::regclass, 'ops.closed_names'::regclass
                )
            )
            and (select count(*) from pg_trigger where tgrelid = tables.oid and tgname in ('input_changed', 'input_emptied')) < 2
    loop
        -- Citus has no triggers on tables that it has spread.
        if to_regclass('pg_catalog.pg_dist_partition') is not null then
            continue when exists (select from pg_catalog.pg_dist_partition where logicalrelid = watched.name);
        end if;
        execute format(
            'create or replace trigger input_changed after insert or delete or %s on %s for each %s execute function ops.note_input_change()',
            watched.updated, watched.name, case when watched.is_by_row then 'row' else 'statement' end
        );
        execute format(
            'create or replace trigger input_emptied after truncate on %s for each statement execute function ops.note_input_change()',
            watched.name
        );
    end loop;
end;
$$;
