-- A row of a price book as text: a JSON array of texts, the tier last, and only where there is one: books without tiers keep their versions.
create or replace function ops.price_row_text(
    p_service text,
    p_operation text,
    p_model text,
    p_plan text,
    p_component text,
    p_unit_price_usd numeric,
    p_per numeric,
    p_effective_from date,
    p_effective_to date,
    p_source text,
    p_tier text
)
returns text
language sql
stable
parallel safe
return (
    jsonb_build_array(
        p_service, coalesce(p_operation, ''), coalesce(p_model, ''), coalesce(p_plan, ''), p_component,
        trim_scale(p_unit_price_usd)::text, trim_scale(p_per)::text,
        coalesce(to_char(p_effective_from, 'YYYY-MM-DD'), ''), coalesce(to_char(p_effective_to, 'YYYY-MM-DD'), ''), coalesce(p_source, '')
    ) || case when p_tier <> '' then jsonb_build_array(p_tier) else '[]' end
)::text;

-- The version of a book: sha256 over its rows as text, in the order of their bytes. `costs.rules.price_versions` computes the same from
-- the seed's file, as whoever has it can.
create or replace function ops.price_book_version(p_rows text[]) returns text
language sql
stable
parallel safe
return (
    select encode(sha256(convert_to(coalesce(string_agg(line, e'\n' order by line collate "C"), ''), 'UTF8')), 'hex')
    from unnest(p_rows) as line
);

-- Stores the price book of a table and returns its version.
create or replace function ops.keep_price_book(p_table regclass) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    lines text[];
    book_version text;
    -- A seed that was made before the column has none.
    tier_cell text := case when exists (
        select 1 from pg_attribute where attrelid = p_table and attname = 'tier' and not attisdropped
    ) then 'tier' else '''''' end;
begin
    execute format(
        $q$
        select coalesce(array_agg(line order by line collate "C"), '{}')
        from (
            select
                ops.price_row_text(service, operation, model, plan, component, unit_price_usd, per, effective_from, effective_to, source, %1$s)
                    as line
            from %2$s
        ) as price_rows
        $q$,
        tier_cell, p_table
    ) into lines;
    book_version := ops.price_book_version(lines);

    insert into ops.price_books (version, row_count) values (book_version, cardinality(lines))
    on conflict (version) do nothing;
    if found then
        insert into ops.price_book_rows (
            version, number, service, operation, model, plan, component, unit_price_usd, per, effective_from, effective_to, source, tier
        )
        select
            book_version, number, row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, row ->> 5, row ->> 6, row ->> 7, row ->> 8, row ->> 9,
            coalesce(row ->> 10, '')
        from (select line::jsonb as row, number from unnest(lines) with ordinality as kept (line, number)) as price_rows;
    end if;
    return book_version;
end;
$$;
