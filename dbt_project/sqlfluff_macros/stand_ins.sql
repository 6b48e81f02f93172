{# What the linter sees of our macros: the shape of what they expand to, since it knows neither vars nor a run. #}
{% macro in_window(column, grain) %}{{ column }} >= '2026-01-01' and {{ column }} < '2026-02-01'{% endmacro %}
{% macro window_start() %}'2026-01-01'::date{% endmacro %}
{% macro window_end() %}'2026-02-01'::date{% endmacro %}
{% macro window_first_month() %}'2026-01-01'::date{% endmacro %}
{% macro window_after_last_month() %}'2026-03-01'::date{% endmacro %}
{% macro as_of() %}'2026-01-31'::timestamptz{% endmacro %}
{% macro as_of_date() %}'2026-01-31'::date{% endmacro %}
{% macro plan_day(first_day) %}{{ first_day }}{% endmacro %}
{% macro is_in_force_on(version, day) %}({{ version }}.valid_from <= {{ day }}){% endmacro %}
{% macro lookback_days() %}3{% endmacro %}
{% macro built_at() %}'2026-01-31'::timestamptz{% endmacro %}
{% macro sendgrid_parent_stats() %}total{% endmacro %}
{% macro is_snapshot_of(name, base) %}starts_with({{ name }}, {{ base }}){% endmacro %}
{% macro tracked_records(about, tenants) %}select * from {{ about }} cross join {{ tenants }}{% endmacro %}
{% macro resource_owner(record, owners, condition='true') %}select * from {{ owners }} where resource_key = {{ record }}.resource_id{% endmacro %}
{% macro counted_by_themselves(records) %}select * from {{ records }}{% endmacro %}
{% macro price_book_rows(price_book) %}select * from {{ price_book }}{% endmacro %}
{% macro priced_lines(lines, book) %}select {{ lines }}.*, {{ book }}.tier as set_tier from {{ lines }} cross join {{ book }}{% endmacro %}
{% macro unpriced_by_kind() %}ops.sum_units(unpriced_units){% endmacro %}
{% macro unpriced_channel_units() %}sum(unpriced_unit_count){% endmacro %}
{% macro kinds_of(row) %}{{ row }}.unpriced_units{% endmacro %}
{% macro sum_kinds(kinds) %}ops.sum_units({{ kinds }}){% endmacro %}
{% macro estimated_cost() %}unit_count * unit_price / unit_per{% endmacro %}
{% macro twilio_direction(column) %}{{ column }}{% endmacro %}
{% macro our_number(record) %}{{ record }}.from_number_hash{% endmacro %}
{% macro twilio_billed_usd(price, price_unit, happened_at) %}abs({{ price }}){% endmacro %}
{% macro protect_rows() %}{% endmacro %}
{% macro join_owner(alias, usage, provider, resource_type, key, condition='true') %}left join owners as {{ alias }} on {{ alias }}.resource_key = {{ key }}{% endmacro %}
{% macro join_call_owner(alias, call_sid, condition) %}left join (select asked.call_sid, asked.own_tenant_id, named.tenant_id as named_tenant_id from legs as asked cross join named) as {{ alias }} on {{ alias }}.call_sid = {{ call_sid }}{% endmacro %}
{% macro named_tenant(service, record_key) %}(select named.tenant_id from named where named.record_key = {{ record_key }}){% endmacro %}
{% macro own_fee_types() %}'stripe_fee'{% endmacro %}
{% macro money_movement_types() %}'payout'{% endmacro %}
{% macro may_carry_dispute_fee(row) %}({{ row }}.fee_minor > 0){% endmacro %}
{% macro is_main_unit(service, operation, channel) %}{{ channel }} <> 'storage'{% endmacro %}
{% macro reconciled_as(service, operation, channel) %}{{ service }} || {{ operation }}{% endmacro %}
{% macro resource_type_of(service) %}{{ service }}{% endmacro %}
{% macro record_services() %}'twilio_sms'{% endmacro %}
{% macro as_provider_records(relation) %}select {{ kwargs.values() | join(', ') }} from {{ relation }}{% endmacro %}
{% macro provider_services() %}'twilio_sms', 'openai'{% endmacro %}
{% macro provider_of(service) %}{{ service }}{% endmacro %}
{% macro raw_table_of(service, channel) %}{{ service }} || {{ channel }}{% endmacro %}
{% macro price_days(channel, day) %}30::numeric{% endmacro %}
{% macro days_of_month(day) %}extract(day from {{ day }}){% endmacro %}
{% macro is_unused(status, channel) %}{{ status }} = '{{ channel }}'{% endmacro %}
{% macro monthly_costs() %}{{ return(['openai', 'twilio_sms', 'twilio_voice', 'twilio_phone', 'sendgrid', 'stripe', 'google_places', 'storage']) }}{% endmacro %}
{% macro monthly_channels(columns) %}'{{ columns | join("', '") }}'{% endmacro %}
{% macro percent_of(part, whole) %}({{ part }}) * 100 / ({{ whole }}){% endmacro %}
{% macro price_of(quantity, price, per, days=none) %}{{ quantity }} * {{ price }} / {{ per }}{% endmacro %}
{% macro minor_units(currency) %}100{% endmacro %}
{% macro stripe_usd(amount_minor) %}({{ amount_minor }}) / 100::numeric{% endmacro %}
{% macro token_services() %}'openai'{% endmacro %}
{% macro aggregate_services() %}'openai'{% endmacro %}
{% macro aggregate_providers() %}'openai'{% endmacro %}
{% macro aggregate_service_of(provider) %}{{ provider }}{% endmacro %}
{% macro sum_table(service, operation, resource_id) %}{{ service }} || {{ resource_id }}{% endmacro %}
{% macro sum_channel(service, operation) %}{{ service }}{% endmacro %}
{% macro sum_direction(channel) %}{{ channel }}{% endmacro %}
{% macro earliest(expression, condition='true') %}min({{ expression }}){% endmacro %}
{% macro is_open(day) %}({{ day }} >= '2026-01-31'::date - 3){% endmacro %}
{% macro is_provisional() %}(evidence = 'tracked'){% endmacro %}
{% macro drift_tolerance_percent() %}1::numeric{% endmacro %}
{% macro same_sum(one, other, owner) %}{{ owner }} = {{ other }}.owner_id{% endmacro %}
{% macro is_item_of(line_item, operation) %}{{ line_item }} = {{ operation }}{% endmacro %}
{% macro itemized_services() %}'openai'{% endmacro %}
{% macro is_billed_elsewhere(service, tier) %}{{ service }} = {{ tier }}{% endmacro %}
{% macro tells_long_calls(service) %}{{ service }} in ('openai'){% endmacro %}
{% macro counts_tokens() %}service = 'openai'{% endmacro %}
{% macro openai_unit(operation) %}{{ operation }}{% endmacro %}
{% macro unit_of_operation(service, operation, channel) %}{{ channel }}{% endmacro %}
{% macro is_channel_unit() %}(unit = channel){% endmacro %}
{% macro channel_units() %}sum(unit_count){% endmacro %}
{% macro sums_of_channel() %}sum(unit_count) as unit_count{% endmacro %}
{% macro month_start(month='month') %}to_date({{ month }}, 'YYYY-MM')::date{% endmacro %}
{% macro unit_of(channel) %}{{ channel }}{% endmacro %}
{% macro channel_service(channel) %}{{ channel }}{% endmacro %}
{% macro new_columns(columns) %}{% endmacro %}
{% macro directory_table(name) %}raw.{{ name }}{% endmacro %}
{% macro forget_built_usage() %}{% endmacro %}
{% macro provider_row(relation='') %}jsonb_build_object('record_id', 1){% endmacro %}
{% macro sum_of_side(side) %}jsonb_build_object('unit_count', {{ side }}_unit_count){% endmacro %}
{% macro price_id(row) %}{{ row }}.service{% endmacro %}
{% macro price_book_version() %}max(service){% endmacro %}
{% macro visible_to_caller(tenant_id) %}{{ tenant_id }} = 'a'{% endmacro %}
{% macro visible_to_known_callers() %}true{% endmacro %}
{% macro focus_service(column, place) %}upper({{ column }}){% endmacro %}
{% macro focus_unit(column) %}upper({{ column }}){% endmacro %}
{% macro focus_part_unit(component, unit) %}upper({{ unit }}){% endmacro %}
{% macro focus_pricing_unit(component, unit) %}upper({{ unit }}){% endmacro %}
{% macro focus_meter(component, unit) %}upper({{ unit }}){% endmacro %}
{% macro and_open(column, grain) %}{% endmacro %}
{% macro in_open_window(column) %}{{ column }} >= '2026-01-01' and {{ column }} < '2026-02-01'{% endmacro %}
{% macro record_built_days() %}{% endmacro %}
{% macro record_cost_changes() %}{% endmacro %}
{% macro keeps_records() %}{{ return(true) }}{% endmacro %}
{% macro closed_months() %}{{ return(['2025-12']) }}{% endmacro %}
{% macro code_version() %}code{% endmacro %}
{% macro usage_daily_before() %}marts.usage_daily{% endmacro %}
{% macro chosen_prices(book, plan, version=none) %}(select max(component) from {{ book }} where plan = {{ plan }}){% endmacro %}
{% macro is_main_unit(service, operation, channel) %}({{ service }} = {{ operation }} and {{ channel }} = 'sms'){% endmacro %}
{% macro channel_price_rows() %}('sms', 'twilio_sms', 'outbound', array['unit']){% endmacro %}
{% macro reconciled_as(service, operation, channel) %}{{ service }} || {{ operation }} || {{ channel }}{% endmacro %}
{% macro processing_of(tier) %}lower({{ tier }}){% endmacro %}
{% macro tier_name(said) %}lower({{ said }}){% endmacro %}
{% macro new_key_column(name, key, mart) %}{% endmacro %}
{% macro event_rows(name) %}raw.{{ name }}{% endmacro %}
{% macro tracked_events(rows) %}select * from {{ rows }}{% endmacro %}
{% macro messages_of(rows) %}select * from {{ rows }}{% endmacro %}
{% macro every_message() %}staging.stg_twilio__messages{% endmacro %}
{% macro by_workers(query, columns) %}{{ query }}{% endmacro %}
{% macro settle_on_workers() %}{% endmacro %}
{% macro is_citus() %}{% endmacro %}
{% macro price_sets_of_window(price_book, lines) %}select * from {{ price_book }} cross join {{ lines }}{% endmacro %}
