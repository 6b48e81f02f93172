-- follows: 0001
-- Bookkeeping: which units a provider has answered for, which days are built, what each build saw.

create table if not exists ops.source_reads (
    table_name text not null,
    account_id text not null,
    usage_date date not null,
    provider text not null,
    load_id text not null,
    answered_at timestamptz not null,
    row_count bigint not null,
    rejected_count bigint not null default 0,
    primary key (table_name, account_id, usage_date)
);
create index if not exists source_reads_answered on ops.source_reads (table_name, answered_at);

-- A provider's attempt at a window: its end is what `freshness` and `doctor` tell.
create table if not exists ops.ingest_runs (
    load_id text not null,
    provider text not null,
    window_start date not null,
    window_end date not null,                 -- excluded
    started_at timestamptz not null,
    finished_at timestamptz not null,
    status text not null check (status in ('ok', 'failed', 'skipped')),
    error text,
    primary key (load_id, provider)
);
create index if not exists ingest_runs_provider on ops.ingest_runs (provider, finished_at desc);

-- A day is done for a provider once it was ingested, then built as final (built_as_of - lookback > usage_date).
create table if not exists ops.source_days (
    provider text not null,
    usage_date date not null,
    ingested_at timestamptz,
    built_at timestamptz,
    built_as_of date,
    primary key (provider, usage_date)
);

create table if not exists ops.builds (
    build_id text primary key,
    window_start date not null,
    window_end date not null,                 -- excluded
    as_of timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    status text not null check (status in ('running', 'ok', 'failed')),
    data_as_of timestamptz,                   -- the oldest of the sources' last successful reads
    sources jsonb                             -- {table_name: last successful read, seconds since 1970}
);
create index if not exists builds_finished on ops.builds (finished_at desc) where status = 'ok';
