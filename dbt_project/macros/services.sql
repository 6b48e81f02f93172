{#
  The services: the one place that says what each is. All that follows from it is derived below and in settlement.sql, focus.sql.

  provider   as the tenant directory names it
  keeps      what the provider keeps: `records` of each use, `sums` of a day, what is `held` on a day; nothing: only events say what was used
  channels   channel: its unit, and the raw table that has the records or sums of it. Where a service has several, `operations` are those
             that make it this channel; of a service that keeps sums the channel without them is the usual one. The next unit costs what
             `priced_as` does (an operation; any, where it is not said), by `components` of the price (the unit's)
  focus      [provider, service name, category, subcategory] in the words of FOCUS 1.2

  Python's list is costs/rules/services.py, the SDK's sdk/usage_metering/taxonomy.py; tests/contracts/test_services.py holds them against this one.
#}
{% macro services() %}
    {{ return({
        'openai': {
            'provider': 'openai', 'keeps': 'sums',
            'channels': {'ai': {'unit': 'tokens', 'components': ['input', 'output']}},
            'focus': ['OpenAI', 'OpenAI API', 'AI and Machine Learning', 'Generative AI']
        },
        'azure_openai': {
            'provider': 'azure_openai', 'keeps': '',
            'channels': {'ai': {'unit': 'tokens', 'components': ['input', 'output']}},
            'focus': ['Microsoft', 'Azure OpenAI', 'AI and Machine Learning', 'Generative AI']
        },
        'openai_compatible': {
            'provider': 'openai_compatible', 'keeps': '',
            'channels': {'ai': {'unit': 'tokens', 'components': ['input', 'output']}},
            'focus': ['OpenAI-compatible', 'OpenAI-compatible API', 'AI and Machine Learning', 'Generative AI']
        },
        'twilio_sms': {
            'provider': 'twilio', 'keeps': 'records',
            'channels': {
                'sms': {'unit': 'segments', 'raw_table': 'twilio_messages', 'priced_as': 'outbound'},
                'mms': {'unit': 'messages', 'raw_table': 'twilio_messages', 'priced_as': 'mms_outbound'}
            },
            'focus': ['Twilio', 'Twilio Messaging', 'Integration', 'Messaging']
        },
        'twilio_voice': {
            'provider': 'twilio', 'keeps': 'records',
            'channels': {
                'voice': {'unit': 'minutes', 'raw_table': 'twilio_calls', 'priced_as': 'outbound'},
                'recording': {'unit': 'minutes', 'raw_table': 'twilio_recordings', 'priced_as': 'recording'}
            },
            'focus': ['Twilio', 'Twilio Voice', 'Integration', 'Messaging']
        },
        'twilio_phone': {
            'provider': 'twilio', 'keeps': 'held',
            'channels': {'phone': {'unit': 'number_days', 'raw_table': 'twilio_phone_numbers'}},
            'focus': ['Twilio', 'Twilio Phone Numbers', 'Integration', 'Messaging']
        },
        'sendgrid': {
            'provider': 'sendgrid', 'keeps': 'sums',
            'channels': {'email': {'unit': 'emails', 'priced_as': 'send'}},
            'focus': ['SendGrid', 'SendGrid Email API', 'Integration', 'Messaging']
        },
        'stripe': {
            'provider': 'stripe', 'keeps': 'records',
            'channels': {
                'payments': {
                    'unit': 'transactions', 'raw_table': 'stripe_balance_transactions', 'priced_as': 'charge', 'components': ['fixed']
                }
            },
            'focus': ['Stripe', 'Stripe Payments', 'Business Applications', 'Other (Business Applications)']
        },
        'google_places': {
            'provider': 'google_places', 'keeps': '',
            'channels': {'places': {'unit': 'requests'}},
            'focus': ['Google', 'Google Places API', 'Integration', 'API Management']
        },
        'cloudflare_r2': {
            'provider': 'cloudflare', 'keeps': 'sums',
            'channels': {
                'storage': {'unit': 'gb_days', 'raw_table': 'r2_storage', 'operations': ['storage'], 'priced_as': 'storage'},
                'storage_ops': {'unit': 'operations', 'raw_table': 'r2_operations', 'priced_as': 'class_a'}
            },
            'focus': ['Cloudflare', 'Cloudflare R2', 'Storage', 'Object Storage']
        },
        'internal': {
            'provider': 'internal', 'keeps': '',
            'channels': {'internal': {'unit': 'units'}},
            'focus': ['Internal', 'Internal', 'Other', 'Other (Other)']
        }
    }) }}
{% endmacro %}

{# Names of services, quoted, with commas between: those whose provider keeps one of `kinds`. #}
{% macro services_that_keep(kinds) -%}
    {%- set found = [] -%}
    {%- for service, words in services().items() if words.keeps in kinds %}{% do found.append("'" ~ service ~ "'") %}{% endfor -%}
    {{ found | join(', ') }}
{%- endmacro %}

{# Services whose tokens are priced by kind: in, cached, out. #}
{% macro token_services() -%}
    {%- set found = [] -%}
    {%- for service, words in services().items() if 'input' in (words.channels.ai.components if words.channels.ai else []) %}{% do found.append("'" ~ service ~ "'") %}{% endfor -%}
    {{ found | join(', ') }}
{%- endmacro %}

{# Services whose provider keeps a record of each use, those of which it keeps sums, and all of which it keeps anything. #}
{% macro record_services() -%} {{ services_that_keep(['records']) }} {%- endmacro %}

{% macro aggregate_services() -%} {{ services_that_keep(['sums']) }} {%- endmacro %}

{% macro provider_services() -%} {{ services_that_keep(['records', 'sums', 'held']) }} {%- endmacro %}

{# Providers, as the directory names them, of the services of which sums are kept. #}
{% macro aggregate_providers() -%}
    {%- set found = [] -%}
    {%- for words in services().values() if words.keeps == 'sums' %}{% do found.append("'" ~ words.provider ~ "'") %}{% endfor -%}
    {{ found | unique | join(', ') }}
{%- endmacro %}

{# The directory's word for the provider of a service. #}
{% macro provider_of(service) -%}
    case {{ service }}
        {%- for name, words in services().items() if words.provider != name %}
        when '{{ name }}' then '{{ words.provider }}'
        {%- endfor %}
        else {{ service }}
    end
{%- endmacro %}

{# The service of which a provider, as the directory names it, keeps sums. #}
{% macro aggregate_service_of(provider) -%}
    case {{ provider }}
        {%- for name, words in services().items() if words.keeps == 'sums' and words.provider != name %}
        when '{{ words.provider }}' then '{{ name }}'
        {%- endfor %}
        else {{ provider }}
    end
{%- endmacro %}

{# Where a provider's record of a service and channel stands. #}
{% macro raw_table_of(service, channel) -%}
    case
        {%- for service_name, words in services().items() if words.keeps in ('records', 'held') %}
        {%- for name, facts in words.channels.items() %}
        when {{ service }} = '{{ service_name }}' and {{ channel }} = '{{ name }}' then 'raw.{{ facts.raw_table }}'
        {%- endfor %}
        {%- endfor %}
    end
{%- endmacro %}

{# What a channel is counted in. #}
{% macro unit_of(channel) -%}
    case {{ channel }}
        {%- for words in services().values() %}
        {%- for name, facts in words.channels.items() if facts.unit != 'units' %}
        when '{{ name }}' then '{{ facts.unit }}'
        {%- endfor %}
        {%- endfor %}
        else 'units'
    end
{%- endmacro %}

{# The service that a channel's usage is of, where only the channel is known: the first that has it. #}
{% macro channel_service(channel) -%}
    case {{ channel }}
        {%- for service, words in services().items() if service != 'internal' %}
        {%- for name in words.channels %}
        when '{{ name }}' then '{{ service }}'
        {%- endfor %}
        {%- endfor %}
        else 'internal'
    end
{%- endmacro %}

{# Rows of channel, service, operation ('' for any) and components: what the price of a channel's next unit is. #}
{% macro channel_price_rows() -%}
    {%- set rows = [] -%}
    {%- for service, words in services().items() -%}
        {%- for channel, facts in words.channels.items() -%}
            {%- set components = facts.components or ['unit'] -%}
            {%- do rows.append("('" ~ [channel, service, facts.priced_as or ''] | join("', '") ~ "', array['" ~ components | join("', '") ~ "'])") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ rows | join(',\n        ') }}
{%- endmacro %}

{# Channel of a sum of a provider's. #}
{% macro sum_channel(service, operation) -%}
    case
        {%- for name, words in services().items() if words.keeps == 'sums' %}
        {%- for channel, facts in words.channels.items() if facts.operations %}
        when {{ service }} = '{{ name }}' and {{ operation }} in ('{{ facts.operations | join("', '") }}') then '{{ channel }}'
        {%- endfor %}
        {%- for channel, facts in words.channels.items() if not facts.operations %}
        when {{ service }} = '{{ name }}' then '{{ channel }}'
        {%- endfor %}
        {%- endfor %}
    end
{%- endmacro %}

{#
  The table whose read answers for a sum of a provider's. OpenAI has one for each endpoint: but for the first two, named like their
  operations, in the plural.
#}
{% macro sum_table(service, operation, resource_id) -%}
    case
        when {{ service }} = 'openai' and {{ operation }} = 'chat_completion' then 'openai_usage_completions'
        when {{ service }} = 'openai' and {{ operation }} = 'embedding' then 'openai_usage_embeddings'
        when {{ service }} = 'openai' and {{ operation }} = 'audio_speech' then 'openai_usage_audio_speeches'
        when {{ service }} = 'openai' then 'openai_usage_' || {{ operation }} || 's'
        when {{ service }} = 'sendgrid' and starts_with({{ resource_id }}, 'category:') then 'sendgrid_category_stats'
        when {{ service }} = 'sendgrid' and {{ resource_id }} <> '' then 'sendgrid_subuser_stats'
        when {{ service }} = 'sendgrid' then 'sendgrid_stats'
        else
            case {{ sum_channel(service, operation) }}
                {%- for words in services().values() if words.keeps == 'sums' %}
                {%- for name, facts in words.channels.items() if facts.raw_table %}
                when '{{ name }}' then '{{ facts.raw_table }}'
                {%- endfor %}
                {%- endfor %}
            end
    end
{%- endmacro %}

{#
  One provider's branch of int_provider_records: a relation's rows in the columns that all records have. What is not said here is the
  relation's column of that name, or the usual.
#}
{% macro as_provider_records(relation) -%}
    {%- set usual = {
        'service': none,
        'record_key': 'record_key',
        'usage_date': 'usage_date',
        'tenant_id': 'tenant_id',
        'named_tenant_id': 'tenant_id',
        'attribution': 'attribution',
        'channel': 'channel',
        'operation': 'operation',
        'direction': "'none'",
        'source': none,
        'unit_count': 'unit_count',
        'amount_usd': 'null',
        'unconverted_currency': "''",
        'billed_cost_usd': 'billed_cost_usd'
    } -%}
    {%- set types = {'unit_count': '::numeric(38, 18)', 'amount_usd': '::numeric', 'billed_cost_usd': '::numeric'} -%}
    {%- for column in kwargs if column not in usual -%}
        {{ exceptions.raise_compiler_error('a record has no ' ~ column ~ ': ' ~ (usual | join(', '))) }}
    {%- endfor -%}
    select
        {%- for column, expression in usual.items() %}
        {{ kwargs.get(column, expression) }}{{ types.get(column, '') }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ relation }}
{%- endmacro %}
