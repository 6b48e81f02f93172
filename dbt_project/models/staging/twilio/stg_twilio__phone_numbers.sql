-- Grain: account × number: how long the account held it, as far as Twilio has been asked. Renames only.
select
    sid as number_sid,
    account_id as account_sid,
    phone_number_hash as number_hash,
    number_type,
    held_from,
    released_on,
    last_seen_on
from {{ source('raw', 'twilio_phone_numbers') }}
