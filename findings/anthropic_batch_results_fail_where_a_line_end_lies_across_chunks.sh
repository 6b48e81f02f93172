#!/usr/bin/env bash
# anthropic 2.14.0: reading a batch's results fails where a line's \r\n lies across the 64 KiB that are read at a time.
#
# JSON lines may end with \r\n, and the decoder takes them. One would expect the same however long a line is. Seen, of two lines through
# `client.messages.batches.results`, of which the first has
#
#   65,534 or 65,536 bytes before its end          both lines
#   65,535, so that its \r is the last one read   JSONDecodeError: the line is taken at its \r, and the \n that follows is read as a line of its own
#
# Anthropic's own servers end lines with \n; a proxy or another server of the same API need not.
#
# Why a user of usage metering cares: a batch's usage is known from its results alone. Who stops at the error has paid for answers that are
# neither read nor metered (the wrapper here records the lines that arrived, and a second reading of them counts once).
#
# Fails when this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'anthropic==2.14.0' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import json

import anthropic
import httpx2

BATCH = {"id": "b", "type": "message_batch", "processing_status": "ended", "results_url": "http://x/v1/messages/batches/b/results"}


def lines(length):
    """Two lines, of which the first has `length` bytes before its end."""
    first = {"custom_id": "", "result": {"type": "expired"}}
    first["custom_id"] = "x" * (length - len(json.dumps(first)))
    return b"".join(json.dumps(line).encode() + b"\r\n" for line in (first, {**first, "custom_id": "second"}))


def read(body):
    def answer(request):
        return httpx2.Response(200, content=body) if request.url.path.endswith("/results") else httpx2.Response(200, json=BATCH)

    http = anthropic.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(api_key="x", base_url="http://x", max_retries=0, http_client=http)
    try:
        return len(list(client.messages.batches.results("b")))
    except ValueError as error:
        return type(error).__name__


READ_AT_A_TIME = 64 * 1024
seen = {length: read(lines(length)) for length in (READ_AT_A_TIME - 2, READ_AT_A_TIME - 1, READ_AT_A_TIME)}
for length, outcome in seen.items():
    print(f"{length} bytes before the first line's \\r\\n: {outcome}")
assert [*seen.values()] == [2, "JSONDecodeError", 2], seen
PYTHON
