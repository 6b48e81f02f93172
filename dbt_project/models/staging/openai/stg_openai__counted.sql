-- Grain: day × account × endpoint × project × API key × model: the endpoints that count a thing of their own. Renames and stacks only.
-- Additive: requests; the quantity within an endpoint.
{% for operation, table, quantity, requests in [
    ('image', 'openai_usage_images', 'images', 'num_model_requests'),
    ('audio_speech', 'openai_usage_audio_speeches', 'characters', 'num_model_requests'),
    ('audio_transcription', 'openai_usage_audio_transcriptions', 'seconds', 'num_model_requests'),
    ('vector_store', 'openai_usage_vector_stores', 'usage_bytes', '0'),
    ('code_interpreter_session', 'openai_usage_code_interpreter_sessions', 'num_sessions', 'num_sessions'),
    ('file_search_call', 'openai_usage_file_search_calls', 'num_requests', 'num_requests'),
    ('web_search_call', 'openai_usage_web_search_calls', 'num_requests', 'num_model_requests')
] -%}
    select
        usage_date,
        account_id,
        project_id,
        api_key_id,
        model,
        '{{ operation }}' as operation,
        'raw.{{ table }}' as raw_table,
        {{ quantity }} as quantity,
        {{ requests }} as request_count
    from {{ source('raw', table) }}
    {% if not loop.last -%} union all
    {% endif %}
{%- endfor %}
