-- What `/metrics` tells of the warehouse: a row for each sample. It names no tenant: how many there are follows from providers, tables,
-- channels and units. What marts hold is left out before the first build.
create or replace function ops.metrics(p_now timestamptz, p_lookback_days integer)
returns table (name text, labels jsonb, value double precision)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    today date := (p_now at time zone 'UTC')::date;
begin
    return query
    with reads as (
        select
            source_reads.provider,
            source_reads.table_name,
            max(source_reads.answered_at) as read_at
        from ops.source_reads
        group by source_reads.provider, source_reads.table_name
    ),

    runs as (
        select distinct on (ingest_runs.provider)
            ingest_runs.provider,
            ingest_runs.status
        from ops.ingest_runs
        where ingest_runs.status <> 'skipped'
        order by ingest_runs.provider, ingest_runs.finished_at desc
    ),

    -- Done is what was built when it was older than the lookback, as `builds.due` has it. From a provider's first day on, also where the
    -- provider no longer has a day: nobody can read that any more, and it is not done.
    days as (
        select
            first_days.provider,
            day::date as usage_date
        from (select source_days.provider, min(source_days.usage_date) as first_day from ops.source_days group by source_days.provider) as first_days
        cross join generate_series(first_days.first_day::timestamp, today - p_lookback_days - 1, interval '1 day') as day
    ),

    undone as (
        select
            providers.provider,
            count(days.usage_date) filter (
                where (
                    source_days.ingested_at is not null
                    and source_days.built_at is not null
                    and source_days.usage_date < source_days.built_as_of - p_lookback_days
                    and source_days.built_as_of <= today
                ) is not true
            ) as undone_days
        from (select distinct source_days.provider from ops.source_days) as providers
        left join days on providers.provider = days.provider
        left join ops.source_days on days.provider = source_days.provider and days.usage_date = source_days.usage_date
        group by providers.provider
    ),

    rejected as (
        select
            tables.table_name,
            count(rejected_records.id) as rejected_records
        from (select reads.table_name from reads union select rejected_records.table_name from raw.rejected_records) as tables
        left join raw.rejected_records on tables.table_name = rejected_records.table_name
        group by tables.table_name
    ),

    alerts as (
        select
            severities.severity,
            count(usage_alerts.id) as open_alerts,
            count(usage_alerts.id) filter (where not usage_alerts.acknowledged) as unacknowledged_alerts
        from (values ('info'), ('warning'), ('critical')) as severities (severity)
        left join ops.usage_alerts on severities.severity = usage_alerts.severity and usage_alerts.resolved_at is null
        group by severities.severity
    ),

    newest_build as (
        select builds.status
        from ops.builds
        where builds.status <> 'running'
        order by builds.started_at desc
        limit 1
    )

    select 'metering_source_last_read_timestamp_seconds', jsonb_build_object('provider', provider, 'table', table_name), extract(epoch from read_at)::double precision
    from reads
    union all
    select 'metering_source_last_run_success', jsonb_build_object('provider', provider), (status = 'ok')::integer
    from runs
    union all
    select 'metering_undone_days', jsonb_build_object('provider', provider), undone_days
    from undone
    union all
    select 'metering_rejected_records', jsonb_build_object('table', table_name), rejected_records
    from rejected
    union all
    select 'metering_alerts_open', jsonb_build_object('severity', severity), open_alerts
    from alerts
    union all
    select 'metering_alerts_unacknowledged', jsonb_build_object('severity', severity), unacknowledged_alerts
    from alerts
    union all
    select 'metering_notifications_waiting', '{}', count(*)
    from ops.alert_outbox
    where state = 'waiting'
    union all
    select 'metering_build_timestamp_seconds', '{}', extract(epoch from finished_at)
    from ops.current_build
    union all
    select 'metering_build_data_timestamp_seconds', '{}', extract(epoch from data_as_of)
    from ops.current_build
    where data_as_of is not null
    union all
    select 'metering_build_last_success', '{}', (status = 'ok')::integer
    from newest_build
    union all
    select 'metering_days_touched', '{}', count(distinct usage_date)
    from ops.touched_days
    union all
    select 'metering_events_pending', '{}', count(*)
    from ops.live_usage
    where not is_reserved
    union all
    select 'metering_reservations', '{}', count(*)
    from ops.live_usage
    where is_reserved and expires_at > clock_timestamp()
    union all
    select 'metering_proof_different_days', '{}', count(*)
    from ops.day_proofs
    where status = 'different' and is_current
    union all
    select 'metering_cap_blocks', jsonb_build_object('channel', channel), count(*)
    from ops.access_decisions
    where not allowed
    group by channel;

    if to_regclass('marts.usage_monthly') is null then
        return;
    end if;
    -- A channel with nothing unpriced is a 0 of its own unit.
    return query
    with kinds as (
        select
            usage_monthly.tenant_id,
            usage_monthly.channel,
            kind.key as unit,
            kind.value::numeric as quantity
        from marts.usage_monthly
        cross join lateral jsonb_each_text(
            coalesce(
                nullif(usage_monthly.unpriced_units, '{}'),
                jsonb_build_object(usage_monthly.unit, usage_monthly.unpriced_unit_count)
            )
        ) as kind
        where usage_monthly.month = to_char(today, 'YYYY-MM')
    )

    select 'metering_unpriced_units', jsonb_build_object('unit', unit), sum(quantity)::double precision
    from kinds
    group by unit
    union all
    select 'metering_unpriced_tenants', '{}', count(distinct tenant_id) filter (where quantity <> 0)
    from kinds
    union all
    -- Counted from 0 on: a counter that appears with its first block shows no increase by it.
    select 'metering_cap_blocks', jsonb_build_object('channel', used.channel), 0
    from (select distinct channel from kinds) as used
    where not exists (select from ops.access_decisions where not allowed and access_decisions.channel = used.channel);
end;
$$;
