-- Grain: number × day, of the build's days: each day on which one of our accounts held the number, from the
-- day on which it was provisioned to the day before it was released, and no further than Twilio has been asked. Additive: a row is one
-- number_day.
{{ config(materialized='ephemeral') }}

with numbers as (
    select * from {{ ref('stg_twilio__phone_numbers') }}
),

owners as not materialized (
    select * from {{ ref('stg_directory__resources') }}
),

held as (
    select
        numbers.number_hash,
        numbers.number_type,
        numbers.account_sid,
        numbers.number_sid,
        numbers.held_from,
        held_day::date as usage_date
    from numbers
    cross join
        lateral generate_series(
            greatest(numbers.held_from, {{ window_start() }})::timestamp,
            least(
                -- The day of provisioning counts, also where it is that of the release.
                greatest(coalesce(numbers.released_on - 1, numbers.last_seen_on), numbers.held_from),
                {{ window_end() }} - 1
            )::timestamp,
            interval '1 day'
        ) as held_day
),

-- A number has one holder a day, the newest: it may go from one account to another, or be bought again under another id, between two looks.
holders as (
    select distinct on (number_hash, usage_date) *
    from held
    order by number_hash asc, usage_date asc, held_from desc, account_sid asc, number_sid asc
),

final as (
    select
        -- The key of what the tracker says of the number on that day.
        concat_ws(':', 'phone', holders.number_hash, holders.usage_date) as record_key,
        holders.usage_date,
        coalesce(subaccount.tenant_id, number.tenant_id, 'unattributed') as tenant_id,
        case
            when subaccount.tenant_id is not null then 'subaccount'
            when number.tenant_id is not null then 'phone_number'
            else 'none'
        end as attribution,
        holders.number_type
    from holders
    {{ join_owner('subaccount', 'holders', 'twilio', 'subaccount', 'holders.account_sid') }}
    {{ join_owner('number', 'holders', 'twilio', 'phone_number', 'holders.number_hash') }}
)

select * from final
