{# What a line's explanation keeps of a row of a provider's sums: which one it is, whose it is by which rule, and what it says. #}
{% macro provider_row(relation='') -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    jsonb_build_object(
        'raw_table', {{ prefix }}raw_table,
        'record_id', {{ prefix }}raw_key,
        'attribution', {{ prefix }}attribution,
        'unit_count', {{ prefix }}unit_count,
        'request_count', {{ prefix }}request_count,
        'input_tokens', {{ prefix }}input_tokens,
        'cached_input_tokens', {{ prefix }}cached_input_tokens,
        'cache_write_tokens', {{ prefix }}cache_write_tokens,
        'cache_write_1h_tokens', {{ prefix }}cache_write_1h_tokens,
        'output_tokens', {{ prefix }}output_tokens
    )
{%- endmacro %}

{# One side of a residual: what the provider's sum, or what was tracked of it, comes to. #}
{% macro sum_of_side(side) -%}
    jsonb_build_object(
        {% for measure in ['unit_count', 'request_count', 'input_tokens', 'cached_input_tokens', 'cache_write_tokens', 'cache_write_1h_tokens', 'output_tokens'] -%}
            '{{ measure }}', {{ side }}_{{ measure }}{{ ',' if not loop.last }}
        {% endfor %}
    )
{%- endmacro %}

{#
  The name of a row of the price book, the same in every build: what it prices, from when on, and a digest of its price, so that
  a corrected price is another row. Not its end: a row that is succeeded by another stays the row it is.
#}
{% macro price_id(row) -%}
    concat_ws(
        '/', {{ row }}.service, coalesce({{ row }}.operation, ''), coalesce({{ row }}.model, ''), coalesce({{ row }}.plan, ''),
        nullif({{ row }}.tier, ''), {{ row }}.component,
        coalesce({{ row }}.effective_from::text, 'ever')
        || '#' || left(md5(concat_ws(':', trim_scale({{ row }}.unit_price_usd), trim_scale({{ row }}.per))), 8)
    )
{%- endmacro %}

{# The version of a whole price book, of its rows in the seed's table: the one that ops.keep_price_book keeps it under. #}
{% macro price_book_version() -%}
    ops.price_book_version(array_agg(ops.price_row_text(
        service, operation, model, plan, component, unit_price_usd, per, effective_from, effective_to, source, tier
    )))
{%- endmacro %}

{#
  Post-hook of a view that is served. A view reads with its owner's rights, to whom the tables' policies do not apply, so
  the same conditions stand in the view itself (`visible_to_caller`), and the barrier keeps them in front of what a query adds.
#}
{% macro protect_view() %}
    {% if execute and not var('scratch', none) %}
        alter view {{ this }} set (security_barrier = true);
        grant select on {{ this }} to metering_api, metering_analyst;
    {% endif %}
{% endmacro %}

{% macro visible_to_caller(tenant_id) -%}
    (
        {{ tenant_id }} = (select current_setting('metering.tenant_id', true))
        or (select current_setting('metering.role', true)) = 'root_admin'
        or (select {{ is_analyst() }} or {{ is_builder() }})
    )
{%- endmacro %}

{# Also somebody's own login that is a member of the role. #}
{% macro is_analyst() -%} pg_has_role('metering_analyst', 'usage') {%- endmacro %}

{# The marts' owner, whom no policy of a table concerns: dbt, whose tests read these views. #}
{% macro is_builder() -%} pg_has_role('metering_transformer', 'usage') {%- endmacro %}

{# What is no tenant's (plans): for whoever has said who they are. As the tables' policies, it holds for the API's role alone. #}
{% macro visible_to_known_callers() -%}
    (
        current_user <> 'metering_api'
        or (select current_setting('metering.tenant_id', true)) <> ''
        or (select current_setting('metering.role', true)) = 'root_admin'
    )
{%- endmacro %}
