-- The owner's list of all tenants in a month, with its totals: what a tenant's month is there, and the lists that a build's end keeps so
-- that a page need not join and add up everybody's. The API reads the kept ones where they are of the newest good build, and asks
-- ops.tenants_of_month where they are not.

-- All tenants in a month. Runs with the rights of who asks; planned each time, as the policies let one row through or all. A tenant without
-- a row in tenant_monthly has used nothing yet: its cost is 0, not unknown.
create or replace function ops.tenants_of_month(p_month text) returns setof ops.list_tenants
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    return query
    with channel_usage as materialized (
        select
            usage_monthly.tenant_id,
            sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'sms') as sms_used,
            sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'mms') as mms_used,
            sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'voice') as voice_minutes_used,
            sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'email') as emails_sent,
            sum(usage_monthly.unit_count) filter (where usage_monthly.channel = 'ai') as ai_tokens_used,
            sum(usage_monthly.request_count) filter (where usage_monthly.channel = 'ai') as ai_requests,
            -- Whosever servers they were: not only OpenAI's.
            case
                when count(*) filter (where usage_monthly.channel = 'ai') = 0 then 0
                else sum(usage_monthly.estimated_cost_cents) filter (where usage_monthly.channel = 'ai')
            end as ai_cost_cents
        from marts.usage_monthly
        where usage_monthly.month = p_month
            and usage_monthly.channel in ('sms', 'mms', 'voice', 'email', 'ai')
        group by usage_monthly.tenant_id
    ),

    months as materialized (
        select
            tenant_monthly.*,
            -- What has no price (null) hides none of what has; nothing used (0) beside it is not the whole cost.
            case
                when
                    num_nulls(
                        tenant_monthly.twilio_sms_cost_cents,
                        tenant_monthly.twilio_voice_cost_cents,
                        tenant_monthly.twilio_phone_cost_cents
                    ) = 0
                    then tenant_monthly.twilio_sms_cost_cents
                        + tenant_monthly.twilio_voice_cost_cents
                        + tenant_monthly.twilio_phone_cost_cents
                else nullif(
                    coalesce(tenant_monthly.twilio_sms_cost_cents, 0)
                    + coalesce(tenant_monthly.twilio_voice_cost_cents, 0)
                    + coalesce(tenant_monthly.twilio_phone_cost_cents, 0),
                    0
                )
            end as twilio_cost_cents
        from marts.tenant_monthly
        where tenant_monthly.month = p_month
    ),

    margins as materialized (
        select
            tenant_margin_monthly.tenant_id,
            tenant_margin_monthly.own_cost_cents,
            tenant_margin_monthly.shared_cost_cents,
            tenant_margin_monthly.full_cost_cents,
            tenant_margin_monthly.full_margin_cents
        from marts.tenant_margin_monthly
        where tenant_margin_monthly.month = p_month
    ),

    tenant_months as (
        select
            tenants.tenant_id,
            tenants.name as tenant_name,
            tenants.plan,
            tenants.plan_label,
            tenants.status as account_status,
            coalesce(channel_usage.sms_used, 0) as sms_used,
            coalesce(channel_usage.mms_used, 0) as mms_used,
            coalesce(channel_usage.voice_minutes_used, 0) as voice_minutes_used,
            coalesce(channel_usage.emails_sent, 0) as emails_sent,
            coalesce(channel_usage.ai_tokens_used, 0) as ai_tokens_used,
            coalesce(channel_usage.ai_requests, 0) as ai_requests,
            coalesce(months.usage_status, 'ok') as status,
            case when months.tenant_id is null then 0 else months.total_cost_cents end as estimated_cost_cents,
            case when months.tenant_id is null then 0 else months.openai_cost_cents end as openai_cost_cents,
            case when months.tenant_id is null then 0 else months.twilio_sms_cost_cents end as twilio_sms_cost_cents,
            case when months.tenant_id is null then 0 else months.twilio_voice_cost_cents end as twilio_voice_cost_cents,
            coalesce(months.total_messages, 0) as total_messages,
            coalesce(months.total_ai_calls, 0) as total_ai_calls,
            coalesce(channel_usage.ai_cost_cents, case when channel_usage.tenant_id is null then 0 end) as ai_cost_cents,
            100 * coalesce(channel_usage.ai_cost_cents, case when channel_usage.tenant_id is null then 0 end)
            / nullif(months.total_cost_cents, 0) as ai_percent_of_spend,
            100 * months.twilio_cost_cents / nullif(months.total_cost_cents, 0) as twilio_percent_of_spend,
            months.twilio_cost_cents,
            months.cost_change_percent,
            case when months.tenant_id is null then 0 else months.projected_cost_cents end as projected_cost_cents,
            case
                when months.tenant_id is null then tenants.monthly_base_price_usd * 100
                else months.margin_cents
            end as margin_cents,
            case when margins.tenant_id is null then 0 else margins.own_cost_cents end as own_cost_cents,
            coalesce(margins.shared_cost_cents, 0) as shared_cost_cents,
            case when margins.tenant_id is null then 0 else margins.full_cost_cents end as full_cost_cents,
            case
                when margins.tenant_id is null then tenants.monthly_base_price_usd * 100
                else margins.full_margin_cents
            end as full_margin_cents,
            coalesce(months.adjustment_cents, 0) as adjustment_cents,
            coalesce(months.unpriced_units, '{}') as unpriced_units,
            case when months.tenant_id is null then 0 else months.twilio_phone_cost_cents end as twilio_phone_cost_cents,
            case when months.tenant_id is null then 0 else months.sendgrid_cost_cents end as sendgrid_cost_cents,
            case when months.tenant_id is null then 0 else months.stripe_cost_cents end as stripe_cost_cents,
            case when months.tenant_id is null then 0 else months.google_places_cost_cents end as google_places_cost_cents,
            case when months.tenant_id is null then 0 else months.storage_cost_cents end as storage_cost_cents,
            case when months.tenant_id is null then 0 else months.other_cost_cents end as other_cost_cents
        from marts.tenants
        left join channel_usage on tenants.tenant_id = channel_usage.tenant_id
        left join months on tenants.tenant_id = months.tenant_id
        left join margins on tenants.tenant_id = margins.tenant_id
    )

    select
        p_month,
        tenant_months.tenant_id,
        tenant_months.tenant_name,
        tenant_months.plan,
        tenant_months.plan_label,
        tenant_months.account_status,
        tenant_months.status,
        tenant_months.total_messages > 0
        or tenant_months.total_ai_calls > 0
        or coalesce(tenant_months.estimated_cost_cents, 1) <> 0,
        tenant_months.sms_used,
        tenant_months.mms_used,
        tenant_months.voice_minutes_used,
        tenant_months.emails_sent,
        tenant_months.ai_tokens_used,
        tenant_months.ai_requests,
        tenant_months.total_messages,
        tenant_months.total_ai_calls,
        tenant_months.estimated_cost_cents,
        tenant_months.openai_cost_cents,
        tenant_months.twilio_sms_cost_cents,
        tenant_months.twilio_voice_cost_cents,
        tenant_months.twilio_cost_cents,
        tenant_months.ai_cost_cents,
        tenant_months.ai_percent_of_spend,
        tenant_months.twilio_percent_of_spend,
        tenant_months.cost_change_percent,
        tenant_months.projected_cost_cents,
        tenant_months.margin_cents,
        tenant_months.own_cost_cents,
        tenant_months.shared_cost_cents,
        tenant_months.full_cost_cents,
        tenant_months.full_margin_cents,
        tenant_months.adjustment_cents,
        tenant_months.unpriced_units,
        tenant_months.twilio_phone_cost_cents,
        tenant_months.sendgrid_cost_cents,
        tenant_months.stripe_cost_cents,
        tenant_months.google_places_cost_cents,
        tenant_months.storage_cost_cents,
        tenant_months.other_cost_cents
    from tenant_months;
