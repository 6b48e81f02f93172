#!/usr/bin/env bash
# opentelemetry-instrumentation-openai-v2 2.4b0 (OpenTelemetry's own, the newest), openai 3.52.0, opentelemetry-distro 0.66b2: no call is
# seen, and nobody says so.
#
# `opentelemetry-instrument python app.py` is the documented way to get GenAI spans (`gen_ai.usage.input_tokens` …) without a change to the
# product. The instrumentation declares `openai >= 1.26.0`, pip installs it beside openai 3 without a complaint, and its dependency
# check passes. One would expect spans, or an error. What was seen of one chat completion of 120 tokens, against a local server:
#
#   1. as pip resolves it (opentelemetry-util-genai 1.3b0)        the product runs, exit code 0, no span, not a line at log level WARNING
#   2. the same with `import` instead of opentelemetry-instrument ModuleNotFoundError: httpx (openai 3 stands on httpx2)
#   3. with httpx installed as well                               ModuleNotFoundError: opentelemetry.util.genai.instruments (there is
#                                                                 no upper bound on util-genai, and 1.x has no such module)
#   4. with httpx and opentelemetry-util-genai 0.4b0              a span with 100 input and 20 output tokens
#
# The loader takes a ModuleNotFoundError to mean that the instrumented library is not there, and skips with a line at DEBUG.
#
# Why a user of usage metering cares: where GenAI spans are a source of usage, an upgrade of the OpenAI client turns a tenant's usage into
# nothing. No span is not zero tokens, but nothing tells the two apart: caps never fill, and only the provider's bill shows it. What
# helps: import the instrumentation in the product (it raises), pin both packages, and hold spans against the provider's own figures.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
install() { venv/bin/pip install --quiet --disable-pip-version-check "$@" 2>/dev/null; }
install 'openai==3.52.0' 'opentelemetry-instrumentation-openai-v2==2.4b0' 'opentelemetry-util-genai==1.3b0' 'opentelemetry-distro==0.66b2' \
    'opentelemetry-instrumentation==0.66b2' 'opentelemetry-sdk==1.45.2'
cat >app.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_address[1]}/v1")
answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "is it metered?"}])
print("the product used", answer.usage.total_tokens, "tokens")
PYTHON
export OTEL_TRACES_EXPORTER=console OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none
instrumented() { venv/bin/opentelemetry-instrument venv/bin/python app.py 2>&1; }
imported() { venv/bin/python -c 'import opentelemetry.instrumentation.openai_v2' 2>&1 | tail -n 1 || true; }
expect() { [ "$2" = "$3" ] || { echo "CHANGED: $1: expected '$3', saw '$2'"; exit 1; }; echo "$1: $2"; }

expect "1. as resolved, all that is printed" "$(instrumented)" "the product used 120 tokens"
expect "2. imported" "$(imported)" "ModuleNotFoundError: No module named 'httpx'"
install 'httpx==0.28.1'
expect "3. imported, httpx there" "$(imported)" "ModuleNotFoundError: No module named 'opentelemetry.util.genai.instruments'"
expect "   and under opentelemetry-instrument" "$(instrumented)" "the product used 120 tokens"
install 'opentelemetry-util-genai==0.4b0'
tokens=$(instrumented | grep -oE '"gen_ai.usage.(input|output)_tokens": [0-9]+' | sort | tr -d '"' | paste -sd' ')
expect "4. with util-genai 0.4b0" "$tokens" "gen_ai.usage.input_tokens: 100 gen_ai.usage.output_tokens: 20"
echo "as stated"
