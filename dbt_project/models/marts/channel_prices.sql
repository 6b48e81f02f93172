-- Grain: plan × channel ('' = any plan). What one more unit costs at most, for caps in money; of a payment only what it costs whatever
-- its amount, which nobody knows beforehand. Not additive.
{{ config(window='all', post_hook="{{ protect_rows() }}") }}

with price_book as (
    select * from {{ ref('price_book') }}
    where
        coalesce(effective_from, '-infinity'::date) <= {{ as_of_date() }}
        and coalesce(effective_to, 'infinity'::date) > {{ as_of_date() }}
        -- How the next call will be processed nobody knows; most are standard, and its event then says what it cost.
        and coalesce(tier, '') = ''
),

plans as (
    select plan from {{ ref('plans') }}
    union all
    select ''
),

channels as (
    select *
    from (
        values
        {{ channel_price_rows() }}
    ) as known (channel, service, operation, components)
),

candidates as (
    select
        plans.plan,
        channels.channel,
        channels.operation,
        {{ price_of('1', 'price_book.unit_price_usd', 'price_book.per', price_days('channels.channel', as_of_date())) }} as unit_price_usd,
        -- The plan's own prices before anybody's, the operation's own before any operation's.
        rank() over (
            partition by plans.plan, channels.channel, channels.service
            order by coalesce(price_book.plan, '') <> '' desc, coalesce(price_book.operation, '') = channels.operation desc
        ) as preference
    from plans
    cross join channels
    inner join price_book
        on
            channels.service = price_book.service
            and coalesce(price_book.plan, '') in ('', plans.plan)
            and (channels.operation = '' or coalesce(price_book.operation, '') in ('', channels.operation))
            and price_book.component = any(channels.components)
),

final as (
    select
        plan::text as plan,
        channel::text as channel,
        max(unit_price_usd)::numeric(38, 18) as unit_price_usd,
        {{ built_at() }} as updated_at
    from candidates
    -- Where any operation may be meant, or any service, the dearest of all.
    where preference = 1 or operation = ''
    group by plan, channel
)

select * from final
