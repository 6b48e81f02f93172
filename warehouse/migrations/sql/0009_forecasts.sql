-- follows: 0008
-- What each tenant's month will come to and when its caps will be reached, as of a day. A day's forecasts are replaced whole;
-- those of earlier days stay, so that what was forecast can be compared with what came.
create table ops.usage_forecasts (
    tenant_id text not null,
    as_of_date date not null,
    month text not null,                      -- YYYY-MM of the as-of day
    channel text not null,                    -- '': all channels together
    metric text not null check (metric in ('requests', 'units', 'cost_cents')),
    direction text not null,
    used numeric(38, 18),                     -- this month so far, priced lines; null: no line is priced
    expected numeric(38, 18),                 -- at the month's end; null, like its interval: too little is known
    low numeric(38, 18),
    high numeric(38, 18),
    cap numeric(38, 18),                      -- null: no cap, and no days of reaching it
    cap_is_reached boolean,
    cap_earliest date,                        -- null, like the next two: not within the month
    cap_likely date,
    cap_latest date,
    cap_probability numeric(38, 18),
    history_days integer not null,            -- complete days that the forecast stands on
    unpriced_unit_count numeric(38, 18) not null,
    build_id text,
    forecast_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, as_of_date, channel, metric)
);
create index usage_forecasts_day on ops.usage_forecasts (as_of_date);
