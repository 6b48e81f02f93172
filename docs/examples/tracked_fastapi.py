"""A FastAPI application whose calls count for the tenant of the request, wherever they are made."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
from fastapi import BackgroundTasks, Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from usage_metering import (
    TrackedOpenAI,
    UsageContextMiddleware,
    UsageTracker,
    carry_context,
    set_usage_context,
    usage_context,
)

tracker = UsageTracker()
ai = TrackedOpenAI(openai.OpenAI(), tracker)
app = FastAPI()
app.add_middleware(UsageContextMiddleware)
pool = carry_context(ThreadPoolExecutor(4))


def tenant(x_tenant: str = Header()) -> Iterator[str]:
    set_usage_context(tenant_id=x_tenant)  # not `with usage_context`: it would stay in the dependency's thread
    yield x_tenant


def ask(question: str, feature: str) -> str:
    with usage_context(feature=feature):
        answer = ai.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


@app.get("/answer", dependencies=[Depends(tenant)])
def answer_now(tasks: BackgroundTasks) -> str:
    tasks.add_task(ask, "Anything else?", "in the background")
    second = pool.submit(ask, "In a pool?", "in a pool")
    return ask("Now?", "in the handler") + second.result()


@app.get("/stream", dependencies=[Depends(tenant)])
def answer_slowly() -> StreamingResponse:
    def pieces() -> Iterator[str]:
        yield ask("Slowly?", "in a stream")

    return StreamingResponse(pieces())
