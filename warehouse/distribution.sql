-- Only where METERING_DISTRIBUTION is citus: events as the tracker brings them, as one JSON array. The key by which they are spread is a plain
-- column there, for Citus spreads by no computed one; and who inserts must be who reads them in the same transaction
-- (`ops.add_live_records`), since the workers know each role by a connection of its own.
create or replace function raw.add_events(p_load_id text, p_events jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into raw.usage_events (
        record_key, event_key, occurred_at, tenant_id, service, operation, channel, direction, source, feature, activity, model, units,
        input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, external_id, resource_id, lead_id,
        message_id, flow_execution_id, metadata, load_id
    )
    select
        coalesce(nullif(external_id, ''), event_key), event_key, occurred_at, tenant_id, service, operation, channel, direction, source,
        feature, activity, model, units, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens,
        external_id, resource_id, lead_id, message_id, flow_execution_id, coalesce(metadata, '{}'), p_load_id
    from jsonb_populate_recordset(null::raw.usage_events, p_events);
exception when internal_error then
    -- A worker's refusal of a row, in its words alone: by the code the tracker tells it from a server that is ill.
    if sqlerrm like '%violates%constraint%' then
        raise check_violation using message = sqlerrm;
    end if;
    raise;
end;
$$;
revoke all on function raw.add_events(text, jsonb) from public;
grant execute on function raw.add_events(text, jsonb) to metering_tracker;
