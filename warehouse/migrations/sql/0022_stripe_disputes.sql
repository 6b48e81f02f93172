-- follows: 0017
-- A dispute's adjustments are looked up by each other: by its charge, or where Stripe names none by the dispute itself.
create index if not exists stripe_balance_transactions_source_id on raw.stripe_balance_transactions (source_id) where type = 'adjustment';
