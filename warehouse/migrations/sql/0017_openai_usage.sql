-- follows: 0016
-- OpenAI's other usage endpoints, a table each as each is answered for by itself: by project, key and model where the endpoint knows
-- them ('' where it does not), in the endpoint's own unit.

create table if not exists raw.openai_usage_images (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    images bigint not null,                   -- images generated or edited
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_audio_speeches (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    characters bigint not null,               -- characters spoken
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_audio_transcriptions (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    seconds bigint not null,                  -- seconds transcribed
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_moderations (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    input_tokens bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_vector_stores (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    usage_bytes bigint not null,              -- bytes stored
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_code_interpreter_sessions (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    num_sessions bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_file_search_calls (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    num_requests bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);

create table if not exists raw.openai_usage_web_search_calls (
    account_id text not null,
    usage_date date not null,
    project_id text not null default '',
    api_key_id text not null default '',
    model text not null default '',
    num_requests bigint not null,
    num_model_requests bigint not null,
    load_id text not null,
    loaded_at timestamptz not null default now(),
    primary key (usage_date, account_id, project_id, api_key_id, model)
);
