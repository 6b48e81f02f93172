"""What an OpenAI request will use and what its answer says that it used. Pure: JSON in, figures out.

Nothing of a prompt or an answer leaves this module but its length.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

OPERATIONS = {
    "/chat/completions": "chat_completion",
    "/completions": "chat_completion",
    "/responses": "chat_completion",
    "/responses/compact": "chat_completion",
    "/decisions": "chat_completion",
    "/embeddings": "embedding",
}
"""Path of a metered request -> operation."""

DEFAULT_MAX_OUTPUT = 4096
"""Output tokens that are reserved for a call that names no maximum of its own."""

RESERVED_BYTES_PER_TOKEN = 3
"""For reserving: on the high side for English (about 4.2), about right for code and for Chinese."""
ESTIMATED_BYTES_PER_TOKEN = 4
"""For the event of a stream that broke off."""
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1200
FILE_TOKENS = 2000

# Names of a request that hold text that the model reads.
_PROMPT = (
    *("system", "messages", "prompt", "input", "instructions", "questions"),
    *("tools", "functions", "response_format", "text"),
)
_BLOBS = ("image_url", "file_data", "data", "image", "input_audio", "file_id", "file_url", "file")


def path_of(url: str, base_url: str = "") -> str:
    """The path below ``base_url`` that is sent, as `OPERATIONS` names it: without its query, and with its dots followed (the
    client follows them).
    """
    split = urlsplit(url)
    base = unquote(urlsplit(base_url).path).rstrip("/")
    whole = unquote(split.path) if split.netloc else f"{base}/{unquote(split.path)}"
    return "/" + normpath("/" + whole.lstrip("/")).removeprefix(base).strip("/")


def response_of(method: str, path: str) -> str | None:
    """The id of the response that is fetched or cancelled; None where the path is of something else."""
    parts = path.split("/")[1:]
    is_about_response = parts[2:] == [] if method == "GET" else parts[2:] == ["cancel"]
    return parts[1] if parts[0] == "responses" and len(parts) > 1 and is_about_response else None


@dataclass
class Usage:
    """Tokens of one call; cached and cache-written ones are parts of input that share no token, reasoning ones are of output."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    details: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


def value(source: object, name: str) -> Any:
    """A field of a mapping or of a model, None where it is not there."""
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def usage_of(response: object) -> Usage | None:
    """The usage of an answer (mapping or model) of any of the metered paths; None where it does not say."""
    usage = value(response, "usage")
    if usage is None:
        return None
    chat = value(usage, "prompt_tokens") is not None
    whole_in = value(usage, "prompt_tokens" if chat else "input_tokens")
    whole_out = value(usage, "completion_tokens" if chat else "output_tokens")
    if whole_in is None and whole_out is None:
        return None
    inputs = value(usage, "prompt_tokens_details" if chat else "input_tokens_details")
    outputs = value(usage, "completion_tokens_details" if chat else "output_tokens_details")
    details = {
        "reasoning_tokens": count(value(outputs, "reasoning_tokens")),
    }
    tokens = count(whole_in)
    cached = min(count(value(inputs, "cached_tokens")), tokens)
    return Usage(
        input_tokens=tokens,
        cached_input_tokens=cached,
        cache_write_tokens=min(count(value(inputs, "cache_write_tokens")), tokens - cached),
        output_tokens=count(whole_out),
        details={name: count for name, count in details.items() if count},
    )


def count(number: object) -> int:
    return int(number) if isinstance(number, int | float) and number > 0 else 0


