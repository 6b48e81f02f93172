"""Phone numbers and addresses: one spelling, one hash, and nothing of them in what is stored as received."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import phonenumbers

from usage_metering.failures import ConfigError

CHANNEL_PREFIX = re.compile(r"(?:whatsapp|sms|tel):\s*", re.IGNORECASE)
MESSENGER_PREFIX = re.compile(r"messenger:\s*", re.IGNORECASE)
SEPARATORS = re.compile(r"[\s().\-]+")
# Already E.164, whatever the numbering plan says: spares most numbers the slow parser.
PLAIN_NANP = re.compile(r"\+1[2-9][0-9]{9}")
DIGITS = re.compile(r"[0-9]+")

DROPPED_KEYS = frozenset({"body", "subject", "text", "caller_name"})
NUMBER_KEYS = frozenset({"from", "to", "caller", "called", "phone_number", "from_number", "to_number"})
PHONE = re.compile(r"(?:[a-z]+:)?\s*\+?[0-9(][0-9\s().\-]{5,}[0-9]", re.IGNORECASE)
FEWEST_DIGITS = 7
NOT_A_PHONE = re.compile(r"[0-9]+\.[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")
DOMAIN = r"[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*"
EMAIL = rf"[^\s@<>\"',;:=?&/()]+(?:@|%40){DOMAIN}"
# An address lies within one run of these. A search for EMAIL itself would read the run again from each of its letters.
RUN = re.compile(r"[^\s<>\"',;:=?&/()]+")
ADDRESS = re.compile(rf"[^@]+(?:@|%40){DOMAIN}")
NUMBER_INSIDE = re.compile(r"(?:(?:whatsapp|sms|tel):)?(?:\+|%2B)[0-9]{7,15}", re.IGNORECASE)

LARGEST_RECORD = 64 * 1024
"""Bytes, about, that are kept of a record; a text or number that does not fit is left out whole, never cut in two."""
DEEPEST = 100
LONGEST_NUMBER = 1000
HASH_BLOCK = 64
"""Bytes of SHA-256's block."""
LONGEST_CACHED = 200
MOST_CACHED = 50_000


def normalise(number: str) -> str:
    """Return ``number`` in E.164; only stripped where it is not a phone number (short code, sender name, client:, sip:).

    Ten digits, or eleven from 1, are North American: Twilio's own way of reading a number without a plus.
    """
    text = number.strip()
    if PLAIN_NANP.fullmatch(text):
        return text
    if prefix := MESSENGER_PREFIX.match(text):
        return text[prefix.end() :].strip()
    if prefix := CHANNEL_PREFIX.match(text):
        text = text[prefix.end() :].strip()
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


def sub_inside(text: str, replace: Callable[[str], str]) -> str:
    """Replace e-mail addresses and phone numbers inside a text, in time linear in its length."""

    def addresses(word: re.Match[str]) -> str:
        run = word.group()
        if "@" not in run and "%40" not in run:
            return run
        pieces, at = [], 0
        while at < len(run):
            if match := ADDRESS.match(run, at):
                pieces.append(replace(match.group()))
                at = match.end()
            else:
                # No address begins before the next @.
                behind = run.find("@", at) + 1 or len(run)
                pieces.append(run[at:behind])
                at = behind
        return "".join(pieces)

    if "@" in text or "%40" in text:
        text = RUN.sub(addresses, text)
    if "+" in text or "%2" in text:
        text = NUMBER_INSIDE.sub(lambda match: replace(match.group()), text)
    return text


def is_dropped(key: str, value: object) -> bool:
    """Return whether a record's field is a message's content."""
    return key.lower() in DROPPED_KEYS


def bounded(
    value: object, most: int = LARGEST_RECORD, drop: Callable[[str, object], bool] = is_dropped
) -> tuple[object, bool]:
    """Return a copy of ``value`` of dicts, lists and scalars, and whether it is whole but for what ``drop`` names.

    It has at most about ``most`` bytes as JSON and `DEEPEST` levels; the place of what is left out says so. No more of
    ``value`` is read than that.
    """
    room = _Room(most)
    return room.copy(value, DEEPEST, drop), room.is_whole


