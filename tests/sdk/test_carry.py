"""The context goes where the work goes: threads, pools, dependencies, background tasks, streams, other processes' tasks."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import openai
import pytest
import sendgrid
import twilio.rest
from fastapi import BackgroundTasks, Depends, FastAPI, Header
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from usage_metering import (
    AsyncTrackedOpenAI,
    TenantRequired,
    TrackedOpenAI,
    TrackedSendGrid,
    TrackedTwilio,
    UsageContextMiddleware,
    WSGIUsageContextMiddleware,
    carry_context,
    connect_celery,
    set_usage_context,
    usage_context,
)
from usage_metering.celery_signals import HEADER
from usage_metering.context import Context, current
from usage_metering.unnamed import Reminder
from usage_metering.wrapped_call import Call
from wrapping import RecordingTracker


def whose(_: object = None) -> str | None:
    return current().tenant_id


# Threads, pools, streams


def test_an_executor_gives_each_task_the_context_it_was_submitted_in() -> None:
    with ThreadPoolExecutor(1) as pool:
        carrying = carry_context(pool)
        with usage_context(tenant_id="acme"):
            first, mapped = carrying.submit(whose), carrying.map(whose, [1, 2])
        with usage_context(tenant_id="boreal"):
            second = carrying.submit(whose)
        assert [first.result(), *mapped, second.result()] == ["acme", "acme", "acme", "boreal"]
        assert pool.submit(whose).result() is None  # nothing stays behind in the thread


def test_an_event_loops_executor_and_another_process() -> None:
    async def ask(pool: Any) -> str | None:
        with usage_context(tenant_id="acme"):
            return await asyncio.get_running_loop().run_in_executor(pool, whose)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(ask(carry_context(pool))) == "acme"
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as processes,
        usage_context(tenant_id="acme", metadata={"x": 1}),
    ):
        assert carry_context(processes).submit(whose).result(30) == "acme"


def test_a_function_and_a_coroutine() -> None:
    seen: list[str | None] = []

    async def later() -> str | None:
        await asyncio.sleep(0)
        return whose()

    with usage_context(tenant_id="acme"):
        thread = threading.Thread(target=carry_context(lambda: seen.append(whose())))
        carried = carry_context(later)
    thread.start()
    thread.join()
    assert seen == ["acme"]
    assert asyncio.run(carried()) == "acme"
    assert asyncio.iscoroutinefunction(carried.__call__)
    with pytest.raises(TypeError, match="an executor, a function or an iterator, not int"):
        carry_context(3)  # type: ignore[call-overload]


def test_a_stream_that_is_read_later() -> None:
    def pieces() -> Iterator[Any]:
        yield whose()
        with usage_context(feature="inner"):
            yield None
            yield current().feature, whose()
        yield current().feature, whose()

    async def later() -> AsyncIterator[Any]:
        for piece in pieces():
            yield piece

    async def read(stream: AsyncIterator[Any]) -> list[Any]:
        return [piece async for piece in stream]

    with usage_context(tenant_id="acme"):
        stream, asynchronous = carry_context(pieces()), carry_context(later())
        make, make_asynchronous = carry_context(pieces), carry_context(later)
    expected = ["acme", None, ("inner", "acme"), (None, "acme")]
    with usage_context(tenant_id="boreal"):
        assert list(stream) == expected
        assert asyncio.run(read(asynchronous)) == expected
        assert list(make()) == expected
        assert asyncio.run(read(make_asynchronous())) == expected
        assert whose() == "boreal"


# Web requests


@pytest.fixture(params=["dependency", "scope"])
def client(request: pytest.FixtureRequest) -> Iterator[tuple[TestClient, dict[str, str | None]]]:
    """An application whose tenant is told by a dependency that runs in a thread, or by the request itself."""
    seen: dict[str, str | None] = {}
    in_dependency = request.param == "dependency"
    app = FastAPI()
    names = None if in_dependency else lambda scope: {"tenant_id": dict(scope["headers"])[b"x-tenant"].decode()}
    app.add_middleware(UsageContextMiddleware, names=names)
    pool = carry_context(ThreadPoolExecutor(2))

    def tenant(x_tenant: str = Header()) -> Iterator[None]:
        if in_dependency:
            set_usage_context(tenant_id=x_tenant)
        yield

    def note(where: str) -> None:
        seen[where] = whose()

    def pieces() -> Iterator[str]:
        note("stream")
        yield "a"
        note("stream goes on")
        yield "b"

    async def later() -> AsyncIterator[str]:
        note("asynchronous stream")
        yield "c"

    @app.get("/work", dependencies=[Depends(tenant)])
    def work(tasks: BackgroundTasks) -> None:
        note("handler in a thread")
        pool.submit(note, "pool").result()
        tasks.add_task(note, "background")

    @app.get("/async", dependencies=[Depends(tenant)])
    async def asynchronous() -> StreamingResponse:
        note("handler")
        return StreamingResponse(later())

    @app.get("/stream", dependencies=[Depends(tenant)])
    def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    with TestClient(app) as client:
        yield client, seen


def test_a_requests_work_is_its_tenants(client: tuple[TestClient, dict[str, str | None]]) -> None:
    http, seen = client
    for tenant in ("acme", "boreal"):
        with usage_context(tenant_id="outer"):
            for path in ("/work", "/async", "/stream"):
                assert http.get(path, headers={"x-tenant": tenant}).status_code == 200
        assert len(seen) == 7
        assert set(seen.values()) == {tenant}, seen
    assert whose() is None


def test_a_request_that_does_not_say_whose_it_is_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/")
    def handler() -> str | None:
        return whose()

    def names(scope: Any) -> dict[str, Any]:
        return {"tenant_id": scope["path_params"]["tenant"]}

    app.add_middleware(UsageContextMiddleware, names=names)
    assert TestClient(app).get("/").json() is None
    assert "the tenant of a request could not be determined" in caplog.text
    with pytest.raises(RuntimeError, match="add UsageContextMiddleware"):
        set_usage_context(tenant_id="acme")


def test_metadata_that_are_none_do_not_stop_a_request(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return [str(whose()).encode()]

    names = {"tenant_id": "acme", "metadata": "no mapping"}
    assert WSGIUsageContextMiddleware(application, lambda _: names)({}, lambda *_: None) == [b"acme"]
    assert "metadata is str, not a mapping" in caplog.text


def test_a_call_keeps_the_tenant_it_began_with() -> None:
    """A request's tenant that is told anew does not move what was begun before."""
    tracker = RecordingTracker()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        set_usage_context(tenant_id="acme")
        call = Call(tracker, None)
        set_usage_context(tenant_id="boreal", feature="late")
        call.finish(units=1, service="openai", operation="chat_completion")
        return []

    WSGIUsageContextMiddleware(application)({}, lambda *_: None)
    assert tracker.only["tenant_id"] == "acme"
    assert "feature" not in tracker.only


