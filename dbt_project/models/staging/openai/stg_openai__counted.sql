-- Grain: day × account × endpoint × project × API key × model: the endpoints that count a thing of their own. Renames and stacks only.
-- Additive: requests; the quantity within an endpoint.
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'image' as operation,
    'raw.openai_usage_images' as raw_table,
    images as quantity,
    num_model_requests as request_count
from {{ source('raw', 'openai_usage_images') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'audio_speech',
    'raw.openai_usage_audio_speeches',
    characters,
    num_model_requests
from {{ source('raw', 'openai_usage_audio_speeches') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'audio_transcription',
    'raw.openai_usage_audio_transcriptions',
    seconds,
    num_model_requests
from {{ source('raw', 'openai_usage_audio_transcriptions') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'vector_store',
    'raw.openai_usage_vector_stores',
    usage_bytes,
    0
from {{ source('raw', 'openai_usage_vector_stores') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'code_interpreter_session',
    'raw.openai_usage_code_interpreter_sessions',
    num_sessions,
    num_sessions
from {{ source('raw', 'openai_usage_code_interpreter_sessions') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'file_search_call',
    'raw.openai_usage_file_search_calls',
    num_requests,
    num_requests
from {{ source('raw', 'openai_usage_file_search_calls') }}
union all
select
    usage_date,
    account_id,
    project_id,
    api_key_id,
    model,
    'web_search_call',
    'raw.openai_usage_web_search_calls',
    num_requests,
    num_model_requests
from {{ source('raw', 'openai_usage_web_search_calls') }}
