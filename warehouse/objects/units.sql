-- Units by kind: an object of unit and quantity ({"tokens": 12, "images": 3}), for quantities that must not be added up.
create or replace function ops.add_units(p_units jsonb, p_more jsonb) returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(summed.unit, trim_scale(summed.quantity)) filter (where summed.quantity <> 0), '{}')
    from (
        select parts.key as unit, sum(parts.value::numeric) as quantity
        from (select * from jsonb_each_text(p_units) union all select * from jsonb_each_text(p_more)) as parts
        group by parts.key
    ) as summed
$$;

create or replace function ops.subtract_units(p_units jsonb, p_less jsonb) returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select ops.add_units(p_units, coalesce(jsonb_object_agg(less.key, -less.value::numeric), '{}'))
    from jsonb_each_text(p_less) as less
$$;

create or replace aggregate ops.sum_units (jsonb)(
    sfunc = ops.add_units,
    stype = jsonb,
    combinefunc = ops.add_units,
    initcond = '{}',
    parallel = safe
);

-- The quantity of an object that is not empty: see `only_quantity`.
create or replace function ops.quantity_of_kinds(p_units jsonb) returns numeric
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case when count(*) = 1 then min(kinds.value::numeric) end from jsonb_each_text(p_units) as kinds
$$;

-- The quantity where there is one unit, 0 where there is none, null where there are several: they have no sum. Most rows have none, and
-- an expression that the planner puts in the place of its call looks at them: a function called for each costs more than their marts.
create or replace function ops.only_quantity(p_units jsonb) returns numeric
language sql
immutable
parallel safe
return case when p_units <> '{}' then ops.quantity_of_kinds(p_units) else 0 end;
