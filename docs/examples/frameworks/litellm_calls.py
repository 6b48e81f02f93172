"""LiteLLM in a product's process: a callback records what its calls used. (A cap needs `client=TrackedOpenAI(…)` on the call.)"""

import time

import litellm

from usage_metering import UsageTracker, litellm_callback, usage_context

MESSAGES = [{"role": "user", "content": "How long is a month?"}]

with UsageTracker() as tracker:
    litellm.callbacks = [litellm_callback(tracker)]
    with usage_context(tenant_id="acme", feature="chat"):
        print(litellm.completion(model="openai/gpt-5-mini", messages=MESSAGES).choices[0].message.content)
        print(litellm.responses(model="openai/gpt-5-mini", input="And a year?").output_text)
    time.sleep(5)  # LiteLLM tells of a call's success a moment later, in a thread of its own
