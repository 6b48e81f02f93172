#!/usr/bin/env bash
# google-genai 3.6.1: a call that ran Python functions by itself sent several requests, and says the tokens of the last one alone.
#
# With a Python function among its tools the client answers the model's function calls itself and sends the whole conversation again, as often
# as it takes. A long answer that arrives in parts (`finish_reason` CONTINUATION) is several requests as well, and of these the client adds the
# tokens up. One would expect the same of both. What was seen against a local server that says 1,000, 2,000 and 3,000 input tokens for the
# three requests of each call, and 20 output tokens for each:
#
#                                         total tokens that the answer says    spans: OpenInference 1.4.14, OpenLLMetry 0.62.4
#   generate_content, an answer in parts  6060                                 1, 6060
#   generate_content, two functions       3020                                 1, 3020
#   generate_content_stream, the same     1020; 2020; 3020, a chunk each       1, 3020
#   chats' send_message, the same         3020                                 3: 1020, 2020, 3020
#
# The chunks are three answers, each with its own `response_id`; in a stream without functions the last chunk is the whole. (Known of
# generate_content's own figure: googleapis/python-genai#2838. OpenTelemetry's own instrumentation, 1.3b0, does not take google-genai 3.)
#
# Why a user of usage metering cares: half of what is billed here is missing, more with each function, and the figure that is left looks like
# any other. What helps: `automatic_function_calling` disabled and a loop of one's own, or a chat where spans are read; of a stream, the last
# chunk of each `response_id`; and to hold it all against Google's own figures.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'google-genai==3.6.1' 'openinference-instrumentation==0.1.72' \
    'openinference-instrumentation-google-genai==1.4.14' 'opentelemetry-instrumentation-google-generativeai==0.62.4' 'opentelemetry-sdk==1.45.2' 2>/dev/null
cat >calls.py <<'PYTHON'
import base64
import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.disable(logging.WARNING)
if sys.argv[1] == "openinference":
    from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor as Instrumentor
else:
    from opentelemetry.instrumentation.google_generativeai import GoogleGenerativeAiInstrumentor as Instrumentor
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))
Instrumentor().instrument(tracer_provider=tracing)
from google import genai
from google.genai import types

billed = []


class Provider(BaseHTTPRequestHandler):
    """Asks for `look_up` twice, or answers in three parts where there is no such function; then it has answered."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        number = len(billed) % 3
        used = {"promptTokenCount": 1000 * (number + 1), "candidatesTokenCount": 20, "totalTokenCount": 1000 * (number + 1) + 20}
        billed.append(used["totalTokenCount"])
        candidate = {"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "yes"}]}}
        if number < 2 and "tools" in asked:
            candidate["content"]["parts"] = [{"functionCall": {"name": "look_up", "args": {"word": "metered"}}}]
        elif number < 2:
            candidate |= {"finishReason": "CONTINUATION", "continuationToken": base64.b64encode(b"%d" % number).decode()}
        answer = {
            "candidates": [candidate], "usageMetadata": used, "modelVersion": "gemini-2.5-flash", "responseId": f"r{len(billed)}"
        }
        streams = "stream" in self.path
        body = (f"data: {json.dumps(answer)}\r\n\r\n" if streams else json.dumps(answer)).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: counted"


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = genai.Client(api_key="none", http_options={"base_url": f"http://127.0.0.1:{server.server_address[1]}"})
asked = {"model": "gemini-2.5-flash", "contents": "is it metered?"}
functions = types.GenerateContentConfig(tools=[look_up])
calls = {
    "in parts": lambda: [client.models.generate_content(**asked)],
    "functions": lambda: [client.models.generate_content(**asked, config=functions)],
    "functions, streamed": lambda: list(client.models.generate_content_stream(**asked, config=functions)),
    "functions, in a chat": lambda: [client.chats.create(model="gemini-2.5-flash", config=functions).send_message("is it metered?")],
}
totals = ("llm.token_count.total", "gen_ai.usage.total_tokens")
for name, call in calls.items():
    billed.clear()
    spans.clear()
    said = [answer.usage_metadata.total_token_count for answer in call()]
    seen = [span.attributes[total] for span in spans.get_finished_spans() for total in totals if total in span.attributes]
    print(f"{name}: billed {billed}, said {said}, spans {seen}")
PYTHON
expect() { [ "$2" = "$3" ] || { printf 'CHANGED: %s: expected\n%s\nsaw\n%s\n' "$1" "$3" "$2"; exit 1; }; printf '%s\n%s\n' "$1" "$2"; }
expected='in parts: billed [1020, 2020, 3020], said [6060], spans [6060]
functions: billed [1020, 2020, 3020], said [3020], spans [3020]
functions, streamed: billed [1020, 2020, 3020], said [1020, 2020, 3020], spans [3020]
functions, in a chat: billed [1020, 2020, 3020], said [3020], spans [1020, 2020, 3020]'
for instrumentation in openinference openllmetry; do
    expect "$instrumentation" "$(venv/bin/python calls.py "$instrumentation" 2>/dev/null)" "$expected"
done
echo "as stated"
