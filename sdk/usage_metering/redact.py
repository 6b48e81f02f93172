"""What of the caller's words may be kept: no contents, phone numbers and e-mail addresses only as keyed hashes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from usage_metering.events import LARGEST_METADATA, LONGEST_TEXT, InvalidEvent
from usage_metering.pii import DEEPEST, DROPPED_KEYS, EMAIL, NUMBER_KEYS, Hasher, bounded

log = logging.getLogger("metering.tracking")

HASHES_KEPT = 10_000
CONTENT_KEYS = frozenset(
    {"prompt", "prompts", "messages", "message", "content", "completion", "input", "output", "instructions", "html"}
)
"""Dropped from metadata on top of what `usage_metering.pii` drops; a number under such a name (``output: 3``) stays."""

KEYS = ("event_key", "external_id", "idempotency_key")
IDS = ("lead_id", "message_id", "flow_execution_id", "resource_id", "feature", "activity")
NUMBER_HASH = re.compile(r"[0-9a-f]{4}:[0-9a-f]{64}")
# In identifiers only what is certainly a number or an address: an order number of ten digits stays what it is.
PERSONAL_ID = re.compile(rf"(?:[a-z]+:)?\s*\+[0-9][0-9\s().\-]{{6,}}|{EMAIL}", re.IGNORECASE)
PLAIN_FIELDS, PLAIN_LETTERS, PLAIN_NUMBERS = 32, 100, 10**6
_NAMES = CONTENT_KEYS | DROPPED_KEYS | NUMBER_KEYS
_LOOKED_AT = frozenset((*IDS, *KEYS))
_NO_KEY = "\x00"


class _BoundedHasher(Hasher):
    """As `Hasher`, for a process that lives for months."""

    def hash(self, value: str) -> str:
        if len(self._hashes) >= HASHES_KEPT:
            self._hashes.clear()
        return super().hash(value)


class _Marker(Hasher):
    """Finds what would be hashed where there is no key to hash it with."""

    def __init__(self) -> None:
        super().__init__("no key")

    def hash(self, value: str) -> str:
        return _NO_KEY


class Redactor:
    """Makes values fit to be stored. Without METERING_PII_KEY what is personal becomes null, with one warning."""

    def __init__(self, key: str | None = None) -> None:
        key = os.environ.get("METERING_PII_KEY", "") if key is None else key
        self._hasher: Hasher = _BoundedHasher(key) if key else _Marker()
        self._keyed = bool(key)
        self._warned = False

    def number(self, value: object) -> str | None:
        """Return the hash of a phone number (or of what stands in its place); None without a number or a key."""
        text = str(value or "").strip()
        return self._known(self._hasher.hash(text)) if text else None

    def identifier(self, value: str | None) -> str | None:
        """Return an id as it is; hashed if it is a phone number or an address."""
        if value is None or not ("+" in value or "@" in value or "%40" in value):
            return value
        text = value.strip()
        if not PERSONAL_ID.fullmatch(text):
            return value
        return self._known(self._hasher.hash(text.lower() if "@" in text else text))

    def metadata(self, value: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a copy of ``value`` that JSON can hold: contents dropped, numbers and addresses hashed at any depth.

        At most about `LARGEST_METADATA` bytes of it; the place of what is left out says so.
        """
        if not value:
            return {}
        return self._stored(bounded(value, LARGEST_METADATA, _is_content)[0])

    def _whole_metadata(self, value: Mapping[str, Any]) -> dict[str, Any]:
        if _is_plain(value):
            return dict(value)
        copy, is_whole = bounded(value, LARGEST_METADATA, _is_content)
        if not is_whole:
            raise InvalidEvent(
                f"metadata is larger than {LARGEST_METADATA} bytes, or nested deeper than {DEEPEST} levels"
            )
        return self._stored(copy)

    def _stored(self, copy: object) -> dict[str, Any]:
        metadata = self._cleared(self._hasher.scrub_bounded(copy))
        return metadata if isinstance(metadata, dict) else {}

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an event with ids and metadata fit to be stored.

        Raises:
            InvalidEvent: what tells this event from others is personal, and there is no key to hash it with; or a
                value is too large to be looked at.
        """
        clean = dict(fields)
        for name, value in fields.items():
            if name in _LOOKED_AT and isinstance(value, str):
                if len(value) > LONGEST_TEXT:
                    raise InvalidEvent(f"{name} is longer than {LONGEST_TEXT} characters")
                clean[name] = self.identifier(value)
                if clean[name] is None and name in KEYS:
                    raise InvalidEvent(f"{name} is a phone number or an address: set METERING_PII_KEY to hash it")
        metadata = clean.get("metadata")
        if isinstance(metadata, (dict, Mapping)) and metadata:
            clean["metadata"] = self._whole_metadata(metadata)
        return clean

    def _cleared(self, value: object) -> object:
        """Null what only marks a value that could not be hashed."""
        if self._keyed:
            return value
        if isinstance(value, dict):
            return {key: self._cleared(item) for key, item in value.items() if self._known(key) is not None}
        if isinstance(value, list):
            return [self._cleared(item) for item in value]
        return self._known(value) if isinstance(value, str) else value

    def _known(self, value: str) -> str | None:
        if _NO_KEY not in value:
            return value
        if not self._warned:
            self._warned = True
            log.warning("METERING_PII_KEY is not set: phone numbers and addresses are dropped instead of hashed")
        return None


def _is_plain(value: Mapping[str, Any]) -> bool:
    """Return whether these are few words and small numbers, which are kept as they are: asked for nearly each event."""
    if len(value) > PLAIN_FIELDS:
        return False
    for key, item in value.items():
        if type(key) is not str or not _is_word(key) or key.lower() in _NAMES:
            return False
        kind = type(item)
        if kind is str:
            if not _is_word(item):
                return False
        elif kind is int:
            if not -PLAIN_NUMBERS < item < PLAIN_NUMBERS:
                return False
        elif item is not None and kind is not bool:
            return False
    return True


def _is_word(text: str) -> bool:
    """Return whether a text is of letters, digits and _ and begins with no digit: no number and no address."""
    return len(text) <= PLAIN_LETTERS and text.isascii() and text.isidentifier()


def _is_content(key: str, value: object) -> bool:
    lower = key.lower()
    return lower in DROPPED_KEYS or (lower in CONTENT_KEYS and not isinstance(value, (bool, int, float, Decimal)))
