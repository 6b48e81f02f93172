#!/usr/bin/env bash
# langchain-core 1.8.3 (langchain-openai 1.7.4 on openai 3.57.0): an answer from LangChain's cache is counted as used, each time.
#
# With `set_llm_cache` a question that was asked before is answered without a request. LangChain's word for it is `total_cost` 0 in the message's
# `usage_metadata`; the tokens stay there. One would expect LangChain's own counter, and spans, to see no usage. What was seen of
# three times the same question, one request, 100 input and 20 output tokens billed:
#
#                                                          invoke                          invoke of a model with streaming=True
#   requests at the server                                 1                               1
#   get_usage_metadata_callback()                          300 + 60 tokens                 300 + 60 tokens
#   spans of openinference-instrumentation-langchain       3 of 100 + 20                   3 of 100 + 20
#     0.1.80, kind LLM
#   spans of opentelemetry-instrumentation-langchain       3 of 100 + 20, the first        3 of 100 + 20, none with a response id
#     0.62.4 (OpenLLMetry's)                                with a response id
#
# The counter keeps the 0 as well: `total_cost` 0 beside the 360 tokens, one request of which was paid for. An attribute that tells a cached answer
# from a paid one was not found on either span, but OpenInference's dump of the whole answer (`output.value`) has the `total_cost`, unless outputs are hidden.
#
# Why a user of usage metering cares: a cache is put in to save money, and where callbacks or spans are the meter, tenants pay for each hit and
# caps fill with what was never used; the better the cache, the further the figures are from the provider's. What helps: to meter
# at the client below LangChain, which sees requests alone; of messages, to leave out those whose usage_metadata has a total_cost of 0.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'langchain-core==1.8.3' 'langchain-openai==1.7.4' 'openai==3.57.0' \
    'openinference-instrumentation==0.1.72' 'openinference-instrumentation-langchain==0.1.80' 'opentelemetry-instrumentation-langchain==0.62.4' \
    'opentelemetry-sdk==1.45.2' 2>/dev/null
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
if sys.argv[1] == "openinference":
    from openinference.instrumentation.langchain import LangChainInstrumentor as Instrumentor
else:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor as Instrumentor
spans, tracing = InMemorySpanExporter(), TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(spans))
Instrumentor().instrument(tracer_provider=tracing)
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

MODEL = "gpt-4o-2024-08-06"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
COMMON = {"id": "chatcmpl-1", "created": 1, "model": MODEL}
WHOLE = {
    **COMMON, "object": "chat.completion", "usage": USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
}
CHUNKS = [
    {**COMMON, "object": "chat.completion.chunk", "choices": choices, **usage}
    for choices, usage in (
        ([{"index": 0, "delta": {"role": "assistant", "content": "yes"}, "finish_reason": None}], {}),
        ([{"index": 0, "delta": {}, "finish_reason": "stop"}], {}),
        ([], {"usage": USAGE}),
    )
]
requests = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        requests.append(asked)
        if asked.get("stream"):
            kind = "text/event-stream"
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
        else:
            kind, text = "application/json", json.dumps(WHOLE)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
inputs, outputs = ("gen_ai.usage.input_tokens", "llm.token_count.prompt"), ("gen_ai.usage.output_tokens", "llm.token_count.completion")
for streaming in (False, True):
    requests.clear()
    spans.clear()
    set_llm_cache(InMemoryCache())
    model = ChatOpenAI(
        model="gpt-4o", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", stream_usage=True, streaming=streaming
    )
    with get_usage_metadata_callback() as counter:
        costs = [model.invoke("is it metered?").usage_metadata.get("total_cost") for _ in range(3)]
    counted = counter.usage_metadata[MODEL]
    print(f"streaming={streaming}: {len(requests)} request, total_cost {costs}")
    print(f"  counter {counted['input_tokens']}+{counted['output_tokens']}, total_cost {counted.get('total_cost')}")
    for span in spans.get_finished_spans():
        sent, received = (next(span.attributes[name] for name in names if name in span.attributes) for names in (inputs, outputs))
        names = set(span.attributes) - {"input.value", "output.value"}
        tells = sorted(name for name in names if "cache" in name or "cost" in name)
        print(f"  span {sent}+{received}, id {span.attributes.get('gen_ai.response.id')}, tells {tells}")
PYTHON
expect() { [ "$2" = "$3" ] || { printf 'CHANGED: %s: expected\n%s\nsaw\n%s\n' "$1" "$3" "$2"; exit 1; }; printf '%s\n%s\n' "$1" "$2"; }
seen() { LANGSMITH_TRACING=false TRACELOOP_TRACE_CONTENT=false venv/bin/python calls.py "$1" 2>/dev/null; }
expect openinference "$(seen openinference)" 'streaming=False: 1 request, total_cost [None, 0, 0]
  counter 300+60, total_cost 0
  span 100+20, id None, tells []
  span 100+20, id None, tells []
  span 100+20, id None, tells []
streaming=True: 1 request, total_cost [None, 0, 0]
  counter 300+60, total_cost 0
  span 100+20, id None, tells []
  span 100+20, id None, tells []
  span 100+20, id None, tells []'
expect openllmetry "$(seen openllmetry)" 'streaming=False: 1 request, total_cost [None, 0, 0]
  counter 300+60, total_cost 0
  span 100+20, id chatcmpl-1, tells []
  span 100+20, id None, tells []
  span 100+20, id None, tells []
streaming=True: 1 request, total_cost [None, 0, 0]
  counter 300+60, total_cost 0
  span 100+20, id None, tells []
  span 100+20, id None, tells []
  span 100+20, id None, tells []'
echo "as stated"