class _Room:
    def __init__(self, left: int) -> None:
        self.left = left
        self.is_whole = True

    def _left_out(self, what: str) -> str:
        self.is_whole = False
        return f"({what} left out)"

    def copy(self, value: object, levels: int, drop: Callable[[str, object], bool]) -> object:
        if isinstance(value, (str, bytes)):
            return self._text(value)
        if value is None or isinstance(value, (bool, float, Decimal, int, date, datetime)):
            return self._number(value)
        if isinstance(value, (dict, list, tuple, set, frozenset, Mapping)):
            if levels == 0:
                return self._left_out("what is nested deeper")
            if isinstance(value, (dict, Mapping)):
                return self._fields(value, levels, drop)
            items: list[object] = []
            for item in value:
                if self.left <= 0:
                    items.append(self._left_out("the rest"))
                    break
                self.left -= 1
                items.append(self.copy(item, levels - 1, drop))
            return items
        try:
            return self._text(str(value))
        except Exception:
            return self._left_out(f"a {type(value).__name__}")

    def _fields(self, value: Mapping[Any, object], levels: int, drop: Callable[[str, object], bool]) -> object:
        fields: dict[str, object] = {}
        for key, item in value.items():
            if self.left <= 0:
                fields[self._left_out("the rest")] = None
                break
            name = str(
                self._text(key)
                if isinstance(key, str)
                else self.copy(key if isinstance(key, int) else str(key), 0, drop)
            )
            if drop(name, item):
                continue
            self.left -= 2
            fields[name] = self.copy(item, levels - 1, drop)
        return fields

    def _text(self, value: str | bytes) -> object:
        size = len(value)
        if isinstance(value, str) and size <= self.left and not value.isascii():
            size = len(value.encode("utf-8", "replace"))
        if size > self.left:
            return self._left_out(f"{len(value)} characters")
        self.left -= size
        return value

    def _number(self, value: object) -> object:
        size = 1
        if isinstance(value, int):
            size += value.bit_length() * 3 // 10  # a digit has 3.3 bits
        elif isinstance(value, Decimal):
            size += len(value.as_tuple().digits)
        if size > LONGEST_NUMBER or size > self.left:
            return self._left_out("a number")
        self.left -= size
        return value


def _begun(key: bytes) -> list[Any]:
    """Return the inner and the outer hash of HMAC-SHA256 (RFC 2104), begun with ``key``: to copy both takes a quarter of the time in which
    OpenSSL begins a new HMAC, and a day may have a million numbers.
    """
    block = (key if len(key) <= HASH_BLOCK else hashlib.sha256(key).digest()).ljust(HASH_BLOCK, b"\0")
    return [hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C)]


class Hasher:
    """Keyed hashes; their first four characters tell which key made them.

    Raises:
        ConfigError: the key is empty.
    """

    def __init__(self, key: str) -> None:
        if not key:
            raise ConfigError("METERING_PII_KEY not set: phone numbers are hashed with it")
        self._inner, self._outer = _begun(key.encode())
        self._prefix = hashlib.sha256(key.encode()).hexdigest()[:4]
        self._hashes: dict[str, str] = {}

    def hash(self, value: str) -> str:
        """Return the hash of ``value``, the same for every spelling of a phone number."""
        hashed = self._hashes.get(value)
        if hashed is None:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(normalise(value).encode("utf-8", "replace"))
            outer.update(inner.digest())
            hashed = f"{self._prefix}:{outer.hexdigest()}"
            if len(value) <= LONGEST_CACHED:
                if len(self._hashes) >= MOST_CACHED:
                    self._hashes.clear()
                self._hashes[value] = hashed
        return hashed

    def hash_or_none(self, value: str | None) -> str | None:
        """Return the hash of ``value``, or None where there is nothing to hash."""
        return self.hash(value) if value else None

    def scrub(self, value: object) -> object:
        """Return a copy of a provider's record that may be stored as JSON.

        Message contents are dropped, phone numbers and e-mail addresses (also inside a longer text) hashed. What is
        beyond `LARGEST_RECORD` or `DEEPEST` is left out: see `bounded`.
        """
        return self.scrub_bounded(bounded(value)[0])

    def scrub_bounded(self, value: object) -> object:
        """As `scrub`, of a value that `bounded` has returned."""
        return self._scrub(value)

    def _scrub(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, (dict, Mapping)):
            return {
                self._text(str(key)): self._field(str(key), item)
                for key, item in value.items()
                if str(key).lower() not in DROPPED_KEYS
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._scrub(item) for item in value]
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, (date, datetime)):
            return value.isoformat()
        return self._text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))

    def _field(self, key: str, value: object) -> object:
        """As `_scrub`; a field that holds phone numbers may hold one as a JSON number."""
        if isinstance(value, int) and key.lower() in NUMBER_KEYS:
            return self.hash(str(value))
        return self._scrub(value)

    def _text(self, text: str) -> str:
        # PostgreSQL's jsonb takes neither NUL nor half a surrogate pair.
        if not text.isascii() or "\x00" in text:
            text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        bare = text.strip()
        if len(bare) >= FEWEST_DIGITS and PHONE.fullmatch(bare) and not NOT_A_PHONE.fullmatch(bare):
            digits = sum(character.isdigit() for character in bare)
            if FEWEST_DIGITS <= digits <= 17:
                return self.hash(bare)
        return sub_inside(text, self._inside)

    def _inside(self, text: str) -> str:
        decoded = re.sub("%2b", "+", re.sub("%40", "@", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
        return self.hash(decoded.lower() if "@" in decoded else decoded)
