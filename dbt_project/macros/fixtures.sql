{#
  The rows of a unit test's input. dbt takes their types from the relation; an ephemeral model is none, so its columns' types stand
  here (tests/dbt/test_build.py holds them against what the models give).
#}
{% macro get_fixture_sql(rows, column_name_to_data_types) %}
    {%- set types = ephemeral_columns().get(model.name) -%}
    {%- if not types -%}
        {{ return(dbt.get_fixture_sql(rows, column_name_to_data_types)) }}
    {%- endif -%}
    {%- set columns = {} -%}
    {%- for type, names in types.items() -%}
        {%- for name in names.split() -%} {%- do columns.update({name: type}) -%} {%- endfor -%}
    {%- endfor -%}
    {%- for row in rows or [{}] %}
        {%- set values = format_row(row, columns) -%}
        select
        {%- for name, type in columns.items() %}
            {{ values.get(name, 'cast(null as ' ~ type ~ ')') }} as {{ adapter.quote(name) }} {{- ',' if not loop.last }}
        {%- endfor %}
        {%- if not loop.last %}
        union all
        {% endif %}
    {%- endfor %}
    {%- if not rows %}
        limit 0
    {%- endif -%}
{% endmacro %}

{# The columns of each ephemeral model that unit tests give rows of: names by type. #}
{% macro ephemeral_columns() %}
    {{ return({
        'int_twilio_messages': {
            'text': 'message_sid tenant_id attribution channel operation direction',
            'date': 'usage_date',
            'integer': 'unit_count',
            'numeric': 'billed_cost_usd',
        },
        'int_twilio_calls': {
            'text': 'call_sid tenant_id named_tenant_id attribution direction',
            'date': 'usage_date',
            'numeric': 'unit_count billed_cost_usd',
        },
        'int_twilio_recordings': {
            'text': 'recording_sid tenant_id named_tenant_id attribution',
            'date': 'usage_date',
            'numeric': 'unit_count billed_cost_usd',
        },
        'int_twilio_number_days': {
            'text': 'record_key tenant_id attribution number_type',
            'date': 'usage_date',
        },
        'int_twilio_control_totals': {
            'date': 'usage_date',
            'text': 'account_sid service tenant_id',
            'numeric(38,18)': 'control_units record_units',
        },
        'int_provider_records': {
            'text': 'service record_key tenant_id named_tenant_id attribution channel operation direction source unconverted_currency',
            'date': 'usage_date',
            'numeric(38,18)': 'unit_count',
            'numeric': 'amount_usd billed_cost_usd',
        },
        'int_tracked_records': {
            'text': 'service record_key event_tenant_id feature activity channel operation direction source model resource_id currency tier',
            'bigint': 'event_count input_tokens cached_input_tokens cache_write_tokens cache_write_1h_tokens output_tokens',
            'date': 'usage_date',
            'boolean': 'has_several_tenants has_failed counts_by_itself',
            'numeric(38,18)': 'unit_count',
            'numeric': 'amount_usd',
        },
        'int_settled_aggregates': {
            'date': 'usage_date',
            'text': 'service account_id resource_id owner_id operation model tier',
            'numeric(38,18)': 'provider_unit_count tracked_unit_count residual_unit_count',
            'bigint': 'provider_request_count provider_input_tokens provider_cached_input_tokens provider_cache_write_tokens '
                ~ 'provider_cache_write_1h_tokens provider_output_tokens tracked_request_count tracked_input_tokens tracked_cached_input_tokens '
                ~ 'tracked_cache_write_tokens tracked_cache_write_1h_tokens tracked_output_tokens residual_request_count '
                ~ 'residual_input_tokens residual_cached_input_tokens residual_cache_write_tokens residual_cache_write_1h_tokens residual_output_tokens',
            'jsonb': 'provider_rows',
            'boolean': 'is_open has_provider has_tracked is_answered is_closed is_confirmed has_residual',
        },
        'int_usage_lines': {
            'text': 'line_id tenant_id channel service operation direction source account_id resource_id api_key_id model tier feature '
                ~ 'activity evidence unit unconverted_currency plan',
            'boolean': 'is_as_it_comes',
            'date': 'usage_date',
            'numeric(38,18)': 'unit_count',
            'bigint': 'request_count input_tokens cached_input_tokens cache_write_tokens cache_write_1h_tokens output_tokens',
            'numeric': 'amount_usd billed_cost_usd',
            'jsonb': 'basis',
        },
        'int_usage_lines_costed': {
            'text': 'line_id tenant_id channel service operation direction source model tier feature activity evidence unit '
                ~ 'unconverted_currency account_id resource_id plan price_operation price_model price_plan price_tier',
            'date': 'usage_date',
            'numeric(38,18)': 'unit_count amount_usd estimated_cost_usd',
            'bigint': 'request_count input_tokens cached_input_tokens cache_write_tokens cache_write_1h_tokens output_tokens',
            'jsonb': 'basis',
            'numeric': 'billed_cost_usd',
        },
        'int_cost_items': {
            'date': 'usage_date',
            'text': 'item_id raw_table raw_key service account_id resource_id tenant_id attribution line_item model tier currency',
            'numeric(38,18)': 'amount',
        },
        'int_billed_lines': {
            'date': 'usage_date',
            'text': 'line_id',
            'numeric': 'billed_cost_usd',
        },
        'int_plan_limits': {
            'text': 'plan channel metric direction',
            'numeric(38,18)': 'monthly_cap warning_threshold_pct',
        },
        'int_tenant_month_limits': {
            'text': 'tenant_id month channel metric direction',
            'numeric(38,18)': 'cap',
            'numeric': 'warning_threshold_pct',
        },
        'ledger_changed_costs': {
            'text': 'tenant_id channel old_price_version new_price_version old_code_version old_plan',
            'date': 'date',
            'boolean': 'is_closed',
            'numeric': 'old_cost_usd old_billed_cost_usd old_charged_cost_usd old_unit_count old_unpriced_unit_count new_cost_usd '
                ~ 'new_billed_cost_usd new_charged_cost_usd new_unit_count new_unpriced_unit_count',
            'jsonb': 'old_unpriced_units new_unpriced_units',
        },
        'ledger_changed_quantities': {
            'text': 'tenant_id channel service operation model',
            'date': 'date',
            'numeric': 'unit_count input_tokens cached_input_tokens cache_write_tokens cache_write_1h_tokens output_tokens',
            'boolean': 'has_input has_cached_input has_cache_write has_cache_write_1h has_output',
        },
        'ledger_price_effects': {
            'text': 'tenant_id channel',
            'date': 'date',
            'boolean': 'has_other_price has_other_plan',
        },
    }) }}
{% endmacro %}

{# A cast in a unit test's rows. PostgreSQL says of an array's column no more than that it is one; ours are of texts. #}
{% macro postgres__safe_cast(field, type) -%}
    cast({{ field }} as {{ 'text[]' if type == 'ARRAY' else type }})
{%- endmacro %}