def test_wsgi_has_its_context_until_its_answer_is_read() -> None:
    seen: list[tuple[str | None, str | None]] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        def body() -> Iterator[bytes]:
            try:
                seen.append((whose(), current().feature))
                set_usage_context(feature="told late")
                yield b"a"
                seen.append((whose(), current().feature))
                yield b"b"
            finally:
                seen.append((whose(), current().feature))

        return body()

    wrapped = WSGIUsageContextMiddleware(application, lambda environ: {"tenant_id": environ["tenant"]})
    answer = wrapped({"tenant": "acme"}, lambda *_: None)
    with usage_context(tenant_id="of another request"):
        assert list(answer) == [b"a", b"b"]
        assert whose() == "of another request"
        cut = iter(wrapped({"tenant": "boreal"}, lambda *_: None))
        assert next(cut) == b"a"
    assert seen[:4] == [("acme", None), ("acme", "told late"), ("acme", "told late"), ("boreal", None)]
    assert whose() is None


# Celery


class Signal:
    def __init__(self) -> None:
        self.receivers: list[Callable[..., None]] = []

    def connect(self, receiver: Callable[..., None], weak: bool = True, dispatch_uid: str | None = None) -> None:
        assert not weak
        self.receivers.append(receiver)

    def send(self, **fields: Any) -> None:
        for receiver in self.receivers:
            receiver(signal=self, **fields)


