#!/usr/bin/env bash
# langchain-anthropic 1.7.10 (langchain-core 1.8.3) on anthropic 2.14.0: a streamed answer that a fallback model gave is booked on the model that
# declined to give it.
#
# With `fallbacks` (beta) Anthropic's server lets another model go on where the one that was asked declines. The answer's usage is that of the model that
# gave it; what the other had begun is billed too, and told in `usage.iterations`. A stream names the asked model in its first event, and the
# change in a `fallback` block. One would expect one model of all ways to ask. What was seen of one such answer, begun by claude-fable-5 with
# 400 input and 90 output tokens, given by claude-opus-4-8 with 490 and 264:
#
#                                                     whose 490 + 264 tokens         the 400 + 90 that were begun
#   anthropic's create, stream()                      claude-opus-4-8                usage.iterations
#   LangChain's invoke, ainvoke                       claude-opus-4-8                response_metadata, not usage_metadata
#   LangChain's stream, astream, streaming=True       claude-fable-5                 nowhere
#
# So in the message's `model_name` as in `get_usage_metadata_callback()`, whose sum has one model for what was read at once and another for what was
# streamed. Nothing warns.
#
# Why a user of usage metering cares: models that can decline are the dearest, and fall back to cheaper ones: by the callback a stream costs the
# tenant the first one's price, and the provider's report by model agrees with neither; the tokens that were begun are nobody's. What
# helps: to meter at the client below LangChain, by the final usage: the model of its `fallback_message` entry, and each model that had begun.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'langchain-anthropic==1.7.10' 'langchain-core==1.8.3' 'anthropic==2.14.0' 2>/dev/null
cat >calls.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import get_usage_metadata_callback

ASKED, GAVE = "claude-fable-5", "claude-opus-4-8"
CACHE = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
BEGUN, GIVEN = {"input_tokens": 400, "output_tokens": 90, **CACHE}, {"input_tokens": 490, "output_tokens": 264, **CACHE}
USAGE = {**GIVEN, "iterations": [{"type": "message", "model": ASKED, **BEGUN}, {"type": "fallback_message", "model": GAVE, **GIVEN}]}
CHANGE = {"type": "fallback", "from": {"model": ASKED}, "to": {"model": GAVE}, "trigger": {"type": "refusal", "category": "bio"}}
BLOCKS = [{"type": "text", "text": "Tea is"}, CHANGE, {"type": "text", "text": " a drink."}]
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": GAVE, "content": BLOCKS, "stop_reason": "end_turn", "stop_sequence": None,
    "usage": USAGE,
}


def events():
    start = {**MESSAGE, "model": ASKED, "content": [], "stop_reason": None, "usage": {**BEGUN, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(BLOCKS):
        text = block.get("text")
        yield {"type": "content_block_start", "index": index, "content_block": {**block, "text": ""} if text else block}
        if text:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE}
    yield {"type": "message_stop"}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (asked["model"], asked["fallbacks"]) == (ASKED, [{"model": GAVE}])
        if asked.get("stream"):
            body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events())
        else:
            body = json.dumps(MESSAGE)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
address, betas, fallbacks = f"http://127.0.0.1:{server.server_address[1]}", ["server-side-fallback-2026-07-01"], [{"model": GAVE}]
client = anthropic.Anthropic(api_key="none", base_url=address)
asked = {"model": ASKED, "max_tokens": 1024, "messages": [{"role": "user", "content": "what is tea?"}], "betas": betas, "fallbacks": fallbacks}
with client.beta.messages.stream(**asked) as stream:
    streamed = stream.get_final_message()
for way, answer in (("create", client.beta.messages.create(**asked)), ("stream()", streamed)):
    begun = next(entry for entry in answer.usage.iterations if entry.model == ASKED)
    print(f"anthropic, {way}: {answer.model} {answer.usage.input_tokens}+{answer.usage.output_tokens}, begun {begun.input_tokens}+{begun.output_tokens}")


def chat(**more):
    return ChatAnthropic(
        model=ASKED, max_tokens=1024, api_key="none", base_url=address, betas=betas, model_kwargs={"fallbacks": fallbacks}, **more
    )


def joined(chunks):
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


async def astream():
    return joined([chunk async for chunk in chat().astream("what is tea?")])


ways = {
    "invoke": lambda: chat().invoke("what is tea?"),
    "ainvoke": lambda: asyncio.run(chat().ainvoke("what is tea?")),
    "stream": lambda: joined(list(chat().stream("what is tea?"))),
    "astream": lambda: asyncio.run(astream()),
    "streaming=True": lambda: chat(streaming=True).invoke("what is tea?"),
}
for way, call in ways.items():
    with get_usage_metadata_callback() as counter:
        message = call()
    ((model, counted),) = counter.usage_metadata.items()
    assert model == message.response_metadata["model_name"]
    told = "iterations" in json.dumps(message.model_dump(), default=str)
    assert "iterations" not in json.dumps(counter.usage_metadata) + json.dumps(message.usage_metadata)
    print(f"LangChain, {way}: {model} {counted['input_tokens']}+{counted['output_tokens']}, {'told in' if told else 'not in'} the message what was begun")
PYTHON
expected='anthropic, create: claude-opus-4-8 490+264, begun 400+90
anthropic, stream(): claude-opus-4-8 490+264, begun 400+90
LangChain, invoke: claude-opus-4-8 490+264, told in the message what was begun
LangChain, ainvoke: claude-opus-4-8 490+264, told in the message what was begun
LangChain, stream: claude-fable-5 490+264, not in the message what was begun
LangChain, astream: claude-fable-5 490+264, not in the message what was begun
LangChain, streaming=True: claude-fable-5 490+264, not in the message what was begun'
seen=$(LANGSMITH_TRACING=false venv/bin/python calls.py 2>/dev/null)
[ "$seen" = "$expected" ] || { printf 'CHANGED: expected\n%s\nsaw\n%s\n' "$expected" "$seen"; exit 1; }
printf '%s\nas stated\n' "$seen"
