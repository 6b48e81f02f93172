"""Pydantic AI: the provider of its OpenAI model takes the tracked client."""

import asyncio

import openai
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from usage_metering import AsyncTrackedOpenAI, UsageTracker, usage_context


async def main(tracker: UsageTracker) -> None:
    client = AsyncTrackedOpenAI(openai.AsyncOpenAI(), tracker)
    agent = Agent(OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(openai_client=client)))
    with usage_context(tenant_id="acme", feature="chat"):
        print((await agent.run("How long is a month?")).output)
        async with agent.run_stream("And a year?") as streamed:
            print([text async for text in streamed.stream_text()][-1])


with UsageTracker() as tracker:
    asyncio.run(main(tracker))
