#!/usr/bin/env bash
# opentelemetry-instrumentation-openai 0.62.4 (OpenLLMetry's) on openai 3.52.0: with_raw_response is metered for one of three calls.
#
# `with_raw_response` is the OpenAI client's documented way to read headers (request id, rate limits) beside an answer; what is sent and
# billed is the same. One would expect each of these calls to leave the same span with or without it. What was seen against a local
# server that says 100 input (60 of them cached) and 20 output tokens each time:
#
#                                                          plain                      with_raw_response
#   chat.completions.create                                1 span, 100 + 20 tokens    1 span, 100 + 20 tokens
#   chat.completions.create, stream with include_usage     1 span, 100 + 20 tokens    1 span, no tokens
#   responses.create                                       1 span, 100 + 20 tokens    no span
#
# openinference-instrumentation-openai 0.1.66, the same six calls: 100 + 20 tokens in each.
#
# Why a user of usage metering cares: who takes spans for usage misses every Responses API call of a product that reads its rate-limit
# headers, with nothing to count the loss by; and the stream looks like one that was told to leave usage out. What helps: meter at the
# client's one request method, below `with_raw_response`, and hold spans against the provider's figures.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'openai==3.52.0' 'opentelemetry-instrumentation-openai==0.62.4' \
    'openinference-instrumentation-openai==0.1.66' 'opentelemetry-sdk==1.45.2' 2>/dev/null
cat >calls.py <<'PYTHON'
import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.disable(logging.WARNING)
if sys.argv[1] == "openllmetry":
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
else:
    from openinference.instrumentation.openai import OpenAIInstrumentor
import openai

MODEL = "gpt-4o-2024-08-06"
CHAT_USAGE = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_tokens_details": {"cached_tokens": 60}
}
USAGE = {
    "input_tokens": 100, "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120,
}
CHAT = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "usage": CHAT_USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "usage": None}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "yes"}, "finish_reason": None}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**CHUNK, "choices": [], "usage": CHAT_USAGE},
]
TEXT = {"type": "output_text", "text": "yes", "annotations": []}
RESPONSE = {
    "id": "r1", "object": "response", "created_at": 1, "model": MODEL, "status": "completed", "usage": USAGE, "tools": [],
    "output": [{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [TEXT]}],
    "parallel_tool_calls": True, "tool_choice": "auto", "error": None, "incomplete_details": None, "metadata": {},
}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
        else:
            body = json.dumps(RESPONSE if self.path.endswith("/responses") else CHAT)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))
OpenAIInstrumentor().instrument(tracer_provider=tracing)
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_address[1]}/v1")
chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "is it metered?"}]}
stream = {**chat, "stream": True, "stream_options": {"include_usage": True}}
response = {"model": "gpt-4o", "input": "is it metered?"}


def seen(call):
    spans.clear()
    answer = call()
    if not hasattr(answer, "usage"):
        answer = list(answer)[-1]
    assert answer.usage is not None, "the client's own answer has its usage"
    inputs = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    outputs = ("gen_ai.usage.output_tokens", "llm.token_count.completion")
    found = [dict(span.attributes) for span in spans.get_finished_spans()]
    tokens = [[one[name] for names in (inputs, outputs) for name in names if name in one] for one in found]
    return "; ".join("+".join(map(str, one)) or "no tokens" for one in tokens) or "no span"


completions, raw = client.chat.completions, client.chat.completions.with_raw_response
print("chat:", seen(lambda: completions.create(**chat)), "| raw:", seen(lambda: raw.create(**chat).parse()))
print("stream:", seen(lambda: completions.create(**stream)), "| raw:", seen(lambda: raw.create(**stream).parse()))
plain = seen(lambda: client.responses.create(**response))
print("responses:", plain, "| raw:", seen(lambda: client.responses.with_raw_response.create(**response).parse()))
PYTHON
expect() { [ "$2" = "$3" ] || { printf 'CHANGED: %s: expected\n%s\nsaw\n%s\n' "$1" "$3" "$2"; exit 1; }; printf '%s\n%s\n' "$1" "$2"; }
expect openllmetry "$(venv/bin/python calls.py openllmetry)" 'chat: 100+20 | raw: 100+20
stream: 100+20 | raw: no tokens
responses: 100+20 | raw: no span'
expect openinference "$(venv/bin/python calls.py openinference)" 'chat: 100+20 | raw: 100+20
stream: 100+20 | raw: 100+20
responses: 100+20 | raw: 100+20'
echo "as stated"
