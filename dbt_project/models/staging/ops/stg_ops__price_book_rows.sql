-- Grain: version of the price book × row of it. The texts of price_book.csv as what they say, as price_book_rows has those of the seed.
select
    version,
    service,
    operation,
    model,
    plan,
    tier,
    component,
    unit_price_usd::numeric as unit_price_usd,
    per::numeric as per,
    coalesce(nullif(effective_from, '')::date, '-infinity') as effective_from,
    coalesce(nullif(effective_to, '')::date, 'infinity') as effective_to
from {{ source('ops', 'price_book_rows') }}
