#!/usr/bin/env bash
# opentelemetry-instrumentation-openai 0.62.4 (OpenLLMetry's) on openai 3.57.0: spans of the Responses API do not say which server was called.
#
# Spans of chat completions and embeddings name the client's base URL (`gen_ai.openai.api_base`). One would expect it of each call of the
# same client. What was seen, with a client whose base URL is a server of one's own:
#
#   chat.completions.create     gen_ai.openai.api_base http://127.0.0.1:PORT/v1/, provider openai
#   embeddings.create           gen_ai.openai.api_base http://127.0.0.1:PORT/v1/, provider openai
#   responses.create            no attribute with the address, provider openai; the same when streamed
#
# Why a user of usage metering cares: most servers that speak OpenAI's API (gateways, vLLM, Azure's) serve Responses too, and by spans alone
# their usage is OpenAI's: tokens that OpenAI's usage report will never confirm, at OpenAI's prices, under response ids that are not OpenAI's.
# What helps: meter such a client at the client, or put the server into the resource of the process's spans.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'openai==3.57.0' 'opentelemetry-instrumentation-openai==0.62.4' \
    'opentelemetry-sdk==1.45.2' 2>/dev/null
cat >calls.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "tools": [], "output": [],
    "parallel_tool_calls": True, "tool_choice": "auto", "error": None, "incomplete_details": None, "metadata": {},
    "usage": {
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 17,
    },
}
ANSWERS = {
    "/v1/chat/completions": {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
    },
    "/v1/embeddings": {
        "object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    },
    "/v1/responses": RESPONSE,
}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body, kind = json.dumps(ANSWERS[self.path]), "application/json"
        if sent.get("stream"):
            last = {"type": "response.completed", "sequence_number": 0, "response": RESPONSE}
            body, kind = f"event: response.completed\ndata: {json.dumps(last)}\n\n", "text/event-stream"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"127.0.0.1:{server.server_address[1]}"
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))
OpenAIInstrumentor().instrument(tracer_provider=tracing)
client = openai.OpenAI(api_key="none", base_url=f"http://{address}/v1")
calls = {
    "chat": lambda: client.chat.completions.create(model="m", messages=[{"role": "user", "content": "which server?"}]),
    "embeddings": lambda: client.embeddings.create(model="m", input="which server?", encoding_format="float"),
    "responses": lambda: client.responses.create(model="m", input="which server?"),
    "responses, streamed": lambda: list(client.responses.create(model="m", input="which server?", stream=True)),
}
for name, call in calls.items():
    spans.clear()
    call()
    (span,) = spans.get_finished_spans()
    naming = sorted(key for key, value in span.attributes.items() if address in str(value))
    tokens = span.attributes.get("gen_ai.usage.input_tokens")
    print(f"{name}: {tokens} input tokens of {span.attributes['gen_ai.provider.name']}, address in {naming or 'nothing'}")
PYTHON
saw=$(venv/bin/python calls.py 2>/dev/null)
expected="chat: 9 input tokens of openai, address in ['gen_ai.openai.api_base']
embeddings: 9 input tokens of openai, address in ['gen_ai.openai.api_base']
responses: 9 input tokens of openai, address in nothing
responses, streamed: 9 input tokens of openai, address in nothing"
[ "$saw" = "$expected" ] || { printf 'CHANGED: expected\n%s\nsaw\n%s\n' "$expected" "$saw"; exit 1; }
printf '%s\nas stated\n' "$saw"
