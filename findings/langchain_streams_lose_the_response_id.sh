#!/usr/bin/env bash
# langchain-openai 1.7.4 (langchain-core 1.8.3) on openai 3.57.0: a streamed answer reaches callbacks with its tokens, without the response's id.
#
# Each chunk of a chat completion's stream has the id that the whole answer has, and an answer that is not streamed has it in
# `response_metadata["id"]` and in `llm_output["id"]`. One would expect a callback's `on_llm_end` to find it in both ways of calling. What was
# seen against a local server that says id chatcmpl-1, 100 input and 20 output tokens each time (message, generation and llm_output searched):
#
#   invoke, ainvoke                      chatcmpl-1    100 + 20 tokens
#   stream, astream                      no id         100 + 20 tokens
#   invoke, with streaming=True          no id         100 + 20 tokens
#
# The message has an id of LangChain's own (`lc_run--…`) in all of them.
#
# Why a user of usage metering cares: the response's id is what makes a call that is also seen elsewhere (a wrapped client, a span, a
# gateway's log, a retry of the delivery) count once. A callback handler that keys its records by it has none for streams, which is how
# most products with a chat call their models; keyed by the run's id, the same answer counts twice. What helps: meter at the client
# below LangChain, which sees the chunks, and pass that client to it.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'langchain-openai==1.7.4' 'langchain-core==1.8.3' 'openai==3.57.0' 2>/dev/null
cat >calls.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI

RESPONSE_ID = "chatcmpl-1"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
COMMON = {"id": RESPONSE_ID, "created": 1, "model": "gpt-4o-2024-08-06"}
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


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
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


class Seen(BaseCallbackHandler):
    """Notes of each answer the tokens, and whether the response's id is anywhere in what the handler is given."""

    def on_llm_end(self, response, **_):
        told = response.generations[0][0].message.usage_metadata
        has_id = RESPONSE_ID in json.dumps(response.model_dump(), default=str)
        seen.append((has_id, told["input_tokens"], told["output_tokens"]))


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
seen = []
usual = {
    "model": "gpt-4o", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "k", "callbacks": [Seen()],
    "stream_usage": True,
}
model = ChatOpenAI(**usual)


async def asynchronously():
    await model.ainvoke("x")
    async for _ in model.astream("x"):
        pass


model.invoke("x")
for _ in model.stream("x"):
    pass
asyncio.run(asynchronously())
ChatOpenAI(**usual, streaming=True).invoke("x")
ways = ("invoke", "stream", "ainvoke", "astream", "invoke, streaming=True")
for way, (has_id, sent, received) in zip(ways, seen, strict=True):
    print(f"{way:24} {'id' if has_id else 'no id':6} {sent} + {received} tokens")
whole, streamed = (True, 100, 20), (False, 100, 20)
assert seen == [whole, streamed, whole, streamed, streamed], seen
PYTHON
LANGSMITH_TRACING=false venv/bin/python calls.py
echo "as stated: a streamed answer's callbacks see its tokens and not its id"
