-- follows: 0053
-- What the owner's overview is made of: every service's cost of a tenant's month, what all tenants cost by day and service, and the
-- state of usage that was tracked in part.

alter table ops.list_tenants
add column twilio_phone_cost_cents numeric,
add column sendgrid_cost_cents numeric,
add column stripe_cost_cents numeric,
add column google_places_cost_cents numeric,
add column storage_cost_cents numeric,
add column other_cost_cents numeric;

alter table ops.list_totals
add column twilio_phone_cost_cents numeric,
add column sendgrid_cost_cents numeric,
add column stripe_cost_cents numeric,
add column google_places_cost_cents numeric,
add column storage_cost_cents numeric,
add column other_cost_cents numeric;

-- Month x day x service, over all tenants. Cost in exact cents; null where nothing of it is priced.
create table ops.list_days (
    month text not null,
    date date not null,
    service text not null,
    request_count numeric not null,
    cost_cents numeric,
    primary key (month, date, service)
);

-- The lists are made of the marts until the next build keeps them with what is new.
update ops.list_months set build_id = '';

-- A new state of marts.usage_reconciliation; rows of before are given it, so that no day has to be built again for it.
do $$
begin
    if to_regclass('marts.usage_reconciliation') is not null then
        alter table marts.usage_reconciliation drop constraint if exists usage_reconciliation_state_is_known;
        alter table marts.usage_reconciliation add constraint usage_reconciliation_state_is_known check (
            state in (
                'drift', 'misattributed', 'tracked_only', 'partly_tracked', 'provider_only', 'price_pending', 'matched'
            )
        ) not valid;
        update marts.usage_reconciliation set state = 'partly_tracked'
        where state = 'provider_only' and tracked_units > 0;
    end if;
end;
$$;
