-- follows: 0030
-- Batch, flex and priority have prices of their own, and one model's usage by two of them is two rows. '' is standard, or not asked for.

alter table raw.openai_usage_completions add column if not exists tier text not null default '';

alter table raw.openai_usage_completions
drop constraint openai_usage_completions_pkey,
add primary key (usage_date, account_id, project_id, api_key_id, model, tier);

alter table ops.price_book_rows add column if not exists tier text not null default '';
