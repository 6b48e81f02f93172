-- One row per record of these keys that counts: what the marts will say of it after the build that takes its events in, as far as
-- our own events say it. `ops.live_usage_of` asks, so that the cap and the marts go by one rule. Named without the database, for
-- a dump may be restored under another name; and of no build's days, for it is asked between builds.
-- It depends on the same models with either setting of METERING_DISTRIBUTION.
{% set tracked = ref('stg_tracking__events').include(database=false) -%}
with events as not materialized (
    {% if is_citus() -%}
        -- Of now, not of the newest build.
        {{ tracked_events(source('raw', 'usage_events').include(database=false)) }}
    {%- else -%}
        select * from {{ tracked }}
    {%- endif %}
),

versions as (
    select * from {{ ref('stg_directory__tenants').include(database=false) }}
),

owners as (
    select * from {{ ref('stg_directory__resources').include(database=false) }}
),

price_book as (
    {{ price_book_rows(ref('price_book').include(database=false)) }}
),

tenants as (
    select distinct tenant_id from versions
),

-- `ops.add_live_records` sees to it that this looks each key up.
about as (
    select * from events
    where record_key = any(record_keys)
),

tracked as (
    {{ tracked_records('about', 'tenants') }}
),

owned as (
    select
        tracked.*,
        owner.tenant_id as directory_tenant_id,
        coalesce(owner.resource_type, 'none') as attribution
    from tracked
    left join lateral (
        {{ resource_owner('tracked', 'owners') }}
    ) as owner on true
),

counted as (
    {{ counted_by_themselves('owned') }}
),

attributed as (
    select
        counted.*,
        coalesce(tenants.tenant_id, counted.directory_tenant_id, 'unattributed') as tenant_id
    from counted
    left join tenants
        on counted.event_tenant_id = tenants.tenant_id
),

lines as (
    select
        attributed.*,
        {{ unit_of_operation('attributed.service', 'attributed.operation', 'attributed.channel') }} as unit,
        null::numeric as billed_cost_usd,
        coalesce(versions.plan, '') as plan
    from attributed
    left join versions
        on
            attributed.tenant_id = versions.tenant_id
            and {{ is_in_force_on('versions', 'attributed.usage_date') }}
),

priced as (
    {{ priced_lines('lines', 'price_book') }}
)

select
    record_key::text as key,
    tenant_id::text as tenant_id,
    channel::text as channel,
    direction::text as direction,
    to_char(usage_date, 'YYYY-MM') as month,
    case when {{ is_channel_unit() }} then unit_count else 0 end::numeric as units,
    request_count::numeric as requests,
    ({{ estimated_cost() }} * 100)::numeric as cost_cents
from priced
