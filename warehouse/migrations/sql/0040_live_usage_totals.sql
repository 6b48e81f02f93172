-- follows: 0039
-- What has arrived since the last build, summed up: the cap reads one row where it read a row for each record. Triggers keep the totals
-- (warehouse/objects/live_usage.sql); from here until they stand, nobody adds.
lock table ops.live_usage in share row exclusive mode;

create table ops.live_usage_totals (
    tenant_id text not null,
    channel text not null,
    month text not null,                      -- 'YYYY-MM'
    direction text not null,
    records bigint not null,
    units numeric not null,
    requests numeric not null,
    cost_cents numeric not null,              -- of the records that have a price
    primary key (tenant_id, channel, month, direction)
)
-- Each flush rewrites its rows: beside them, without touching the index, and vacuumed often.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

insert into ops.live_usage_totals
select
    tenant_id,
    channel,
    month,
    direction,
    count(*),
    sum(units),
    sum(requests),
    coalesce(sum(cost_cents), 0)
from ops.live_usage
where not is_reserved and expires_at is null
group by tenant_id, channel, month, direction;

-- The others are told apart one by one, and are few.
create index live_usage_provisional on ops.live_usage (tenant_id, channel, month, expires_at)
where is_reserved or expires_at is not null;
drop index ops.live_usage_channel;
drop index ops.live_usage_expires;

-- Deleted and inserted by every guarded call and every build.
alter table ops.live_usage set (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.1
);
