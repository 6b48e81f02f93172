"""What the sandbox's model says, and how many tokens that is: the same request always gives the same answer and the
same usage (ids and times apart). Pure.

A token is four characters of the prompt, or one piece of the answer. Prompts of 1,024 tokens and more have half of
their tokens cached, in steps of 128; reasoning models think for 64 tokens.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]

SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06"}
"""A model's name -> the dated one that its answers carry (the generated data's names)."""
FAMILIES = ("gpt-", "chatgpt-", "o1", "o3", "o4")
REASONING = ("gpt-5", "o1", "o3", "o4")
EMBEDDING_FAMILY = "text-embedding-"
DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536

CACHED_FROM, CACHE_STEP = 1024, 128
REASONING_TOKENS = 64
SENTENCE = (
    "Thank you for asking: the appointment is free on Tuesday at ten, the order left the house this morning, and "
    "whoever calls back before noon is put through at once"
)
WORDS = SENTENCE.split()


def known_model(name: object) -> bool:
    return isinstance(name, str) and name.startswith((*FAMILIES, EMBEDDING_FAMILY))


def snapshot(name: str) -> str:
    return SNAPSHOTS.get(name, name)


def text_of(part: object) -> str:
    """All text in a part of a request, one piece a line."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        return "\n".join(text_of(inner) for inner in part.values())
    if isinstance(part, list):
        return "\n".join(text_of(inner) for inner in part)
    return ""