def test_a_celery_task_runs_for_whom_it_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    signals = SimpleNamespace(before_task_publish=Signal(), task_prerun=Signal(), task_postrun=Signal())
    connect_celery(signals)
    headers: dict[str, Any] = {"id": "t1"}
    with usage_context(tenant_id="acme", feature="mail", metadata={"x": 1}):
        signals.before_task_publish.send(sender="task", headers=headers)
    unnamed: dict[str, Any] = {}
    signals.before_task_publish.send(sender="task", headers=unnamed)
    assert unnamed == {}

    def run(sent: dict[str, Any], task_id: str = "t1") -> Context:
        task = SimpleNamespace(request=SimpleNamespace(**sent))
        signals.task_prerun.send(task_id=task_id, task=task)
        context = current()
        signals.task_postrun.send(task_id=task_id, task=task)
        return context

    sent = json.loads(json.dumps(headers))
    assert run(sent) == Context("acme", "mail", metadata={"x": 1})
    assert run({"headers": sent}) == Context("acme", "mail", metadata={"x": 1})
    assert current() == Context()
    with usage_context(tenant_id="caller"):  # run at once, in the caller's own process
        assert run({"headers": None}).tenant_id == "caller"
    assert run({HEADER: "{no json"}) == Context()
    assert "cannot be read: JSONDecodeError" in caplog.text


# Nobody's


def test_calls_without_a_tenant_are_told_once_a_minute_by_kind(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    reminder = Reminder(every=60, clock=lambda: now[0])
    for _ in range(3):
        reminder.warn("twilio_sms outbound")
    reminder.warn("openai embedding")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "twilio_sms outbound: no tenant is named" in caplog.messages[0]
    now[0] = 61
    reminder.warn("twilio_sms outbound")
    assert "(2 more since the last warning)" in caplog.messages[2]
    for number in range(1000):
        reminder.warn(f"internal {number}")
    assert len(caplog.messages) < 110
    assert "other calls: no tenant is named" in caplog.text


def test_a_tracker_that_requires_a_tenant_stops_the_call_before_it_is_sent() -> None:
    tracker = RecordingTracker()
    tracker.require_tenant = True  # type: ignore[attr-defined]
    with pytest.raises(TenantRequired, match=r"no tenant is named.*carry_context"):
        Call(tracker, None)
    with usage_context(tenant_id="acme"):
        Call(tracker, None).finish(units=1, service="internal")
    assert tracker.only["tenant_id"] == "acme"


def nowhere(tracker: RecordingTracker) -> list[Callable[[], Any]]:
    """Calls of the wrapped clients that, if they were sent, would find nobody there."""
    host = "http://127.0.0.1:9"
    ai = TrackedOpenAI(openai.OpenAI(api_key="k", base_url=host, max_retries=0), tracker)
    asynchronous = AsyncTrackedOpenAI(openai.AsyncOpenAI(api_key="k", base_url=host, max_retries=0), tracker)
    phone = TrackedTwilio(twilio.rest.Client("AC1", "token"), tracker)
    phone.api.base_url = host
    mailer = TrackedSendGrid(sendgrid.SendGridAPIClient("k", host=host), tracker)
    return [
        lambda: ai.embeddings.create(model="m", input="x"),
        lambda: asyncio.run(asynchronous.responses.create(model="m", input="x")),
        lambda: phone.messages.create(to="+12065550100", from_="+12065550101", body="x"),
        lambda: mailer.client.mail.send.post(request_body={"personalizations": []}),
    ]


@pytest.mark.parametrize("number", range(4))
def test_nothing_is_sent_for_nobody(number: int) -> None:
    tracker = RecordingTracker()
    tracker.require_tenant = True  # type: ignore[attr-defined]
    with pytest.raises(TenantRequired):
        nowhere(tracker)[number]()
    assert not tracker.events
