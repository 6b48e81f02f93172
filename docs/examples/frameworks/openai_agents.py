"""OpenAI Agents: the default client is the tracked one; each turn of an agent is a call, and an event."""

import asyncio

import openai
from agents import Agent, Runner, set_default_openai_client

from usage_metering import AsyncTrackedOpenAI, UsageTracker, usage_context


async def main(tracker: UsageTracker) -> None:
    set_default_openai_client(AsyncTrackedOpenAI(openai.AsyncOpenAI(), tracker), use_for_tracing=False)
    agent = Agent(name="Calendar", model="gpt-5-mini")
    with usage_context(tenant_id="acme", feature="chat"):
        print((await Runner.run(agent, "How long is a month?")).final_output)
        streamed = Runner.run_streamed(agent, "And a year?")
        async for _ in streamed.stream_events():
            pass
        print(streamed.final_output)


with UsageTracker() as tracker:
    asyncio.run(main(tracker))
