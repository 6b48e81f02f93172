"""Opaque cursors: the exact sort value and id of a page's last row, bound to the query that they belong to.

A cursor names a place between rows, not a row number: tenants that come, go or move do not shift the next
page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from api.kit.problems import InvalidInput

LONGEST = 4_000
# Far more digits than any figure has, and far fewer than PostgreSQL's numeric takes.
MOST_DIGITS = 1_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of the page before. Both keys None: the row's sort value was null."""

    tenant_id: str
    number: Decimal | None = None
    text: str | None = None


def unknown() -> InvalidInput:
    """Return the error for a cursor of another list."""
    return InvalidInput("cursor", "is not a cursor of this API: start again without it")


def fingerprint(*parameters: Any) -> str:
    """Return a short digest of everything but the place that determines a list's order and content."""
    return hashlib.sha256(repr(parameters).encode()).hexdigest()[:16]


def encode(cursor: Cursor, query: str) -> str:
    number = None if cursor.number is None else str(cursor.number)
    packed = json.dumps([query, cursor.tenant_id, number, cursor.text], separators=(",", ":"))
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def decode(text: str, query: str) -> Cursor:
    """Return the cursor that `encode` made for the same query.

    Raises:
        InvalidInput: not one of ours, or of another query.
    """
    if len(text) > LONGEST:
        raise unknown()
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        made_for, tenant_id, number, key = json.loads(packed)
        cursor = Cursor(tenant_id, None if number is None else Decimal(number), key)
        good = (
            isinstance(tenant_id, str)
            and (key is None or isinstance(key, str))
            and (number is None or (isinstance(number, str) and _fits(cursor.number)))
            and "\0" not in f"{tenant_id}{key}"
        )
        f"{tenant_id}{key}".encode()  # half of a surrogate pair is not text for the database
    except (ValueError, TypeError, InvalidOperation, RecursionError) as error:
        raise unknown() from error
    if not good:
        raise unknown()
    if made_for != query:
        raise InvalidInput("cursor", "belongs to a list with other parameters: start again without it")
    return cursor


def _fits(number: Decimal | None) -> bool:
    return number is not None and number.is_finite() and abs(number.adjusted()) < MOST_DIGITS
