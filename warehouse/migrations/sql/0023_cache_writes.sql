-- follows: 0027
-- Input tokens that were written to the cache: a part of input_tokens, as the cached ones are.

alter table raw.openai_usage_completions add column if not exists cache_write_tokens bigint not null default 0;

alter table raw.usage_events add column if not exists cache_write_tokens bigint;
