-- Grain: table × account × UTC day that the provider has answered for. Renames only.
select
    table_name,
    account_id,
    usage_date
from {{ source('ops', 'source_reads') }}
