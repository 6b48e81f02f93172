-- follows: 0012
-- What makes a close, and what is written down after it, evidence: ledgers that are chained as they are written, the tenant
-- directory of the month, and the loads behind changed records.

-- A restatement says what became of the billed cost, too: null where it was not known of every line.
alter table ops.cost_restatements
add column old_billed_cost_usd numeric(38, 18),
add column new_billed_cost_usd numeric(38, 18);

-- The plan that each tenant with usage of the day was priced by, {tenant: plan}; null: computed before this was kept.
alter table ops.built_days add column plans jsonb;

do $$
begin
    if exists (
        select 1 from pg_attribute where attrelid = to_regclass('marts.usage_lines') and attname = 'plan' and not attisdropped
    ) then
        update ops.built_days
        set plans = found.plans
        from (
            select kept.date, jsonb_object_agg(kept.tenant_id, kept.plan) as plans
            from (select distinct on (date, tenant_id) date, tenant_id, plan from marts.usage_lines order by date, tenant_id, plan) as kept
            group by kept.date
        ) as found
        where built_days.usage_date = found.date;
    end if;
end;
$$;

-- Providers whose days were not asked about when the month was closed.
alter table ops.closed_months add column without_providers text[] not null default '{}';

alter table ops.closed_relations drop constraint closed_relations_kind_check;
alter table ops.closed_relations
add constraint closed_relations_kind_check check (kind in ('mart', 'ledger', 'record', 'event', 'price', 'directory'));

-- Ledgers as hash chains: a row per row of theirs, in the order in which they were written, and where each chain ends.
create table ops.ledger_links (
    ledger text not null,                     -- ops.cost_adjustments, …
    position bigint not null,
    key jsonb not null,
    digest bytea not null,                    -- sha256 of the row
    link bytea not null,                      -- sha256 of the link before, ledger, key and digest, as in costs.rules.chain
    primary key (ledger, position)
);

create table ops.ledger_ends (
    ledger text primary key,
    row_count bigint not null,
    link bytea not null                       -- the last one; before the first row: of the ledger's name
);
insert into ops.ledger_ends
select
    name,
    0,
    sha256(convert_to(name, 'UTF8'))
from unnest(array['ops.cost_restatements', 'ops.cost_adjustments', 'ops.closed_record_changes']) as name;

-- What was written before there were chains. A later row is chained by a trigger (warehouse/objects/ledgers.sql), in the same way.
do $$
declare
    chained record;
    entry jsonb;
    entry_key jsonb;
    entry_digest bytea;
    number bigint;
    last_link bytea;
begin
    set local timezone = 'UTC';
    set local bytea_output = 'hex';
    for chained in
        select kept.ledger, kept.key_columns
        from (values
            ('ops.cost_restatements', array['id', 'tenant_id', 'date', 'channel']),
            ('ops.cost_adjustments', array['id', 'tenant_id', 'date', 'channel']),
            ('ops.closed_record_changes', array['id', 'month', 'relation'])
        ) as kept (ledger, key_columns)
    loop
        select ends.row_count, ends.link into number, last_link from ops.ledger_ends as ends where ends.ledger = chained.ledger;
        for entry in execute format('select to_jsonb(t) from %s as t order by t.id', chained.ledger) loop
            select jsonb_object_agg(name, entry -> name) into entry_key from unnest(chained.key_columns) as name;
            entry_digest := sha256(convert_to(jsonb_strip_nulls(entry)::text, 'UTF8'));
            number := number + 1;
            last_link := sha256(
                last_link || '\x00'::bytea || convert_to(chained.ledger, 'UTF8') || '\x00'::bytea
                || convert_to(entry_key::text, 'UTF8') || '\x00'::bytea || entry_digest
            );
            insert into ops.ledger_links values (chained.ledger, number, entry_key, entry_digest, last_link);
        end loop;
        update ops.ledger_ends set row_count = number, link = last_link where ledger = chained.ledger;
    end loop;
end;
$$;

-- A record that only left its day stands on another one, which the load did read.
alter table ops.closed_record_changes add column moved_to date;

alter table ops.proofs add column directory_digest bytea;
