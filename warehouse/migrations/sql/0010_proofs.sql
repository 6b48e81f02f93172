-- follows: 0009
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
