-- follows: 0038
-- Which transactions have changed what the marts are made of since the newest build began: a build that would read what that one has read
-- need not be made (builds/standing.py). Triggers write it, one row per relation and transaction; a build that ends well takes away what
-- it saw.
create table ops.input_changes (
    relation text not null,                   -- schema.table
    made_by xid8 not null,
    primary key (relation, made_by)
);

alter table ops.builds
add column inputs_seen pg_snapshot,           -- of the newest build only: the changes that it saw
add column seeds_seen text,                   -- of the newest build only: a digest of the seeds' rows
add column stands_on text;                    -- the build that made the marts, where this one found nothing to do