def prompt_tokens(request: Mapping[str, Any], bytes_per_token: int) -> int:
    """About how many tokens the model will read: bytes of UTF-8, a few for each message, a flat number for images and
    files. Tokens that the request itself holds (embeddings) are counted exactly.
    """
    total = 0
    for name in _PROMPT:
        part = request.get(name)
        if part:
            text, flat = _measure(part)
            total += -(-text // bytes_per_token) + flat
    return max(total, 1)


def _measure(part: object) -> tuple[int, int]:
    """(bytes of text, tokens besides) of a part of a request; it may be one of the SDK's own objects."""
    if hasattr(part, "model_dump") and not isinstance(part, type):
        part = part.model_dump(exclude_unset=True, warnings=False)
    if isinstance(part, str):
        return len(part.encode("utf-8", "replace")), 0
    if isinstance(part, bool) or part is None:
        return 0, 0
    if isinstance(part, int):
        return 0, 1
    if isinstance(part, Mapping):
        text = flat = 0
        if "role" in part or "type" in part:
            flat += MESSAGE_TOKENS
        for name, inner in part.items():
            if name in _BLOBS:
                flat += IMAGE_TOKENS if "image" in str(name) else FILE_TOKENS
                continue
            more_text, more_flat = _measure(inner)
            text, flat = text + len(str(name)) + more_text, flat + more_flat
        return text, flat
    if isinstance(part, Iterable) and not isinstance(part, bytes | bytearray):
        if not isinstance(part, list | tuple):
            return 0, 0  # an iterator: reading it would empty it
        text = flat = 0
        for inner in part:
            more_text, more_flat = _measure(inner)
            text, flat = text + more_text, flat + more_flat
        return text, flat
    return 0, 0


def tokens_to_reserve(path: str, request: Mapping[str, Any]) -> int:
    """Prompt estimate + the most that may be answered (`DEFAULT_MAX_OUTPUT` where the request names no maximum)."""
    prompt = prompt_tokens(request, RESERVED_BYTES_PER_TOKEN)
    if OPERATIONS[path] == "embedding":
        return prompt
    limits = [request.get(name) for name in ("max_completion_tokens", "max_output_tokens", "max_tokens")]
    most = next((number for number in limits if isinstance(number, int)), DEFAULT_MAX_OUTPUT)
    choices = request.get("n")
    return prompt + most * (choices if isinstance(choices, int) and choices > 1 else 1)


@dataclass
class StreamedResponse:
    """What is known of a streamed answer so far."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    status: str | None = None
    usage: Usage | None = None
    has_failed: bool = False
    pieces: int = 0
    bytes: int = 0

    def see(self, event: Mapping[str, Any]) -> bool:
        """Take in one event of the stream; return whether its usage is known for good now."""
        if event.get("error") or event.get("type") == "error":
            self.has_failed = True
            return False
        response = event.get("response") if isinstance(event.get("response"), Mapping) else event
        assert isinstance(response, Mapping)
        if response is not event or "choices" in event:
            self._see_response(response)
        kind = event.get("type")
        if kind is None:
            self._see_choices(event.get("choices") or ())
            return self.usage is not None and not event.get("choices")
        if kind == "response.failed":
            self.has_failed = True
        delta = event.get("delta")
        if isinstance(delta, str):
            self._see_text(delta)
        return self.usage is not None and kind in ("response.completed", "response.incomplete", "response.failed")

    def _see_response(self, response: Mapping[str, Any]) -> None:
        self.id = response.get("id") or self.id
        self.model = response.get("model") or self.model
        self.service_tier = response.get("service_tier") or self.service_tier
        self.status = response.get("status") or self.status
        self.usage = usage_of(response) or self.usage

    def _see_choices(self, choices: Iterable[Any]) -> None:
        for choice in choices:
            delta = value(choice, "delta")
            for name in ("content", "refusal", "reasoning_content"):
                self._see_text(value(delta, name))
            self._see_text(value(choice, "text"))
            for call in value(delta, "tool_calls") or ():
                self._see_text(value(value(call, "function"), "arguments"))

    def _see_text(self, text: object) -> None:
        if isinstance(text, str) and text:
            self.pieces += 1
            self.bytes += len(text.encode("utf-8", "replace"))

    def estimate(self, request: Mapping[str, Any]) -> Usage:
        """What an answer that broke off has probably used: the prompt, and what of the answer came through.

        A piece of a stream is a token or a few; reasoning that is not shown is not in it.
        """
        return Usage(
            input_tokens=prompt_tokens(request, ESTIMATED_BYTES_PER_TOKEN),
            output_tokens=max(self.pieces, -(-self.bytes // ESTIMATED_BYTES_PER_TOKEN)),
        )


class EventReader:
    """Cuts a stream of server-sent events into whole events, and takes out of it what only we have asked for.

    Args:
        response: is shown each event.
        hides_usage: whether the usage chunk at the end, and the ``"usage": null`` of the others, are only there
            because the wrapper asked for them.
    """

    def __init__(self, response: StreamedResponse, *, hides_usage: bool) -> None:
        self._response = response
        self._hides_usage = hides_usage
        self._rest = b""

    def read(self, data: bytes) -> tuple[list[bytes], bool]:
        """Return the whole events to pass on, and whether the usage is known for good since."""
        self._rest += data
        passed: list[bytes] = []
        is_known = False
        while (end := _end_of_event(self._rest)) is not None:
            raw, self._rest = self._rest[:end], self._rest[end:]
            kept, known = self._event(raw)
            is_known = is_known or known
            if kept:
                passed.append(kept)
        return passed, is_known

    def rest(self) -> bytes:
        """What came after the last whole event."""
        rest, self._rest = self._rest, b""
        return rest

    def _event(self, raw: bytes) -> tuple[bytes, bool]:
        lines = raw.splitlines()
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
        if not data or data.startswith(b"[DONE]"):
            return raw, False
        try:
            event = json.loads(data)
        except ValueError:
            return raw, False
        if not isinstance(event, dict):
            return raw, False
        is_known = self._response.see(event)
        if self._hides_usage and "usage" in event:
            if event["usage"] is not None and not event.get("choices"):
                return b"", is_known
            if event["usage"] is None:
                return _without_usage(raw, data, event), is_known
        return raw, is_known


def _end_of_event(data: bytes) -> int | None:
    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (at := data.find(mark)) >= 0]
    return min(ends) if ends else None


def _without_usage(raw: bytes, data: bytes, event: dict[str, Any]) -> bytes:
    """The event as it would have been sent without our asking: byte for byte where that is certain."""
    for form in (b',"usage":null', b', "usage": null'):
        # An unescaped quote cannot stand inside a JSON text: one match is the key itself.
        if data.count(b'"usage"') == 1 and raw.count(form) == 1:
            return raw.replace(form, b"")
    event = {name: inner for name, inner in event.items() if name != "usage"}
    return raw.replace(data, json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())
