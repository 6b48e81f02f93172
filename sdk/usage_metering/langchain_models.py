"""LangChain's models of OpenAI over tracked clients. LangChain is the product's own: nothing of it is imported here."""

from __future__ import annotations

from typing import Any, TypeVar

from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
from usage_metering.wrapped_call import Guard, Tracker

Model = TypeVar("Model")


def track_langchain(model: Model, tracker: Tracker, guard: Guard | None = None) -> Model:
    """Return a copy of a `ChatOpenAI` or `OpenAIEmbeddings` (or a subclass) whose calls are recorded, and stopped at the cap.

    LangChain keeps up to four clients and makes those that it is not given; each of them is wrapped here, sync and async, with
    all that `TrackedOpenAI` promises of streams, Responses and structured answers.

    Raises:
        TypeError: the model has no clients of openai's, or they are tracked already.
    """
    clients: dict[str, Any] = {}
    for name, wrap in (("client", TrackedOpenAI), ("async_client", AsyncTrackedOpenAI)):
        resource = getattr(model, name, None)
        client = getattr(model, f"root_{name}", None) or getattr(resource, "_client", None)
        if client is None:
            raise TypeError(
                f"{type(model).__name__}.{name} is of no openai client: track_langchain takes ChatOpenAI and OpenAIEmbeddings"
            )
        tracked: Any = wrap(client, tracker, guard)  # type: ignore[arg-type, type-var, unused-ignore]
        clients[name] = tracked.chat.completions if hasattr(model, f"root_{name}") else tracked.embeddings
        if hasattr(model, f"root_{name}"):
            clients[f"root_{name}"] = tracked
    return model.model_copy(update=clients)  # type: ignore[attr-defined, no-any-return]
