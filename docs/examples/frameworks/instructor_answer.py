"""Instructor: each try of a structured answer is a call, and an event."""

import instructor
import openai
import pydantic

from usage_metering import TrackedOpenAI, UsageTracker, usage_context


class Month(pydantic.BaseModel):
    name: str


with UsageTracker() as tracker:
    client = instructor.from_openai(TrackedOpenAI(openai.OpenAI(), tracker))
    with usage_context(tenant_id="acme", feature="chat"):
        for question in ("Which month is this?", "And the next one?"):
            messages = [{"role": "user", "content": question}]
            print(client.chat.completions.create(model="gpt-5-mini", response_model=Month, messages=messages).name)
