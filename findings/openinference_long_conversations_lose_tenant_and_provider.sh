#!/usr/bin/env bash
# openinference-instrumentation-openai 0.1.66 and -anthropic 3.1.0 on opentelemetry-sdk 1.45.2: the spans of long conversations have their
# tokens, and say neither which tenant nor which provider.
#
# OpenInference writes two attributes and more for each message of a request, and the SDK keeps 128 of a span. One would expect the surplus
# to be what came last. The SDK drops the oldest: what was there before the messages, then the first of these. Oldest are what a
# span processor sets at a span's start (here tenant.id), the provider (llm.system), and what `using_attributes` adds (user.id). Seen,
# with openai 3.57.0 and anthropic 2.14.0, the shortest conversation whose span lacks them:
#
#                                                          tenant.id    llm.system    user.id    tokens, model, kind
#   chat completions, in messages                          57           57            60         never
#   the same, in turns (a call of a tool and its result)   16           16            17         never
#   Anthropic's messages, in messages                      55           56            57         never
#
# With OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=10000, or OPENINFERENCE_HIDE_INPUT_MESSAGES=true, nothing is lost. The SDK logs a warning for each
# attribute, without the span's name; its count, `dropped_attributes_count`, is exported. (OpenInference for LangChain.js had
# its own order mended, Arize-ai/openinference#3527.)
#
# Why a user of usage metering cares: a long conversation is the costliest call, since each turn sends all before it. From the 16th turn of
# an agent on its tokens belong to nobody and to no provider's price, while short calls look right. What helps: the limit above in each
# process that is traced; the tenant in the resource; and to count spans whose attributes were dropped, as the collector here does.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'openai==3.57.0' 'anthropic==2.14.0' 'opentelemetry-sdk==1.45.2' \
    'openinference-instrumentation==0.1.72' 'openinference-instrumentation-openai==0.1.66' 'openinference-instrumentation-anthropic==3.1.0' 2>/dev/null
cat >calls.py <<'PYTHON'
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import openai
from openinference.instrumentation import using_attributes
from openinference.instrumentation.anthropic import AnthropicInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.disable(logging.WARNING)
CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "yes"}], "usage": {"input_tokens": 100, "output_tokens": 20},
}


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(MESSAGE if self.path.endswith("/messages") else CHAT).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Tenant(SpanProcessor):
    def on_start(self, span, parent_context=None):
        span.set_attribute("tenant.id", "acme")


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(Tenant())
tracing.add_span_processor(SimpleSpanProcessor(spans))
OpenAIInstrumentor().instrument(tracer_provider=tracing)
AnthropicInstrumentor().instrument(tracer_provider=tracing)
of_openai = openai.OpenAI(api_key="none", base_url=f"{url}/v1")
of_anthropic = anthropic.Anthropic(api_key="none", base_url=url)


def conversation(messages):
    return [{"role": ("user", "assistant")[place % 2], "content": "is it metered?"} for place in range(messages)]


def with_tools(turns):
    said = conversation(1)
    for turn in range(turns):
        asked = {"id": f"call_{turn}", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        said.append({"role": "assistant", "content": None, "tool_calls": [asked]})
        said.append({"role": "tool", "tool_call_id": asked["id"], "content": "metered"})
    return said


def first_without(call):
    """Return, for each attribute, the length of the first conversation whose span lacks it."""
    lacking = dict.fromkeys(("tenant.id", "llm.system", "user.id", "llm.token_count.prompt", "llm.model_name", "openinference.span.kind"))
    for length in range(1, 71):
        spans.clear()
        with using_attributes(user_id="u1"):
            call(length)
        (span,) = spans.get_finished_spans()
        for name in lacking:
            if lacking[name] is None and name not in span.attributes:
                assert span.dropped_attributes > 0
                lacking[name] = length
    return " ".join(str(length or "never") for length in lacking.values())


completions, messages = of_openai.chat.completions, of_anthropic.messages
print("chat:", first_without(lambda length: completions.create(model="gpt-4o", messages=conversation(length))))
print("chat, tools:", first_without(lambda length: completions.create(model="gpt-4o", messages=with_tools(length))))
asked = {"model": "claude-sonnet-4-5", "max_tokens": 9}
print("anthropic:", first_without(lambda length: messages.create(**asked, messages=conversation(length))))
PYTHON
expect() { [ "$2" = "$3" ] || { printf 'CHANGED: %s: expected\n%s\nsaw\n%s\n' "$1" "$3" "$2"; exit 1; }; printf '%s\n%s\n' "$1" "$2"; }
nothing='chat: never never never never never never
chat, tools: never never never never never never
anthropic: never never never never never never'
expect "first span without tenant.id, llm.system, user.id, tokens, model, kind" "$(venv/bin/python calls.py 2>/dev/null)" \
    'chat: 57 57 60 never never never
chat, tools: 16 16 17 never never never
anthropic: 55 56 57 never never never'
expect "with a limit of 10000" "$(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=10000 venv/bin/python calls.py 2>/dev/null)" "$nothing"
expect "without messages" "$(OPENINFERENCE_HIDE_INPUT_MESSAGES=true venv/bin/python calls.py 2>/dev/null)" "$nothing"
echo "as stated"
