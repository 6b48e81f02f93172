-- follows: 0036
-- These are part of what reads them now: as views they would go on giving the days of whichever build made them last.
drop view if exists intermediate.int_twilio_messages cascade;
drop view if exists intermediate.int_twilio_calls cascade;
drop view if exists intermediate.int_twilio_recordings cascade;
drop view if exists intermediate.int_twilio_number_days cascade;
drop view if exists intermediate.int_twilio_control_totals cascade;
drop view if exists intermediate.int_provider_records cascade;
drop view if exists intermediate.int_tracked_records cascade;
drop view if exists intermediate.int_settled_aggregates cascade;
drop view if exists intermediate.int_usage_lines cascade;
drop view if exists intermediate.int_usage_lines_costed cascade;
drop view if exists intermediate.int_openai_billed cascade;
drop view if exists intermediate.int_tenant_month_limits cascade;
