-- follows: 0015
-- Cloudflare R2 by account and day: requests by bucket and action, and what the buckets held, measured several times a day.

create table if not exists raw.r2_operations (
    account_id text not null,
    usage_date date not null,
    bucket text not null,                     -- '' for what concerns none (ListBuckets)
    action_type text not null,                -- PutObject, GetObject, …
    action_status text not null,              -- success, userError, internalError; '' where not said
    response_status integer not null,         -- HTTP; 0 where not said
    requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, bucket, action_type, action_status, response_status)
);

create table if not exists raw.r2_storage (
    account_id text not null,
    usage_date date not null,
    bucket text not null,
    measured_at timestamptz not null,
    payload_bytes bigint not null,
    metadata_bytes bigint not null,
    object_count bigint,
    upload_count bigint,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, bucket, measured_at)
);
