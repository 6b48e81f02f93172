"""LlamaIndex: its OpenAI model takes the tracked clients."""

import openai
from llama_index.llms.openai import OpenAI

from usage_metering import AsyncTrackedOpenAI, TrackedOpenAI, UsageTracker, usage_context

with UsageTracker() as tracker:
    model = OpenAI(
        model="gpt-5-mini",
        openai_client=TrackedOpenAI(openai.OpenAI(), tracker),
        async_openai_client=AsyncTrackedOpenAI(openai.AsyncOpenAI(), tracker),
    )
    with usage_context(tenant_id="acme", feature="chat"):
        print(model.complete("How long is a month?").text)
        print("".join(piece.delta or "" for piece in model.stream_complete("And a year?")))
