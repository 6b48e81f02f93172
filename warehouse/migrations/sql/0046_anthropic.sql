-- follows: 0045
-- Anthropic's daily sums: usage by workspace, API key, model and tier, and what is billed by workspace and line item.

create table if not exists raw.anthropic_usage (
    account_id text not null,                 -- 'default': the admin key's organization
    usage_date date not null,
    workspace_id text not null default '',    -- wrkspc_…; '' is the default workspace
    api_key_id text not null default '',      -- apikey_…; '' is what was used without one
    model text not null default '',
    tier text not null default '',            -- '' (standard), batch, priority, …, and long_context beside it
    uncached_input_tokens bigint not null,
    cache_read_input_tokens bigint not null,
    ephemeral_5m_input_tokens bigint not null,
    ephemeral_1h_input_tokens bigint not null,
    output_tokens bigint not null,
    web_search_requests bigint not null,
    requests bigint,                          -- null: the report does not count them
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, workspace_id, api_key_id, model, tier)
);

create table if not exists raw.anthropic_costs (
    account_id text not null,
    usage_date date not null,
    workspace_id text not null default '',
    line_item text not null default '',
    model text not null default '',
    tier text not null default '',
    currency text not null,                   -- lower case
    cost_type text not null default '',       -- tokens, web_search, code_execution
    amount numeric(38, 18) not null,          -- in units of currency, never cents
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, workspace_id, line_item, model, tier, currency)
);
