-- A day built anew from raw, in a scratch schema, and held against the marts: a row per attempt and day.
create table ops.proofs (
    proof_id text not null,
    usage_date date not null,
    build_id text not null,                   -- the build whose figures are proven: the day's last
    as_of timestamptz not null,               -- that build's
    started_at timestamptz not null,
    finished_at timestamptz not null,
    -- moved: the day was ingested, touched or built while it was being proven, so the attempt says nothing.
    status text not null check (status in ('equal', 'different', 'moved')),
    rows_compared bigint not null,
    rows_different bigint not null default 0,
    differences jsonb not null default '[]',  -- the first of them: {mart, tenantId, side (built, proven), row}
    primary key (proof_id, usage_date)
);
create index proofs_day on ops.proofs (usage_date, finished_at desc);

-- What the newest proof of each day says; a day built again since is unproven.
create view ops.day_proofs as
select distinct on (proofs.usage_date)
    proofs.usage_date,
    proofs.status,
    proofs.finished_at,
    proofs.rows_different,
    proofs.differences,
    not exists (
        select 1
        from ops.builds
        where
            builds.status = 'ok'
            and builds.window_start <= proofs.usage_date
            and builds.window_end > proofs.usage_date
            and builds.started_at > proofs.started_at
    ) as is_current
from ops.proofs
where proofs.status <> 'moved'
order by proofs.usage_date asc, proofs.finished_at desc;

create view ops.proof_status as
select
    max(day_proofs.finished_at) filter (where day_proofs.status = 'equal') as last_proven_at,
    count(*) filter (where day_proofs.status = 'equal' and day_proofs.is_current) as proven_days,
    coalesce(
        array_agg(day_proofs.usage_date order by day_proofs.usage_date)
        filter (where day_proofs.status = 'different' and day_proofs.is_current),
        '{}'
    ) as different_days
from ops.day_proofs
-- Not tenant data, but nobody's business except the owner's.
where current_setting('metering.role', true) = 'root_admin';
