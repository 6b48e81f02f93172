-- follows: 0054
-- Closed months whose records are in files (`metering archive`), and not in raw but for those that other months ask about.
create table ops.archived_months (
    month text primary key references ops.closed_months (month),
    archived_at timestamptz not null default clock_timestamp(),
    row_count bigint not null,                -- of all of its files
    manifest_sha256 text not null             -- hexadecimal; by it a manifest that somebody changed is found
);
