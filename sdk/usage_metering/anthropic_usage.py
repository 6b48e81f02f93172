"""What a request of Anthropic's Messages API will use and what its answer says that it used. Pure: JSON in, figures out.

Anthropic's ``input_tokens`` are only those that were neither read from the cache nor written to it ("total input tokens = cache_read_input_tokens
+ cache_creation_input_tokens + input_tokens", https://platform.claude.com/docs/en/build-with-claude/prompt-caching), where OpenAI's include
them. Here, as in every event, input is all of it.

Nothing of a prompt or an answer leaves this module but its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from usage_metering.openai_usage import (
    DEFAULT_MAX_OUTPUT,
    ESTIMATED_BYTES_PER_TOKEN,
    RESERVED_BYTES_PER_TOKEN,
    StreamedResponse,
    Usage,
    count,
    prompt_tokens,
    value,
)

MESSAGES = "/v1/messages"
BATCHES = "/v1/messages/batches"
_BATCH_RESULTS = re.compile(re.escape(BATCHES) + "/([^/]+)/results")
WEB_SEARCH = "web_search_call"

UNMETERED = (
    "/v1/complete",
    *("/v1/sessions", "/v1/sessions/{}/events"),
    *("/v1/deployments", "/v1/deployments/{}/run", "/v1/deployments/{}/unpause"),
    "/v1/dreams",
)
"""Paths of requests that are paid for, or begin what is, and are not metered; {} is any one part."""
_UNMETERED = re.compile("|".join(re.escape(path).replace(r"\{\}", "[^/]+") for path in UNMETERED))


@dataclass
class MessageUsage(Usage):
    """Tokens of one answer, and what was used beside them."""

    web_searches: int = 0
    advisors: dict[str, Usage] = field(default_factory=dict)
    """Model -> tokens of another model that was asked for advice, which are not among those of the answer."""
    declined: dict[str, Usage] = field(default_factory=dict)
    """Model -> tokens of a model that had begun to answer and declined, which are not among those of the answer."""
    served_by: str | None = None
    """The model that answered in its place, whose the tokens of the answer are."""


def is_unmetered(path: str) -> bool:
    """Whether a POST to ``path`` costs money that is not metered."""
    return _UNMETERED.fullmatch(path) is not None


def batch_of(path: str) -> str | None:
    """The id of the batch whose results ``path`` is."""
    found = _BATCH_RESULTS.fullmatch(path)
    return found[1] if found else None


def usage_of(message: object) -> MessageUsage | None:
    """The usage of a message (mapping or model); None where it does not say.

    What a compaction used is not in the totals (``iterations`` of the beta API lists it); it is the same model's. Nor is what a model used before
    it declined and another took over (``fallbacks``), which is billed once there is output of it
    (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback).
    """
    usage = value(message, "usage")
    if usage is None or (value(usage, "input_tokens") is None and value(usage, "output_tokens") is None):
        return None
    found = MessageUsage()
    iterations = value(usage, "iterations") or ()
    served = (value(entry, "model") for entry in iterations if value(entry, "type") == "fallback_message")
    found.served_by = next((model for model in served if isinstance(model, str) and model), None)
    # Where all models declined, the totals are the last one's: not billed where it did so at once, whatever those before it had begun.
    if found.served_by is None or not _is_declined_at_once(message):
        _add(found, usage)
    for entry in iterations:
        kind = value(entry, "type")
        if kind == "compaction":
            _add(found, entry)
        elif kind == "advisor_message":
            _add(found.advisors.setdefault(str(value(entry, "model") or ""), Usage()), entry)
        elif kind == "message" and found.served_by is not None and count(value(entry, "output_tokens")):
            # One without a model, or with the one that answered, is a turn of its tool loop: in the totals.
            model = value(entry, "model")
            if isinstance(model, str) and model not in ("", found.served_by):
                _add(found.declined.setdefault(model, Usage()), entry)
    found.web_searches = count(value(value(usage, "server_tool_use"), "web_search_requests"))
    thinking = count(value(value(usage, "output_tokens_details"), "thinking_tokens"))
    found.details = {"reasoning_tokens": thinking} if thinking else {}
    return found


def _add(found: Usage, said: object) -> None:
    cached = count(value(said, "cache_read_input_tokens"))
    lives = value(said, "cache_creation")
    hour = count(value(lives, "ephemeral_1h_input_tokens"))
    # The sum of both lifetimes; an older answer does not tell them apart.
    written = max(
        count(value(said, "cache_creation_input_tokens")), hour + count(value(lives, "ephemeral_5m_input_tokens"))
    )
    found.input_tokens += count(value(said, "input_tokens")) + cached + written
    found.cached_input_tokens += cached
    found.cache_write_tokens += written - hour
    found.cache_write_1h_tokens += hour
    found.output_tokens += count(value(said, "output_tokens"))


def is_unbilled(message: object) -> bool:
    """Whether the vendor takes nothing for it: declined before there was any output
    (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback)."""
    attempts = value(value(message, "usage"), "iterations") or ()
    return _is_declined_at_once(message) and not any(count(value(attempt, "output_tokens")) for attempt in attempts)


def _is_declined_at_once(message: object) -> bool:
    return value(message, "stop_reason") == "refusal" and not count(value(value(message, "usage"), "output_tokens"))


def tier_of(message: object) -> str | None:
    """How the answer was made, where that has prices of its own: batch, priority, fast_mode."""
    usage = value(message, "usage")
    if value(usage, "speed") == "fast":
        return "fast_mode"
    tier = value(usage, "service_tier")
    return tier if isinstance(tier, str) and tier not in ("", "standard") else None


def tokens_to_reserve(path: str, request: Mapping[str, Any]) -> int:
    """Prompt estimate + ``max_tokens``, of a message or of all that a batch holds."""
    if path == BATCHES:
        return sum(tokens_to_reserve(MESSAGES, value(entry, "params") or {}) for entry in request.get("requests") or ())
    most = request.get("max_tokens")
    return prompt_tokens(request, RESERVED_BYTES_PER_TOKEN) + (most if isinstance(most, int) else DEFAULT_MAX_OUTPUT)


class StreamedMessage(StreamedResponse):
    """What is known of a streamed message so far.

    ``message_start`` tells the input, ``message_delta`` (one or more) the totals so far
    (https://platform.claude.com/docs/en/build-with-claude/streaming).
    """

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}
        self._stop_reason: object = None
        self._is_final = False
        self._searches = 0

    @property
    def message(self) -> dict[str, Any]:
        """What `usage_of`, `is_unbilled` and `tier_of` read."""
        return {"usage": self._usage, "stop_reason": self._stop_reason}

    def see(self, event: Mapping[str, Any]) -> bool:
        kind = event.get("type")
        if kind == "error":
            self.has_failed = True
        elif kind == "message_start":
            begun = event.get("message")
            self.id, self.model = value(begun, "id") or self.id, value(begun, "model") or self.model
            self._see_usage(value(begun, "usage"))
        elif kind == "message_delta":
            self._is_final = True
            self._stop_reason = value(event.get("delta"), "stop_reason") or self._stop_reason
            self._see_usage(event.get("usage"))
        elif kind == "content_block_start":
            block = event.get("content_block")
            if value(block, "type") == "fallback":
                self.model = value(value(block, "to"), "model") or self.model
            self.pieces += 1
            self._searches += value(block, "type") == "server_tool_use" and value(block, "name") == "web_search"
        elif kind == "content_block_delta":
            delta = event.get("delta")
            for name in ("text", "partial_json", "thinking"):
                self._see_text(value(delta, name))
        return kind == "message_stop" and self._is_final

    def _see_usage(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            self._usage |= {name: said for name, said in usage.items() if said is not None}
        self.usage = usage_of(self.message) if self._is_final else None

    def estimate(self, request: Mapping[str, Any]) -> MessageUsage:
        """What an answer that broke off has probably used: its input where it was told, and what of the answer came through."""
        found = usage_of(self.message) or MessageUsage(input_tokens=prompt_tokens(request, ESTIMATED_BYTES_PER_TOKEN))
        said = max(self.pieces, -(-self.bytes // ESTIMATED_BYTES_PER_TOKEN))
        found.output_tokens = max(found.output_tokens, said)
        found.web_searches = max(found.web_searches, self._searches)
        return found


def results_of(line: object) -> Iterator[object]:
    """The message of a line of a batch's results; nothing where it failed, expired or was cancelled: that costs nothing."""
    result = value(line, "result")
    if value(result, "type") == "succeeded":
        yield value(result, "message")
