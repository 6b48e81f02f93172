-- follows: 0014
-- Stripe's balance transactions, as Stripe says them: amounts in the currency's minor unit, a fee as a positive number.
-- Of the source (a charge, a refund, …) only what says whose the transaction is.

create table if not exists raw.stripe_balance_transactions (
    account_id text not null,                 -- whose list it is: 'platform', or the connected account (acct_…)
    usage_date date not null,                 -- UTC date of created
    id text not null,                         -- txn_…
    type text not null,                       -- charge, refund, stripe_fee, …
    reporting_category text,
    status text,                              -- pending, available
    currency text not null,                   -- lower case: what the amounts are in
    amount_minor bigint not null,
    fee_minor bigint not null,
    net_minor bigint not null,
    application_fee_minor bigint not null,    -- the part of fee that a platform took: not Stripe's
    exchange_rate numeric(38, 18),            -- from source_currency to currency
    source_id text,                           -- ch_…, re_…, dp_…
    source_currency text,                     -- what was charged, lower case
    charge_id text,                           -- of a charge itself, of a refund or dispute the one that it is about
    connected_account_id text,                -- whom it is for: account_id, else the destination that the source names
    metadata_tenant_id text,                  -- metadata.tenant_id of the source
    created timestamptz not null,
    available_on timestamptz,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (account_id, id)
);
create index if not exists stripe_balance_transactions_usage_date on raw.stripe_balance_transactions (usage_date, account_id);
create index if not exists stripe_balance_transactions_id on raw.stripe_balance_transactions (id);
create index if not exists stripe_balance_transactions_charge_id on raw.stripe_balance_transactions (charge_id);

-- An event may tell of a transaction on another day than that on which Stripe made it.
insert into ops.record_tables (table_name, key_column) values ('stripe_balance_transactions', 'id');
