#!/usr/bin/env bash
# opentelemetry-instrumentation-anthropic 0.62.4 (OpenLLMetry's) on anthropic 2.14.0: a stream's span says the input that was known at its start,
# and 0 tokens where `beta.messages.stream` was called.
#
# A stream begins with the usage so far (`message_start`) and ends with the totals (`message_delta`; all of its counts are cumulative, says the
# client). With a tool of the server's, such as web search, the input grows in between: what is found is read too. One would expect the
# totals, as of an answer that is not streamed. What was seen of one answer with a web search, 2,679 input and 3 output tokens at its
# start, 10,682 and 510 at its end:
#
#                                                          span of messages             span of beta.messages
#   create                                                 10682 + 510, id msg_1        10682 + 510, id msg_1
#   create(stream=True)                                     2679 + 513, id msg_1         2679 + 513, id msg_1
#   stream(), its events or its text or its last message    2679 + 513, id msg_1            0 + 0, no id
#
# The clients' own last message has 10682 + 510 in each; so have all spans of openinference-instrumentation-anthropic 3.1.0. (Known: the two output
# counts that are added up, traceloop/openllmetry#4377, and the beta's asynchronous stream, #4388.)
#
# Why a user of usage metering cares: three quarters of the input that was billed here are missing, and the searches that make input grow are
# what such calls are for; the beta's streams (agents' tools, files, fallbacks) are calls that cost nothing, as if a count had been taken. What helps: to
# meter at the client's one request method; to take a call of 0 tokens for one without a count, as the collector here does.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'anthropic==2.14.0' 'opentelemetry-instrumentation-anthropic==0.62.4' \
    'openinference-instrumentation==0.1.72' 'openinference-instrumentation-anthropic==3.1.0' 'opentelemetry-sdk==1.45.2' 2>/dev/null
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
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
else:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))
AnthropicInstrumentor().instrument(tracer_provider=tracing)
import anthropic

CACHE = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
BEGUN = {"input_tokens": 2679, "output_tokens": 3, **CACHE}
ENDED = {"input_tokens": 10682, "output_tokens": 510, **CACHE, "server_tool_use": {"web_search_requests": 1}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search"}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{**SEARCH, "input": {"query": "x"}}, FOUND, {"type": "text", "text": "yes"}], "usage": ENDED,
}


def events():
    yield {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": BEGUN}}
    pieces = ({**SEARCH, "input": {}}, {"type": "input_json_delta", "partial_json": '{"query": "x"}'}), (FOUND, None)
    for index, (block, delta) in enumerate((*pieces, ({"type": "text", "text": ""}, {"type": "text_delta", "text": "yes"}))):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if delta:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": ENDED}
    yield {"type": "message_stop"}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
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
client = anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_address[1]}")
ASKED = {
    "model": "claude-sonnet-5", "max_tokens": 1024, "messages": [{"role": "user", "content": "is it metered?"}],
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
}
inputs, outputs = ("gen_ai.usage.input_tokens", "llm.token_count.prompt"), ("gen_ai.usage.output_tokens", "llm.token_count.completion")


def streamed(messages, read):
    with messages.stream(**ASKED) as stream:
        for _ in read(stream):
            pass
        return stream.get_final_message()


WAYS = {
    "create": lambda messages: messages.create(**ASKED),
    "create, stream=True": lambda messages: list(messages.create(**ASKED, stream=True))[-2],
    "stream, its events": lambda messages: streamed(messages, iter),
    "stream, its text": lambda messages: streamed(messages, lambda stream: stream.text_stream),
    "stream, its last message": lambda messages: streamed(messages, lambda stream: ()),
}
for way, call in WAYS.items():
    seen = []
    for messages in (client.messages, client.beta.messages):
        spans.clear()
        usage = call(messages).usage
        assert (usage.input_tokens, usage.output_tokens) == (10682, 510), "the client's own answer has the totals"
        (span,) = spans.get_finished_spans()
        sent, received = (next(span.attributes.get(name) for name in names if name in span.attributes) for names in (inputs, outputs))
        seen.append(f"{sent}+{received} {span.attributes.get('gen_ai.response.id')}")
    print(f"{way}: {seen[0]}; beta {seen[1]}")
PYTHON
expect() { [ "$2" = "$3" ] || { printf 'CHANGED: %s: expected\n%s\nsaw\n%s\n' "$1" "$3" "$2"; exit 1; }; printf '%s\n%s\n' "$1" "$2"; }
expect openllmetry "$(venv/bin/python calls.py openllmetry 2>/dev/null)" 'create: 10682+510 msg_1; beta 10682+510 msg_1
create, stream=True: 2679+513 msg_1; beta 2679+513 msg_1
stream, its events: 2679+513 msg_1; beta 0+0 None
stream, its text: 2679+513 msg_1; beta 0+0 None
stream, its last message: 2679+513 msg_1; beta 0+0 None'
expect openinference "$(venv/bin/python calls.py openinference 2>/dev/null)" 'create: 10682+510 None; beta 10682+510 None
create, stream=True: 10682+510 None; beta 10682+510 None
stream, its events: 10682+510 None; beta 10682+510 None
stream, its text: 10682+510 None; beta 10682+510 None
stream, its last message: 10682+510 None; beta 10682+510 None'
echo "as stated"
