"""CloudEvents 1.0 over HTTP: one (structured), many (batch), or one whose attributes are headers (binary). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from api.kit.problems import UnreadableBody
from collector.bodies import parse_json
from collector.problems import UnsupportedMediaType

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
MOST_EVENTS = 5_000
_PREFIX = "ce-"


def read_events(headers: Mapping[str, str], body: bytes) -> list[Any]:
    """Return the envelopes of a request, whatever they are; each is checked later, by itself.

    Args:
        headers: with names in lower case.

    Raises:
        UnsupportedMediaType: not one of the three modes.
        UnreadableBody: no JSON, or more than `MOST_EVENTS`.
    """
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise UnsupportedMediaType("JSON is UTF-8.")
    if f"{_PREFIX}specversion" in headers:
        return [_binary(headers, media_type, body)]
    if media_type not in (STRUCTURED, BATCH, PLAIN):
        raise UnsupportedMediaType(
            f"Send {STRUCTURED}, {BATCH}, or the attributes as ce-… headers beside data in {PLAIN}."
        )
    value = parse_json(body)
    if not isinstance(value, list):
        if media_type == BATCH:
            raise UnreadableBody("A batch is a JSON array.")
        return [value]
    if media_type == STRUCTURED:
        raise UnreadableBody(f"One event is a JSON object; many are sent as {BATCH}.")
    if len(value) > MOST_EVENTS:
        raise UnreadableBody(f"A batch has at most {MOST_EVENTS} events.")
    return value


def _binary(headers: Mapping[str, str], media_type: str, body: bytes) -> dict[str, Any]:
    attributes = {
        name.removeprefix(_PREFIX): unquote(value) for name, value in headers.items() if name.startswith(_PREFIX)
    }
    if not body:
        return attributes
    if media_type and media_type != PLAIN:
        return {**attributes, "datacontenttype": media_type}
    return {**attributes, "data": parse_json(body)}