def prompt_tokens(request: Mapping[str, Any]) -> int:
    read = ("messages", "input", "instructions", "tools", "prompt")
    characters = sum(len(text_of(request.get(name))) for name in read)
    turns = request.get("messages") or request.get("input")
    return -(-characters // 4) + 4 * (len(turns) if isinstance(turns, list) else 1) + 3


def cached_tokens(prompt: int) -> int:
    return prompt // 2 // CACHE_STEP * CACHE_STEP if prompt >= CACHED_FROM else 0


@dataclass
class Reply:
    """One answer: its text in pieces (a token each) or a call of a tool, and its usage."""

    model: str
    prompt: int
    cached: int
    reasoning: int
    pieces: list[str]
    is_cut: bool
    tool: str | None = None
    service_tier: str = "default"
    choices: int = 1
    extra: Record = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def output(self, pieces: int | None = None) -> int:
        """Output tokens, of the whole answer or of its first `pieces`."""
        return (self.reasoning + (len(self.pieces) if pieces is None else pieces)) * self.choices


def reply_to(request: Mapping[str, Any], *, most: int | None, schema: object, tool: Record | None) -> Reply:
    """The answer to a chat or a response request, of at most `most` tokens."""
    model = str(request["model"])
    prompt = prompt_tokens(request)
    if tool is not None:
        whole = json.dumps(sample(tool.get("parameters") or {"type": "object"}))
        pieces = [whole[at : at + 4] for at in range(0, len(whole), 4)]
    elif isinstance(schema, Mapping):
        whole = json.dumps(sample(schema))
        pieces = [whole[at : at + 4] for at in range(0, len(whole), 4)]
    else:
        prompt_text = text_of(request.get("messages") or request.get("input"))
        length = 8 + hashlib.sha256(prompt_text.encode()).digest()[0] % (len(WORDS) - 8)
        pieces = [word if number == 0 else f" {word}" for number, word in enumerate(WORDS[:length])]
    reasoning = REASONING_TOKENS if model.startswith(REASONING) else 0
    is_cut = False
    if most is not None and reasoning + len(pieces) > most:
        is_cut = True
        reasoning = min(reasoning, most)
        pieces = pieces[: most - reasoning]
    tier = request.get("service_tier")
    choices = request.get("n")
    return Reply(
        model=snapshot(model),
        prompt=prompt,
        cached=cached_tokens(prompt),
        reasoning=reasoning,
        pieces=pieces,
        is_cut=is_cut,
        tool=None if tool is None else str(tool.get("name")),
        service_tier=str(tier) if tier not in (None, "auto") else "default",
        choices=choices if isinstance(choices, int) else 1,
    )


def wanted_tool(request: Mapping[str, Any]) -> Record | None:
    """The function that the request insists on having called, as {"name", "parameters"}."""
    functions = [tool.get("function") or tool for tool in request.get("tools") or () if tool.get("type") == "function"]
    choice = request.get("tool_choice")
    if isinstance(choice, Mapping):
        name = (choice.get("function") or choice).get("name")
        functions = [function for function in functions if function.get("name") == name]
    elif choice != "required":
        return None
    return functions[0] if functions else None


def sample(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema of the kind that structured outputs allow."""
    root = schema if root is None else root
    if "$ref" in schema:
        inner: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            inner = inner[step]
        return sample(inner, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return sample(schema["anyOf"][0], root)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: sample(inner, root) for name, inner in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [sample(schema.get("items") or {}, root)]
    samples: Record = {"string": "sandbox", "integer": 7, "number": 7.5, "boolean": True}
    return samples.get(str(kind))


def chat_usage(reply: Reply) -> Record:
    output = reply.output()
    return {
        "prompt_tokens": reply.prompt,
        "completion_tokens": output,
        "total_tokens": reply.prompt + output,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning * reply.choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def response_usage(reply: Reply) -> Record:
    output = reply.output()
    return {
        "input_tokens": reply.prompt,
        "input_tokens_details": {"cached_tokens": reply.cached, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning},
        "total_tokens": reply.prompt + output,
    }


def chat_completion(reply: Reply, identity: str, created: int) -> Record:
    """`chat.completion`."""
    message: Record = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    finish = "length" if reply.is_cut else "stop"
    if reply.tool is not None:
        called = {"name": reply.tool, "arguments": reply.text}
        message |= {"content": None, "tool_calls": [{"id": f"call_{identity}", "type": "function", "function": called}]}
        finish = "length" if reply.is_cut else "tool_calls"
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index in range(reply.choices)
        ],
        "usage": chat_usage(reply),
        "service_tier": reply.service_tier,
        "system_fingerprint": "fp_sandbox",
    }


def chat_chunks(reply: Reply, identity: str, created: int, *, include_usage: bool) -> Iterable[tuple[Record, int]]:
    """`chat.completion.chunk`s, each with how many pieces of the answer have been sent with it."""
    head: Record = {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": reply.model,
        "service_tier": reply.service_tier,
        "system_fingerprint": "fp_sandbox",
    }
    nothing_yet: Record = {"usage": None} if include_usage else {}

    def chunk(delta: Record, finish: str | None = None) -> Record:
        choices = [
            {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            for index in range(reply.choices)
        ]
        return {**head, "choices": choices, **nothing_yet}

    if reply.tool is None:
        yield chunk({"role": "assistant", "content": "", "refusal": None}), 0
        for sent, piece in enumerate(reply.pieces, 1):
            yield chunk({"content": piece}), sent
    else:
        function = {"name": reply.tool, "arguments": ""}
        begun = {"index": 0, "id": f"call_{identity}", "type": "function", "function": function}
        yield chunk({"role": "assistant", "content": None, "tool_calls": [begun], "refusal": None}), 0
        for sent, piece in enumerate(reply.pieces, 1):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), sent
    finish = "length" if reply.is_cut else "stop" if reply.tool is None else "tool_calls"
    yield chunk({}, finish), len(reply.pieces)
    if include_usage:
        yield {**head, "choices": [], "usage": chat_usage(reply)}, len(reply.pieces)


def response_object(request: Mapping[str, Any], reply: Reply, identity: str, created: int, status: str) -> Record:
    """`response`, in progress or done."""
    done = status in ("completed", "incomplete")
    text = request.get("text") or {}
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": created,
        "status": status,
        "background": bool(request.get("background")),
        "completed_at": created if status == "completed" else None,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": reply.model,
        "output": _output(reply, identity, status) if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": reply.service_tier,
        "store": request.get("store", True),
        "temperature": request.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": "medium"},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools") or [],
        "top_logprobs": 0,
        "top_p": request.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": response_usage(reply) if done else None,
        "metadata": request.get("metadata") or {},
    }


def _output(reply: Reply, identity: str, status: str) -> list[Record]:
    return [*_reasoning(reply, identity), _item(reply, identity, status, reply.text)]


def _reasoning(reply: Reply, identity: str) -> list[Record]:
    return [{"id": f"rs_{identity}", "type": "reasoning", "summary": []}] if reply.reasoning else []


def _item(reply: Reply, identity: str, status: str, text: str | None) -> Record:
    """The message, or the call of a tool; `text` None: it has only begun."""
    if reply.tool is not None:
        return {
            "id": f"fc_{identity}",
            "type": "function_call",
            "status": status,
            "arguments": text or "",
            "call_id": f"call_{identity}",
            "name": reply.tool,
        }
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "status": status,
        "content": [] if text is None else [_part(text)],
        "role": "assistant",
    }


def _part(text: str) -> Record:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def response_events(
    request: Mapping[str, Any], reply: Reply, identity: str, created: int
) -> Iterable[tuple[Record, int]]:
    """The events of a streamed response, each with how many pieces of the answer have been sent with it."""
    last = "incomplete" if reply.is_cut else "completed"
    begun = response_object(request, reply, identity, created, "in_progress")
    number = 0

    def event(kind: str, **fields: Any) -> Record:
        nonlocal number
        number += 1
        return {"type": kind, "sequence_number": number - 1, **fields}

    yield event("response.created", response=begun), 0
    yield event("response.in_progress", response=begun), 0
    index = 0
    for thought in _reasoning(reply, identity):
        yield event("response.output_item.added", output_index=index, item=thought), 0
        yield event("response.output_item.done", output_index=index, item=thought), 0
        index += 1
    item = _item(reply, identity, "in_progress", None)
    yield event("response.output_item.added", output_index=index, item=item), 0
    position: Record = {"item_id": item["id"], "output_index": index}
    if reply.tool is not None:
        for sent, piece in enumerate(reply.pieces, 1):
            yield event("response.function_call_arguments.delta", **position, delta=piece), sent
        whole = {**position, "name": reply.tool, "arguments": reply.text}
        yield event("response.function_call_arguments.done", **whole), len(reply.pieces)
    else:
        position["content_index"] = 0
        yield event("response.content_part.added", **position, part=_part("")), 0
        for sent, piece in enumerate(reply.pieces, 1):
            yield event("response.output_text.delta", **position, delta=piece, logprobs=[]), sent
        sent = len(reply.pieces)
        yield event("response.output_text.done", **position, text=reply.text, logprobs=[]), sent
        yield event("response.content_part.done", **position, part=_part(reply.text)), sent
    sent = len(reply.pieces)
    yield event("response.output_item.done", output_index=index, item=_item(reply, identity, last, reply.text)), sent
    yield event(f"response.{last}", response=response_object(request, reply, identity, created, last)), sent


def embedding(text: str, dimensions: int, form: object) -> str | list[float]:
    """A unit vector that the text alone decides, as numbers or as base64 of 32-bit floats."""
    rng = random.Random(text)
    vector = [rng.uniform(-1, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(number * number for number in vector))
    packed = struct.pack(f"<{dimensions}f", *(number / length for number in vector))
    if form == "base64":
        return base64.b64encode(packed).decode()
    return list(struct.unpack(f"<{dimensions}f", packed))
