"""Phone numbers and addresses: one spelling, one hash, and nothing of them in what is stored as received."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import phonenumbers

from ingestion.failures import ConfigError

CHANNEL_PREFIX = re.compile(r"(?:whatsapp|sms|tel):\s*", re.IGNORECASE)
MESSENGER_PREFIX = re.compile(r"messenger:\s*", re.IGNORECASE)
SEPARATORS = re.compile(r"[\s().\-]+")
# Already E.164, whatever the numbering plan says: spares most numbers the slow parser.
PLAIN_NANP = re.compile(r"\+1[2-9][0-9]{9}")
DIGITS = re.compile(r"[0-9]+")

DROPPED_KEYS = frozenset({"body", "subject", "text", "caller_name"})
NUMBER_KEYS = frozenset({"from", "to", "caller", "called", "phone_number", "from_number", "to_number"})
PHONE = re.compile(r"(?:[a-z]+:)?\s*\+?[0-9(][0-9\s().\-]{5,}[0-9]", re.IGNORECASE)
NOT_A_PHONE = re.compile(r"[0-9]+\.[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")
EMAIL = r"[^\s@<>\"',;:=?&/()]+(?:@|%40)[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*"
INSIDE = re.compile(rf"{EMAIL}|(?:(?:whatsapp|sms|tel):)?(?:\+|%2B)[0-9]{{7,15}}", re.IGNORECASE)


def normalise(number: str) -> str:
    """Return ``number`` in E.164; only stripped where it is none (short code, sender name, client:, sip:).

    Ten digits, or eleven from 1, are North American: Twilio's own way of reading a number without a plus.
    """
    text = number.strip()
    if PLAIN_NANP.fullmatch(text):
        return text
    if found := MESSENGER_PREFIX.match(text):
        return text[found.end() :].strip()
    if found := CHANNEL_PREFIX.match(text):
        text = text[found.end() :].strip()
    if text.startswith("+"):
        return _e164(text)
    compact = SEPARATORS.sub("", text)
    if DIGITS.fullmatch(compact):
        if len(compact) == 10:
            return _e164(f"+1{compact}")
        if len(compact) == 11 and compact.startswith("1"):
            return _e164(f"+{compact}")
        if compact.startswith("00"):
            return _e164(f"+{compact[2:]}", otherwise=text)
    return text


def _e164(text: str, otherwise: str | None = None) -> str:
    if PLAIN_NANP.fullmatch(text):
        return text
    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text if otherwise is None else otherwise
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


class Hasher:
    """Keyed hashes; their first four characters tell which key made them.

    Raises:
        ConfigError: the key is empty.
    """

    def __init__(self, key: str) -> None:
        if not key:
            raise ConfigError("METERING_PII_KEY not set: phone numbers are hashed with it")
        self._key = key.encode()
        self._prefix = hashlib.sha256(self._key).hexdigest()[:4]
        self._hashes: dict[str, str] = {}

    def hash(self, value: str) -> str:
        """Return the hash of ``value``, the same for every spelling of a phone number."""
        found = self._hashes.get(value)
        if found is None:
            digest = hmac.new(self._key, normalise(value).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
            found = self._hashes[value] = f"{self._prefix}:{digest}"
        return found

    def hash_or_none(self, value: str | None) -> str | None:
        """Return the hash of ``value``, or None where there is nothing to hash."""
        return self.hash(value) if value else None

    def scrub(self, value: object) -> object:
        """Return a copy of a provider's record that may be stored as JSON.

        Message contents are dropped, phone numbers and e-mail addresses (also inside a longer text) hashed.
        """
        if isinstance(value, Mapping):
            return {
                self._text(str(key)): self._field(str(key), item)
                for key, item in value.items()
                if str(key).lower() not in DROPPED_KEYS
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.scrub(item) for item in value]
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, (date, datetime)):
            return value.isoformat()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return self._text(str(value))

    def _field(self, key: str, value: object) -> object:
        """As `scrub`; a field that holds phone numbers may hold one as a JSON number."""
        if key.lower() in NUMBER_KEYS and isinstance(value, int):
            return self.hash(str(value))
        return self.scrub(value)

    def _text(self, text: str) -> str:
        # PostgreSQL's jsonb takes neither NUL nor half a surrogate pair.
        text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        bare = text.strip()
        digits = sum(character.isdigit() for character in bare)
        if 7 <= digits <= 17 and PHONE.fullmatch(bare) and not NOT_A_PHONE.fullmatch(bare):
            return self.hash(bare)
        return INSIDE.sub(lambda found: self._inside(found.group()), text)

    def _inside(self, found: str) -> str:
        decoded = re.sub("%2b", "+", re.sub("%40", "@", found, flags=re.IGNORECASE), flags=re.IGNORECASE)
        return self.hash(decoded.lower() if "@" in decoded else decoded)
