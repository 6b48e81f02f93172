"""SQL that no single domain owns: opening a request's transaction, and readiness."""

# The server ends a statement after the first, and one that waits for a lock after the second: whoever locks a mart must not
# keep the connections that everybody else needs.
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 1_000

# Also in force where the URL cannot say it: a pooler in between drops options.
LIMIT_STATEMENTS = f"set statement_timeout = {STATEMENT_TIMEOUT_MS}; set lock_timeout = {LOCK_TIMEOUT_MS}"

# One snapshot for all of a request's statements, and no write even if a grant were wrong.
BEGIN = "begin isolation level repeatable read read only"
ROLLBACK = "rollback"
ROUND_TRIP = "select 1"

# Settings are local to the transaction (third argument): a pooled connection carries nobody's identity to the
# next request.
OPEN_SCOPE = """
select
    set_config('metering.tenant_id', %(tenant_id)s, true),
    set_config('metering.role', %(role)s, true),
    current_build.build_id,
    current_build.as_of,
    current_build.data_as_of,
    current_build.finished_at,
    current_build.is_settled
from (select 1) as one_row
left join ops.current_build on true
"""

LAST_BUILD = """
select
    current_build.build_id,
    current_build.as_of,
    current_build.data_as_of,
    current_build.finished_at,
    current_build.is_settled
from ops.current_build
"""

SESSION_ROLE = """
select
    current_user as name,
    pg_roles.rolsuper or pg_roles.rolbypassrls as bypasses_row_security
from pg_roles
where pg_roles.rolname = current_user
"""

MISSING_MARTS = """
select required.name
from unnest(%(marts)s::text[]) as required (name)
where to_regclass('marts.' || required.name) is null
order by required.name
"""

METRICS_TIMEOUT_MS = 2_000
BEGIN_METRICS = f"begin read only; set local statement_timeout = {METRICS_TIMEOUT_MS}"
METRICS = """
select
    metrics.name,
    metrics.labels,
    metrics.value
from ops.metrics(%(now)s, %(lookback_days)s) as metrics
"""

# How far a replica may be behind, in seconds: 0 where all that it was sent is replayed and it is being sent to (a line that is
# silently dead counts for wal_receiver_timeout); null on a primary, or where nobody can say.
REPLICA = """
select
    pg_is_in_recovery() as is_replica,
    case
        when not pg_is_in_recovery() then null
        when
            pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()
            and exists (select 1 from pg_stat_wal_receiver)
            then 0
        else ceil(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()))
    end as behind_seconds
"""

REQUIRED_MARTS = (
    "channel_prices",
    "focus_cost_and_usage",
    "plan_limits",
    "tenant_margin_monthly",
    "price_sets",
    "tenant_monthly",
    "tenant_usage_status",
    "tenants",
    "unattributed_usage",
    "usage_activity_daily",
    "usage_daily",
    "usage_line_records",
    "usage_lines",
    "usage_monthly",
    "usage_reconciliation",
    "usage_summary",
)

TENANT_EXISTS = """
select tenants.tenant_id
from marts.tenants
where tenants.tenant_id = %(tenant_id)s
"""

# A day and channel of usage_summary, as several bodies show it.
CELL = """usage_summary.channel,
                usage_summary.unit,
                trim_scale(usage_summary.unit_count) as unit_count,
                usage_summary.request_count,
                trim_scale(usage_summary.estimated_cost_cents) as estimated_cost_cents"""
CELL_COSTS = """trim_scale(usage_summary.billed_cost_cents) as billed_cost_cents,
                trim_scale(usage_summary.unpriced_unit_count) as unpriced_unit_count,
                usage_summary.unpriced_units"""

# Of raw tables that were ever answered, the first such day, and the days of a range since then without an answer: the figures of a body
# are those of the build, and so are its days. A value, to stand in a select.
SOURCES = """(
        select coalesce(json_agg(part), '[]')
        from (
            select
                sources.table_name,
                sources.first_day,
                (
                    select coalesce(json_agg(day::date order by day), '[]')
                    from generate_series(
                        greatest(sources.first_day, %(first_day)s)::timestamp,
                        least(%(last_day)s, (select max(current_build.as_of at time zone 'UTC') from ops.current_build)::date)::timestamp,
                        interval '1 day'
                    ) as day
                    where not exists (
                        select from ops.answered_days
                        where answered_days.table_name = sources.table_name
                            and answered_days.usage_date = day::date
                    )
                ) as unanswered
            from (
                select
                    wanted.table_name,
                    (
                        select min(answered_days.usage_date)
                        from ops.answered_days
                        where answered_days.table_name = wanted.table_name
                    ) as first_day
                from unnest(%(tables)s::text[]) as wanted (table_name)
            ) as sources
            where sources.first_day is not null
        ) as part
    )"""
