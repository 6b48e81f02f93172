-- follows: 0035
-- Functions, views and triggers stand in warehouse/objects: of each file what was applied last, and what the database then had of it.
create table ops.object_files (
    file text primary key,
    text_digest text not null,                -- sha256, hexadecimal
    state_digest text not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- Whoever records a proof says which directory it was made with. A table needs no function.
alter table ops.proofs alter column directory_digest drop default;
