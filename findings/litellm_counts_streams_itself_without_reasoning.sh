#!/usr/bin/env bash
# litellm 1.110.2 on openai 2.54.0: the usage and cost that a callback gets of a stream are LiteLLM's own count, without reasoning.
#
# A callback (`CustomLogger.log_success_event`) gets the usage and `response_cost` of each call; spend reports and budgets are made of
# it. For a stream that did not ask for `include_usage` the provider sends no usage, so one would expect none. What was seen against a
# local server that bills 12 input and 530 output tokens each time, 512 of them for reasoning:
#
#   one answer                              12 + 530 tokens, 0.0010630 USD
#   a stream with include_usage             12 + 530 tokens, 0.0010630 USD
#   the same stream without                 13 + 11 tokens,  0.0000253 USD
#
# The third is what LiteLLM's tokenizer makes of the visible text, in the same fields and with nothing that says so.
#
# Why a user of usage metering cares: of a reasoning model's streams a fortieth of the cost is recorded, and a budget made of it holds
# nobody. What helps: ask for include_usage (the proxy: `always_include_stream_usage: true`), mark what did not as estimated, and settle
# with the provider's figures.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'litellm==1.110.2' 'openai==2.54.0' 2>/dev/null
cat >calls.py <<'PYTHON'
import json
import logging
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from litellm.integrations.custom_logger import CustomLogger

logging.disable(logging.WARNING)
MODEL = "gpt-5-mini-2025-08-07"
USAGE = {
    "prompt_tokens": 12, "completion_tokens": 530, "total_tokens": 542,
    "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 512},
}
TEXT = "A month has between twenty-eight and thirty-one days."
CHAT = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "usage": USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}],
}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": TEXT}, "finish_reason": None}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        chunks = [*CHUNKS]
        if (request.get("stream_options") or {}).get("include_usage"):
            chunks.append({**CHUNK, "choices": [], "usage": USAGE})
        streamed = bool(request.get("stream"))
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n" if streamed else json.dumps(CHAT)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streamed else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


class Logger(CustomLogger):
    def __init__(self):
        self.seen = []

    def log_success_event(self, kwargs, response_obj, start_time, end_time):
        usage = response_obj.usage
        self.seen.append((usage.prompt_tokens, usage.completion_tokens, kwargs["response_cost"]))


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
logger = Logger()
litellm.callbacks = [logger]
call = {
    "model": "openai/gpt-5-mini", "api_key": "none", "api_base": f"http://127.0.0.1:{server.server_address[1]}/v1",
    "messages": [{"role": "user", "content": "How long is a month?"}],
}
for name, options in (
    ("whole", {}),
    ("streamed with usage", {"stream": True, "stream_options": {"include_usage": True}}),
    ("streamed", {"stream": True}),
):
    before = len(logger.seen)
    answer = litellm.completion(**call, **options)
    chunks = list(answer) if options.get("stream") else []
    deadline = time.monotonic() + 60
    while len(logger.seen) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    sent, received, cost = logger.seen[-1]
    print(f"{name}: {sent} + {received} tokens, {cost:.7f} USD")
PYTHON
saw=$(venv/bin/python calls.py)
expected='whole: 12 + 530 tokens, 0.0010630 USD
streamed with usage: 12 + 530 tokens, 0.0010630 USD
streamed: 13 + 11 tokens, 0.0000253 USD'
[ "$saw" = "$expected" ] || { printf 'CHANGED: expected\n%s\nsaw\n%s\n' "$expected" "$saw"; exit 1; }
printf '%s\nas stated\n' "$saw"
