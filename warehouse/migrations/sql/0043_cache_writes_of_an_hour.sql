-- follows: 0042
-- Input tokens that were written to a cache for an hour: a part of input_tokens, of which no other part has any.
alter table raw.usage_events add column if not exists cache_write_1h_tokens bigint;