end;
$$;

-- What all tenants cost in a month, by day and service. Runs with the rights of who asks.
create or replace function ops.days_of_month(p_month text) returns setof ops.list_days
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    return query
    select
        p_month,
        usage_daily.date,
        usage_daily.service,
        sum(usage_daily.request_count),
        trim_scale(sum(usage_daily.estimated_cost_usd) * 100)
    from marts.usage_daily
    where
        usage_daily.date >= to_date(p_month, 'YYYY-MM')
        and usage_daily.date < (to_date(p_month, 'YYYY-MM') + interval '1 month')::date
    group by usage_daily.date, usage_daily.service;
end;
$$;

-- Keep the lists of the build's marts; call it in the transaction that calls the build good. Only months whose marts have changed are made
-- again: their rows have another `updated_at`, or are fewer. A build that leaves the marts as they stand changes nothing.
create or replace function ops.keep_lists(p_build_id text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made record;
begin
    if exists (select from ops.builds where build_id = p_build_id and stands_on is not null) then
        return;
    end if;
    if
        exists (
            select from unnest('{tenants, usage_daily, usage_monthly, tenant_monthly, tenant_margin_monthly}'::text[]) as mart
            where to_regclass('marts.' || mart) is null
        )
    then
        delete from ops.list_months;
        return;
    end if;
    for made in
        with marts as (
            select month, 'usage_monthly' as mart, count(*) as mart_rows, max(updated_at) as newest
            from marts.usage_monthly group by month
            union all
            select month, 'tenant_monthly', count(*), max(updated_at) from marts.tenant_monthly group by month
            union all
            select month, 'tenant_margin_monthly', count(*), max(updated_at) from marts.tenant_margin_monthly group by month
        ),

        months as (
            select
                month,
                md5(concat_ws(
                    ' ',
                    string_agg(concat_ws(' ', mart, mart_rows, extract(epoch from newest)), ' ' order by mart),
                    (select concat_ws(' ', count(*), extract(epoch from max(updated_at))) from marts.tenants),
                    pg_get_functiondef('ops.tenants_of_month(text)'::regprocedure),
                    pg_get_functiondef('ops.days_of_month(text)'::regprocedure)
                )) as version
            from marts
            group by month
        )

        select coalesce(months.month, list_months.month) as month, months.version
        from months
        full join ops.list_months on months.month = list_months.month
        where months.version is distinct from list_months.version
    loop
        delete from ops.list_tenants where month = made.month;
        delete from ops.list_totals where month = made.month;
        delete from ops.list_days where month = made.month;
        delete from ops.list_months where month = made.month;
        continue when made.version is null;
        insert into ops.list_tenants select * from ops.tenants_of_month(made.month);
        insert into ops.list_totals
        select
            list_tenants.month,
            list_tenants.plan,
            min(list_tenants.plan_label),
            list_tenants.status,
            count(*),
            count(*) filter (where list_tenants.has_used),
            count(*) filter (where list_tenants.tenant_id <> 'unattributed'),
            count(*) filter (where list_tenants.tenant_id <> 'unattributed' and list_tenants.has_used),
            sum(list_tenants.estimated_cost_cents) filter (where list_tenants.tenant_id <> 'unattributed'),
            sum(list_tenants.sms_used),
            sum(list_tenants.mms_used),
            sum(list_tenants.voice_minutes_used),
            sum(list_tenants.emails_sent),
            sum(list_tenants.ai_tokens_used),
            sum(list_tenants.ai_requests),
            sum(list_tenants.total_messages),
            sum(list_tenants.total_ai_calls),
            sum(list_tenants.estimated_cost_cents),
            sum(list_tenants.openai_cost_cents),
            sum(list_tenants.twilio_sms_cost_cents),
            sum(list_tenants.twilio_voice_cost_cents),
            sum(list_tenants.twilio_cost_cents),
            sum(list_tenants.ai_cost_cents),
            sum(list_tenants.projected_cost_cents),
            sum(list_tenants.margin_cents),
            sum(list_tenants.own_cost_cents),
            sum(list_tenants.shared_cost_cents),
            sum(list_tenants.full_cost_cents),
            sum(list_tenants.full_margin_cents),
            sum(list_tenants.adjustment_cents),
            ops.sum_units(list_tenants.unpriced_units) filter (where list_tenants.unpriced_units <> '{}'),
            sum(list_tenants.twilio_phone_cost_cents),
            sum(list_tenants.sendgrid_cost_cents),
            sum(list_tenants.stripe_cost_cents),
            sum(list_tenants.google_places_cost_cents),
            sum(list_tenants.storage_cost_cents),
            sum(list_tenants.other_cost_cents)
        from ops.list_tenants
        where list_tenants.month = made.month
        group by list_tenants.month, list_tenants.plan, list_tenants.status;
        insert into ops.list_days select * from ops.days_of_month(made.month);
        insert into ops.list_months values (made.month, made.version, p_build_id);
    end loop;
    update ops.list_months set build_id = p_build_id where build_id <> p_build_id;
end;
$$;

create or replace view ops.kept_tenants as
select
    list_tenants.month,
    list_tenants.tenant_id,
    list_tenants.tenant_name,
    list_tenants.plan,
    list_tenants.plan_label,
    list_tenants.account_status,
    list_tenants.status,
    list_tenants.has_used,
    list_tenants.sms_used,
    list_tenants.mms_used,
    list_tenants.voice_minutes_used,
    list_tenants.emails_sent,
    list_tenants.ai_tokens_used,
    list_tenants.ai_requests,
    list_tenants.total_messages,
    list_tenants.total_ai_calls,
    list_tenants.estimated_cost_cents,
    list_tenants.openai_cost_cents,
    list_tenants.twilio_sms_cost_cents,
    list_tenants.twilio_voice_cost_cents,
    list_tenants.twilio_cost_cents,
    list_tenants.ai_cost_cents,
    list_tenants.ai_percent_of_spend,
    list_tenants.twilio_percent_of_spend,
    list_tenants.cost_change_percent,
    list_tenants.projected_cost_cents,
    list_tenants.margin_cents,
    list_tenants.own_cost_cents,
    list_tenants.shared_cost_cents,
    list_tenants.full_cost_cents,
    list_tenants.full_margin_cents,
    list_tenants.adjustment_cents,
    list_tenants.unpriced_units,
    list_tenants.twilio_phone_cost_cents,
    list_tenants.sendgrid_cost_cents,
    list_tenants.stripe_cost_cents,
    list_tenants.google_places_cost_cents,
    list_tenants.storage_cost_cents,
    list_tenants.other_cost_cents
from ops.list_tenants
-- Everybody's figures: only for the owner. One yes or no for all rows, asked before any is read, so that whatever else a query asks of rows
-- is asked of nobody's; and, unlike behind a barrier, rows are found and ordered by an index.
where (select current_setting('metering.role', true) = 'root_admin');

comment on view ops.kept_tenants is 'Each tenant''s month, as the newest good build left it. For the owner.';

create or replace view ops.kept_totals as
select
    list_totals.month,
    list_totals.plan,
    list_totals.plan_label,
    list_totals.status,
    list_totals.tenants,
    list_totals.active_tenants,
    list_totals.clients,
    list_totals.active_clients,
    list_totals.clients_cost_cents,
    list_totals.sms_used,
    list_totals.mms_used,
    list_totals.voice_minutes_used,
    list_totals.emails_sent,
    list_totals.ai_tokens_used,
    list_totals.ai_requests,
    list_totals.total_messages,
    list_totals.total_ai_calls,
    list_totals.estimated_cost_cents,
    list_totals.openai_cost_cents,
    list_totals.twilio_sms_cost_cents,
    list_totals.twilio_voice_cost_cents,
    list_totals.twilio_cost_cents,
    list_totals.ai_cost_cents,
    list_totals.projected_cost_cents,
    list_totals.margin_cents,
    list_totals.own_cost_cents,
    list_totals.shared_cost_cents,
    list_totals.full_cost_cents,
    list_totals.full_margin_cents,
    list_totals.adjustment_cents,
    list_totals.unpriced_units,
    list_totals.twilio_phone_cost_cents,
    list_totals.sendgrid_cost_cents,
    list_totals.stripe_cost_cents,
    list_totals.google_places_cost_cents,
    list_totals.storage_cost_cents,
    list_totals.other_cost_cents
from ops.list_totals
where (select current_setting('metering.role', true) = 'root_admin');

comment on view ops.kept_totals is 'The sums of kept_tenants by plan and status. For the owner.';

create or replace view ops.kept_days as
select
    list_days.month,
    list_days.date,
    list_days.service,
    list_days.request_count,
    list_days.cost_cents
from ops.list_days
where (select current_setting('metering.role', true) = 'root_admin');

comment on view ops.kept_days is 'What all tenants cost by day and service, as the newest good build kept it. For the owner.';

-- The months whose lists are of the newest good build's marts.
create or replace view ops.kept_months as
select
    list_months.month,
    list_months.build_id
from ops.list_months
where list_months.build_id = (
    select coalesce(builds.stands_on, builds.build_id)
    from ops.builds
    where builds.status = 'ok'
    order by builds.finished_at desc
    limit 1
);

comment on view ops.kept_months is 'The months that kept_tenants and kept_totals have of the newest good build.';

-- The numbers that we know in clear, because they are ours: by the keyed hash that usage has them under.
create or replace view ops.own_numbers as
select
    known.number_hash,
    min(known.phone_number) as phone_number
from (
    select
        twilio_phone_numbers.phone_number_hash as number_hash,
        twilio_phone_numbers.phone_number
    from raw.twilio_phone_numbers
    union all
    select
        tenant_resources.resource_hash,
        tenant_resources.resource_id
    from raw.tenant_resources
    where tenant_resources.resource_hash is not null
) as known
where (select current_setting('metering.role', true) = 'root_admin')
group by known.number_hash;

comment on view ops.own_numbers is 'Our phone numbers in clear by their keyed hash. For the owner.';
