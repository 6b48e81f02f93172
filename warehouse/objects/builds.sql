-- Settled: no other build has begun since. While one runs, and after one that failed, the marts may be of either.
create or replace view ops.current_build as
select
    build_id,
    as_of,
    data_as_of,
    finished_at,
    -- Of the two that began last at least one is another one: to see that no build is later, the planner would read all of them.
    not exists (
        select 1
        from (
            select
                latest.build_id,
                latest.started_at
            from ops.builds as latest
            order by latest.started_at desc
            limit 2
        ) as later
        where later.started_at >= builds.started_at and later.build_id <> builds.build_id
    ) as is_settled
from ops.builds
where status = 'ok'
order by finished_at desc
limit 1;

comment on view ops.current_build is 'The newest good build: when it ran, of which data. One row, or none before the first build.';

-- The days that each build has replaced, or has begun to (no end yet), also where it failed. Not of those that left all as it stood.
create or replace view ops.built_windows as
select
    window_start,
    window_end,
    finished_at
from ops.builds
where stands_on is null;

comment on view ops.built_windows is 'Days that each build has replaced, or has begun to.';

create or replace view ops.data_freshness as
select
    reads.provider,
    reads.table_name,
    reads.last_read_at,
    reads.last_usage_date,
    reads.row_count,
    reads.rejected_count,
    last_run.status as last_run_status,
    last_run.error as last_error,
    last_run.finished_at as last_run_at
from (
    select
        provider,
        table_name,
        max(answered_at) as last_read_at,
        max(usage_date) as last_usage_date,
        sum(row_count) as row_count,
        sum(rejected_count) as rejected_count
    from ops.source_reads
    group by provider, table_name
) as reads
left join lateral (
    select
        status,
        error,
        finished_at
    from ops.ingest_runs
    where ingest_runs.provider = reads.provider
    order by finished_at desc
    limit 1
) as last_run on true
-- Not tenant data, but only for the owner.
where current_setting('metering.role', true) = 'root_admin';

comment on view ops.data_freshness is 'When each table of each provider was last read, and how its last run went. For the owner.';

-- The result of each day's newest proof; a day that was built again since is unproven.
create or replace view ops.day_proofs as
select distinct on (proofs.usage_date)
    proofs.usage_date,
    proofs.status,
    proofs.finished_at,
    proofs.rows_different,
    proofs.differences,
    later.started_at is null as is_current
from ops.proofs
-- Once for all proofs. Of a year's builds they are some hundreds: most replace the days of the one before.
left join (
    select
        window_start,
        window_end,
        max(started_at) as started_at
    from ops.builds
    where status = 'ok' and stands_on is null
    group by window_start, window_end
) as later
    on
        proofs.usage_date >= later.window_start
        and proofs.usage_date < later.window_end
        and proofs.started_at < later.started_at
where proofs.status <> 'moved'
order by proofs.usage_date asc, proofs.finished_at desc;

comment on view ops.day_proofs is 'The newest proof of each day, and whether it is of what stands there now.';

create or replace view ops.proof_status as
select
    max(day_proofs.finished_at) filter (where day_proofs.status = 'equal') as last_proven_at,
    count(*) filter (where day_proofs.status = 'equal' and day_proofs.is_current) as proven_days,
    coalesce(
        array_agg(day_proofs.usage_date order by day_proofs.usage_date)
        filter (where day_proofs.status = 'different' and day_proofs.is_current),
        '{}'
    ) as different_days
from ops.day_proofs
-- Not tenant data, but only for the owner.
where current_setting('metering.role', true) = 'root_admin';

comment on view ops.proof_status is 'How many days are proven, and which are not what raw makes them. One row, for the owner.';

-- The days for which a source's table was answered, a row for each account: so the days of a channel for which nobody answered are known too.
-- Of no tenant's figures, and the owner's routes and the tenants' say it alike.
create or replace view ops.answered_days as
select
    table_name,
    usage_date
from ops.source_reads;

comment on view ops.answered_days is 'Days for which a provider has answered about a table, a row for each account.';
