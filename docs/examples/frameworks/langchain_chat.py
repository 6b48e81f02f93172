"""LangChain: a chat model whose calls are recorded and stopped at the cap, whatever chain it stands in."""

from langchain_openai import ChatOpenAI

from usage_metering import UsageTracker, track_langchain, usage_context

with UsageTracker() as tracker:
    model = track_langchain(ChatOpenAI(model="gpt-5-mini"), tracker)
    with usage_context(tenant_id="acme", feature="chat"):
        print(model.invoke("How long is a month?").content)
        print("".join(str(piece.content) for piece in model.stream("And a year?")))
