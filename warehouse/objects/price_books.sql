-- Stores the price book of a table and returns its version: sha256 over its rows, each as a JSON array of texts, in the
-- order of their bytes. `costs.rules.price_versions` computes the same from the seed's file.
-- The tier comes last, and only where there is one: books without tiers keep their versions.
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
    ) then 'coalesce(tier, '''')' else '''''' end;
begin
    execute format(
        $q$
        select coalesce(array_agg(line order by line collate "C"), '{}')
        from (
            select (jsonb_build_array(
                service, coalesce(operation, ''), coalesce(model, ''), coalesce(plan, ''), component,
                trim_scale(unit_price_usd)::text, trim_scale(per)::text,
                coalesce(to_char(effective_from, 'YYYY-MM-DD'), ''), coalesce(to_char(effective_to, 'YYYY-MM-DD'), ''), coalesce(source, '')
            ) || case when %1$s = '' then '[]' else jsonb_build_array(%1$s) end)::text as line
            from %2$s
        ) as price_rows
        $q$,
        tier_cell, p_table
    ) into lines;
    book_version := encode(sha256(convert_to(array_to_string(lines, e'\n'), 'UTF8')), 'hex');

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
