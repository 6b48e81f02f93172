"""Each method of the newest openai that sends something is known: metered and guarded, refused under a guard, or free.

A method that a new SDK brings fails here, and so does docs/metered_calls.csv where it does not name what costs money.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai.pagination import SyncPage

from usage_metering import NotMetered
from usage_metering.context import usage_context
from usage_metering.openai_client import AsyncTrackedOpenAI, TrackedOpenAI
from usage_metering.openai_unmetered import UNMETERED, is_unmetered
from usage_metering.openai_usage import OPERATIONS, path_of
from usage_metering.stainless_client import VERBS
from wrapping import RecordingGuard, RecordingTracker

DOCS = Path(__file__).parents[2] / "docs" / "metered_calls.csv"

FREE = {
    *(
        "/audio/voice_consents",
        "/audio/voice_consents/{}",
        "/audio/voices",
        "/content_provenance_checks",
        "/moderations",
    ),
    *("/batches/{}/cancel", "/chat/completions/{}", "/chatkit/sessions/{}/cancel", "/containers/{}/files"),
    *("/agents", "/agents/{}", "/agents/automations/{}", "/agents/automations/{}/pause", "/agents/sessions/{}"),
    *("/agents/environments/{}/files", "/agents/environments/templates", "/agents/environments/templates/{}"),
    *("/vaults", "/vaults/{}", "/vaults/{}/credentials", "/vaults/{}/credentials/{}"),
    *("/assistants", "/assistants/{}", "/threads", "/threads/{}", "/threads/{}/messages", "/threads/{}/messages/{}"),
    *("/threads/{}/runs/{}", "/threads/{}/runs/{}/cancel"),
    *("/conversations", "/conversations/{}", "/conversations/{}/items"),
    *("/evals", "/evals/{}", "/evals/{}/runs/{}/cancel", "/files"),
    *("/fine_tuning/jobs/{}/cancel", "/fine_tuning/jobs/{}/pause", "/fine_tuning/alpha/graders/validate"),
    "/fine_tuning/checkpoints/{}/permissions",
    *("/live/sessions/{}/hangup", "/live/sessions/{}/refer", "/live/sessions/{}/reject"),
    *("/realtime/calls/{}/hangup", "/realtime/calls/{}/refer", "/realtime/calls/{}/reject"),
    *("/responses/{}/cancel", "/responses/input_tokens"),
    *("/skills", "/skills/{}", "/skills/{}/versions"),
    *("/uploads", "/uploads/{}/cancel", "/uploads/{}/complete", "/uploads/{}/parts"),
    *("/vector_stores/{}", "/vector_stores/{}/search", "/vector_stores/{}/files/{}"),
    "/vector_stores/{}/file_batches/{}/cancel",
    *("/webhook_endpoints", "/webhook_endpoints/{}"),
    *("/webhook_endpoints/{}/rotate_secret", "/webhook_endpoints/{}/test"),
}
"""Paths of POST requests that cost nothing by themselves. What the admin API does (`admin.…`) costs nothing either."""


def methods(kind: type, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods of a client's resources, with dotted names."""
    for name in sorted(dir(kind)):
        found = inspect.getattr_static(kind, name)
        if name.startswith(("_", "with_")) or f"{prefix}{name}" == "admin":
            continue
        if inspect.isfunction(found):
            if prefix:
                yield prefix + name, found
        elif hasattr(found, "func"):
            yield from methods(returned(found.func), f"{prefix}{name}.")


def returned(getter: Callable[..., Any]) -> type:
    """The class of a resource, by the getter's annotation."""
    name = str(inspect.signature(getter).return_annotation)
    known = getattr(inspect.getmodule(getter), name, None)
    if known is None:
        imported = re.search(rf"from (\.[\w.]+) import {name}", inspect.getsource(getter))
        assert imported is not None, getter
        known = getattr(importlib.import_module(imported[1], "openai"), name)
    assert isinstance(known, type)
    return known


@cache
def posted() -> dict[str, str]:
    """Method -> path of what it posts. Not at import, when every worker of the suite would look for them."""
    found = {}
    for name, method in methods(openai.OpenAI):
        source = inspect.getsource(method)
        if "self._post(" in source or 'method="post"' in source:
            sent = source.partition("self._post(")[2] or source
            path = re.search(r'"(/[^"\s]*)"', sent)
            assert path is not None, name
            found[name] = re.sub(r"\{\w+\}", "{}", path_of(path[1]))
    return found


def sockets() -> list[str]:
    """The methods that open a WebSocket."""
    return sorted(name for name, _ in methods(openai.OpenAI) if name.endswith(".connect"))


def test_every_method_that_sends_something_is_known() -> None:
    assert len(posted()) > 80
    known = {*OPERATIONS, *UNMETERED, *FREE}
    assert {name: path for name, path in posted().items() if path not in known} == {}, "does it cost money?"
    assert not {*OPERATIONS, *UNMETERED} & FREE
    assert not [path for path in FREE if is_unmetered("POST", path.replace("{}", "x"))]
    # Of an older SDK: nothing that the newest one has any more.
    assert {*UNMETERED, *FREE, *OPERATIONS} == {*posted().values()}


def test_whatever_the_client_sends_goes_through_its_request() -> None:
    """A way of sending that a new SDK brings fails here."""

    def calling(kind: type, what: str) -> set[str]:
        own = [(name, method) for name, method in vars(kind).items() if inspect.isfunction(method)]
        return {name for name, method in own if re.search(rf"self\.{what}\(", inspect.getsource(method))}

    for kind in (SyncAPIClient, AsyncAPIClient):
        assert {"_request_api_list"} | calling(kind, "(?:_?request|_request_api_list)") == {*VERBS}
        assert calling(kind, r"_(?:client\.send|send_request)") <= {"request", "_send_request"}


def test_no_other_method_sends_on_a_way_of_its_own() -> None:
    ways = re.compile(r"self\._client\.(?:request|_request|post)\b|httpx2?\.(?:post|Client|request)|websockets\.")
    assert [name for name, method in methods(openai.OpenAI) if ways.search(inspect.getsource(method))] == []


def table() -> dict[str, str]:
    """Method -> what docs/metered_calls.csv says of it."""
    rows = csv.DictReader(DOCS.read_text().splitlines())
    return {row["call"]: f"{row['metered']}, {row['with a guard']}" for row in rows if row["sdk"] == "openai"}


def test_the_docs_name_what_costs_money() -> None:
    expected = {name: "yes, room is reserved" for name, path in posted().items() if path in OPERATIONS}
    expected |= {name: "no, refused" for name, path in posted().items() if path in UNMETERED}
    expected |= dict.fromkeys(sockets(), "no, refused")
    assert table() == expected


@pytest.mark.parametrize("path", UNMETERED)
def test_a_guarded_client_refuses_what_it_cannot_meter(path: str) -> None:
    sent: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url.path)
        return httpx2.Response(200, json={})

    client = openai.OpenAI(
        api_key="sk-x", http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    )
    requested = path.replace("{}", "x") + "?beta=true"
    guarded: Any = TrackedOpenAI(client, RecordingTracker(), RecordingGuard())
    for send in (guarded.post, guarded.put, guarded.patch, partial(guarded.get_api_list, model=object, method="post")):
        how = {"page": SyncPage} if isinstance(send, partial) else {"cast_to": object}
        with pytest.raises(NotMetered, match="is not metered, so no cap holds for it"):
            send(requested, **how)
    assert sent == []
    TrackedOpenAI(client, RecordingTracker()).post(requested, cast_to=object)
    assert len(sent) == 1


def azure(kind: Any) -> Any:
    return kind(api_key="x", azure_endpoint="http://127.0.0.1:9", api_version="1")


def test_a_guarded_client_opens_no_websocket() -> None:
    guard = RecordingGuard()
    client: Any = TrackedOpenAI(openai.OpenAI(api_key="sk-x", base_url="http://127.0.0.1:9"), RecordingTracker(), guard)
    later: Any = AsyncTrackedOpenAI(
        openai.AsyncOpenAI(api_key="sk-x", base_url="http://127.0.0.1:9"), RecordingTracker(), guard
    )
    on_azure: Any = TrackedOpenAI(azure(openai.AzureOpenAI), RecordingTracker(), guard)

    def connect(one: Any, name: str) -> Any:
        for part in name.split("."):
            one = getattr(one, part)
        wanted = inspect.signature(one).parameters
        return one(**{key: "x" for key in ("model", "session_id", "call_id", "fork_id") if key in wanted})

    async def connect_later(name: str) -> None:
        async with connect(later, name):
            pass

    names = sockets()
    assert names
    with usage_context(tenant_id="acme"):
        for name in names:
            for one in (client, on_azure):
                with pytest.raises(NotMetered), connect(one, name):
                    pass
            with pytest.raises(NotMetered):
                asyncio.run(connect_later(name))
    # Others that open a WebSocket with the client ask for its address, too.
    with pytest.raises(NotMetered):
        _ = client.websocket_base_url
    assert TrackedOpenAI(openai.OpenAI(api_key="sk-x"), RecordingTracker()).websocket_base_url is None
