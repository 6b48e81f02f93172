"""`TrackedOpenAI` and `AsyncTrackedOpenAI`: a product's own OpenAI client, with every paid call recorded.

The hook is the one method that everything is sent with, `request`: create, parse, the stream helpers,
`with_raw_response`, `with_streaming_response`, `post` and its like, and copies made by `with_options` all come through
it, after retries, once. openai itself is the user's and is not imported here.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MethodType
from typing import TYPE_CHECKING, Any

from usage_metering import openai_stream
from usage_metering.openai_host import server_of, warn_of_host
from usage_metering.openai_unmetered import SENDS, SOCKETS, is_unmetered
from usage_metering.openai_usage import (
    DEFAULT_MAX_OUTPUT,
    OPERATIONS,
    StreamedResponse,
    path_of,
    response_of,
    tokens_to_reserve,
    usage_of,
    value,
)
from usage_metering.wrapped_call import (
    Call,
    Guard,
    NotMetered,
    Tracker,
    check_wrapping,
    measured,
    metering_scope,
    off_loop,
)

if TYPE_CHECKING:
    import openai

log = logging.getLogger("metering.tracking")

RAW_HEADER = "X-Stainless-Raw-Response"
"""The SDK's own: "true" answers with the response and its headers, "stream" with a response that is not read yet."""
CARRIER = "X-Usage-Metering"
"""Takes ``metering=`` from the method to `request`, where it is taken off again: it is never sent."""
_VERBS = ("post", "put", "patch", "get", "delete", "get_api_list", "_request_api_list")
"""The client's methods that send with its `request`."""

_TAKES_METERING = ("create", "parse", "stream", "compact")
_METERED_RESOURCES: dict[str, tuple[str, ...]] = {
    "chat": ("completions",),
    "completions": ("",),
    "responses": ("",),
    "embeddings": ("",),
    "decisions": ("",),
    "beta": ("chat.completions", "responses"),
}
"""A client's attribute -> those of its resources ("": itself) whose methods take ``metering=``."""
BACKGROUND_CALLS_KEPT = 10_000
_FOR_ASYNC = "AsyncTrackedOpenAI is for openai.AsyncOpenAI"
_FOR_SYNC = "TrackedOpenAI is for openai.OpenAI"


class _Carried(str):
    """A header's value that carries a call's metering."""

    metering: object = None


@dataclass
class _Sending:
    """One metered request: how it is to be sent, and what it is about."""

    path: str
    request: Mapping[str, Any]
    metering: object
    raw: str | None
    streams: bool
    hides_usage: bool
    options: Any
    """The SDK's `FinalRequestOptions`, as they are to be sent."""
    call: Call | None = None
    """Of a response that was put off: the call that made it, of which more is asked for here."""

    @property
    def is_put_off(self) -> bool:
        return bool(self.request.get("background"))


@dataclass
class _Origin:
    """What an answer's headers say about it. Not the response itself: a stream is settled when that is forgotten."""

    request_id: str | None = None
    project: str | None = None

    @classmethod
    def of(cls, response: Any) -> _Origin:
        headers = getattr(response, "headers", {})
        requested = getattr(getattr(response, "request", None), "headers", {})
        return cls(headers.get("x-request-id"), headers.get("openai-project") or requested.get("openai-project"))


class _Meter:
    """What a client and its copies share."""

    def __init__(self, tracker: Tracker, guard: Guard | None) -> None:
        self.tracker = tracker
        self.guard = guard
        self.background: OrderedDict[str, _Pending] = OrderedDict()


@dataclass
class _Pending:
    """A response that the provider works on in the background: what it used is known when it is fetched."""

    call: Call
    sending: _Sending


class _Client:
    """A view of the user's client: everything is the client's own, but `request`."""

    _is_async = False

    def __init__(self, client: Any, tracker: Tracker, guard: Guard | None = None) -> None:
        wraps, hint = ("AsyncOpenAI", _FOR_SYNC) if self._is_async else ("OpenAI", _FOR_ASYNC)
        check_wrapping(self, client, tracker, guard, ("openai", wraps), hint)
        warn_of_host(server_of(client))
        _own(self, "_metered_client", client)
        _own(self, "_meter", _Meter(tracker, guard))
        _own(self, "_resources", {})

    @property  # type: ignore[misc]  # typeshed: it may be set; nobody does
    def __class__(self) -> type:
        # So that isinstance(tracked, openai.OpenAI) holds; type(tracked) tells the truth.
        return type(self._metered_client)

    def __getattr__(self, name: str) -> Any:
        if name in ("_metered_client", "_meter", "_resources"):
            raise AttributeError(name)  # not made yet (copy, pickle)
        if name in SOCKETS and self._meter.guard is not None:
            raise NotMetered("what goes through a WebSocket")
        attribute = getattr(self._metered_client, name)
        if name in _VERBS and getattr(attribute, "__self__", None) is self._metered_client:
            # The client's own method, with this as its self: it sends with the `request` here.
            return MethodType(attribute.__func__, self)
        if getattr(attribute, "_client", None) is not self._metered_client:
            return attribute
        # A resource sends with the methods of the client that it was made of: make it of this one.
        known, rebuilt = self._resources.get(name, (None, None))
        if known is not attribute:
            rebuilt = type(attribute)(self)
            for inner in _METERED_RESOURCES.get(name, ()):
                try:
                    _take_metering(attrgetter(inner)(rebuilt) if inner else rebuilt)
                except AttributeError:
                    continue  # an older SDK does not have it
            self._resources[name] = (attribute, rebuilt)
        return rebuilt

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._metered_client, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._metered_client, name)

    def __dir__(self) -> list[str]:
        return dir(self._metered_client)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._metered_client!r}>"

    def with_options(self, *args: Any, **options: Any) -> Any:
        """As the client's: a copy with other options, metered as this one."""
        other = type(self)(self._metered_client.with_options(*args, **options), self._meter.tracker, self._meter.guard)
        _own(other, "_meter", self._meter)
        return other

    copy = with_options

    def _sending(self, options: Any, metering: object, *, streams: bool) -> _Sending | None:
        """How to send this request; None where it is not metered.

        Args:
            options: the SDK's `FinalRequestOptions`; they stay as they are.

        Raises:
            NotMetered: it costs money all the same, and there is a guard.
        """
        method = str(options.method).upper()
        path = path_of(str(options.url), str(getattr(self._metered_client, "base_url", "")))
        pending = self._meter.background.get(response_of(method, path) or "")
        if self._meter.guard is not None and is_unmetered(method, path):
            raise NotMetered(f"{method} {path}")
        if pending is None and (method not in SENDS or path not in OPERATIONS):
            return None
        options = copy.copy(options)
        body, extra = dict(_sent_options(options)), dict(_mapping(options.extra_json))
        request = {**body, **extra}
        is_json, hides_usage = isinstance(options.json_data, Mapping), False
        if streams and path in ("/chat/completions", "/completions"):
            streaming = dict(_mapping(request.get("stream_options")))
            hides_usage = not streaming.get("include_usage")
            if hides_usage and (is_json or extra):
                target = body if is_json and "stream_options" not in extra else extra
                target["stream_options"] = {**streaming, "include_usage": True}
        if is_json:
            options.json_data = body
        if extra:
            options.extra_json = extra
        headers = _mapping(options.headers)
        raw = headers.get(RAW_HEADER)
        options.headers = {RAW_HEADER: "true", **headers}
        if pending is not None:
            again: _Sending = replace(pending.sending, raw=raw, streams=streams, options=options, call=pending.call)
            return again
        return _Sending(path, request, metering, raw, streams, hides_usage, options)

    def _call(self, sending: _Sending) -> Call:
        if sending.call is not None:
            return sending.call
        with metering_scope(sending.metering):
            return Call(self._meter.tracker, self._meter.guard)

    def _reserve(self, call: Call, sending: _Sending) -> None:
        call.reserve("ai", measured(lambda: tokens_to_reserve(sending.path, sending.request), DEFAULT_MAX_OUTPUT))

    def _listen(self, call: Call, sending: _Sending, response: Any) -> Callable[[], None] | None:
        """Read along with whoever reads this response.

        Returns what is to be done at once, off the loop: of an answer that is whole already, its usage is known.
        """
        origin = _Origin.of(response)
        listener: openai_stream.Listener
        if sending.streams:
            listener = openai_stream.EventListener(
                lambda parsed: self._finish_stream(call, sending, origin, parsed),
                hides_usage=sending.hides_usage,
                on_id=(lambda known: self._put_off(call, sending, known)) if sending.is_put_off else None,
            )
        else:
            listener = openai_stream.BodyListener(
                lambda parsed: self._finish(call, sending, origin, parsed), openai_stream.body_decoder(response)
            )
        try:
            is_whole = openai_stream.listen(response, listener, is_async=self._is_async)
        except Exception:
            log.exception("a stream cannot be observed")
            is_whole = True
        return listener.settle if is_whole else None

    def _finish(self, call: Call, sending: _Sending, origin: _Origin, parsed: object) -> None:
        """Record a whole answer (mapping or model; None where it could not be read). Never raises."""
        try:
            self._take(call, sending, origin, parsed)
        except Exception:
            log.exception("usage could not be recorded")

    def _take(self, call: Call, sending: _Sending, origin: _Origin, parsed: object) -> None:
        usage, status = usage_of(parsed), value(parsed, "status")
        if usage is None and sending.call is not None and status is None:
            return  # it was asked about, and the answer cannot be read: it can be asked about again
        if usage is None and status in ("queued", "in_progress"):
            self._put_off(call, sending, str(value(parsed, "id")))
            return
        if usage is None and status in ("failed", "cancelled"):
            self._meter.background.pop(str(value(parsed, "id")), None)
            call.fail()
            return
        known = StreamedResponse(
            id=_text(value(parsed, "id")),
            model=_text(value(parsed, "model")),
            service_tier=_text(value(parsed, "service_tier")),
            usage=usage,
        )
        self._record(call, sending, origin, known)

    def _finish_stream(self, call: Call, sending: _Sending, origin: _Origin, response: StreamedResponse) -> None:
        if response.usage is not None:
            self._record(call, sending, origin, response)
        elif sending.is_put_off and response.id and response.status in ("queued", "in_progress"):
            pass  # it goes on without its reader, who can fetch it
        elif response.status == "cancelled" or (response.has_failed and not response.pieces):
            self._meter.background.pop(response.id or "", None)
            call.fail()  # an error of the provider's before it had answered anything
        elif sending.call is None or response.status not in (None, "queued", "in_progress"):
            self._record(call, sending, origin, response)

    def _record(self, call: Call, sending: _Sending, origin: _Origin, response: StreamedResponse) -> None:
        self._meter.background.pop(response.id or "", None)
        usage = response.usage
        metadata: dict[str, Any] = {}
        if usage is None:
            usage = response.estimate(sending.request)
            metadata["estimated"] = True
        metadata.update(usage.details)
        if response.service_tier not in (None, "auto", "default"):
            metadata["service_tier"] = response.service_tier
        server = server_of(self._metered_client)
        # An embedding has no id of its own: the request's is as good.
        response_id = response.id or origin.request_id
        if response_id and not server.has_unique_ids:
            metadata["answer_id"], response_id = response_id, None
        project = origin.project or _text(getattr(self._metered_client, "project", None))
        call.finish(
            units=usage.total,
            service=server.service,
            operation=OPERATIONS[sending.path],
            channel="ai",
            direction="outbound",
            model=response.model or _text(sending.request.get("model")),
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens or None,
            output_tokens=usage.output_tokens,
            external_id=response_id,
            resource_id=project if server.is_openai else server.host or None,
            metadata=metadata or None,
        )

    def _put_off(self, call: Call, sending: _Sending, response_id: str) -> None:
        waiting = self._meter.background
        waiting.setdefault(response_id, _Pending(call, sending))
        while len(waiting) > BACKGROUND_CALLS_KEPT:
            waiting.popitem(last=False)[1].call.fail()


class _SyncClient(_Client):
    def __enter__(self) -> Any:
        self._metered_client.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._metered_client.__exit__(*error)

    def request(self, cast_to: Any, options: Any, *args: Any, **how: Any) -> Any:
        """As the client's; of a path that costs tokens, what was used is recorded."""
        options, metering = _uncarried(options)
        sending = self._sending(options, metering, streams=bool(how.get("stream")))
        if sending is None:
            return self._metered_client.request(cast_to, options, *args, **how)
        call = self._call(sending)
        if call.is_guarded and sending.call is None:
            self._reserve(call, sending)
        try:
            result = self._metered_client.request(cast_to, sending.options, *args, **how)
        except BaseException as error:
            if sending.call is None:
                call.fail(error)
            raise
        response = getattr(result, "http_response", None)
        if response is not None and (sending.streams or sending.raw == "stream"):
            settle = self._listen(call, sending, response)
            if settle is not None:
                settle()
            return result if sending.raw else result.parse()
        if response is None:
            self._finish(call, sending, _Origin(), result)
            return result
        parsed, unreadable = _parsed(result)
        self._finish(call, sending, _Origin.of(response), _readable(result, parsed))
        if sending.raw:
            return result
        if unreadable is not None:
            raise unreadable
        return parsed


class _AsyncClient(_Client):
    _is_async = True

    async def __aenter__(self) -> Any:
        await self._metered_client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._metered_client.__aexit__(*error)

    async def request(self, cast_to: Any, options: Any, *args: Any, **how: Any) -> Any:
        """As the client's; of a path that costs tokens, what was used is recorded."""
        options, metering = _uncarried(options)
        sending = self._sending(options, metering, streams=bool(how.get("stream")))
        if sending is None:
            return await self._metered_client.request(cast_to, options, *args, **how)
        call = self._call(sending)
        must_reserve = call.is_guarded and sending.call is None
        try:
            if must_reserve:
                await off_loop(lambda: self._reserve(call, sending))
            result = await self._metered_client.request(cast_to, sending.options, *args, **how)
        except BaseException as error:
            if must_reserve:
                problem = error  # the name `error` ends with this block
                await off_loop(lambda: call.fail(problem))
            raise
        response = getattr(result, "http_response", None)
        if response is not None and (sending.streams or sending.raw == "stream"):
            settle = self._listen(call, sending, response)
            if settle is not None:
                await off_loop(settle)
            return result if sending.raw else await _maybe(result.parse())
        if response is None:
            await off_loop(lambda: self._finish(call, sending, _Origin(), result))
            return result
        parsed, unreadable = _parsed(result)
        whole = _readable(result, parsed)
        await off_loop(lambda: self._finish(call, sending, _Origin.of(response), whole))
        if sending.raw:
            return result
        if unreadable is not None:
            raise unreadable
        return parsed


def _own(client: _Client, name: str, value: object) -> None:
    object.__setattr__(client, name, value)


def _mapping(given: object) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _sent_options(options: Any) -> Mapping[str, Any]:
    """What a request asks for: its body, also where that is handed over as bytes."""
    body = options.json_data
    if body is None:
        body = getattr(options, "content", None)  # an older SDK does not have it
    if isinstance(body, bytes | bytearray):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = None  # the provider's to refuse
    return _mapping(body)


def _uncarried(options: Any) -> tuple[Any, object]:
    """A request without the `CARRIER`, and the metering that it carried."""
    headers = _mapping(options.headers)
    if CARRIER not in headers:
        return options, None
    options = copy.copy(options)
    options.headers = {name: given for name, given in headers.items() if name != CARRIER}
    return options, getattr(headers[CARRIER], "metering", None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _parsed(result: Any) -> tuple[Any, Exception | None]:
    """The SDK's own reading of an answer, or what it raises about it (a length limit that was reached, …)."""
    try:
        return result.parse(), None
    except Exception as error:
        return None, error


def _readable(result: Any, parsed: Any) -> Any:
    """The answer, or where the SDK could not read it, its JSON: it was made and is paid for all the same."""
    if value(parsed, "usage") is not None or value(parsed, "status") is not None:
        return parsed
    try:
        return result.http_response.json()
    except Exception:
        return parsed


def _take_metering(resource: Any) -> None:
    """Let the methods of a resource take ``metering={…}``."""
    for name in _TAKES_METERING:
        method = getattr(resource, name, None)
        if method is not None:
            setattr(resource, name, _taking_metering(method))


def _taking_metering(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def taking(*args: Any, metering: object = None, **kwargs: Any) -> Any:
        if metering is not None:
            carried = _Carried("metering")
            carried.metering = metering
            kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), CARRIER: carried}
        return method(*args, **kwargs)

    return taking


if TYPE_CHECKING:

    class TrackedOpenAI(openai.OpenAI):
        """See below."""

        def __init__(self, client: openai.OpenAI, tracker: Tracker, guard: Guard | None = None) -> None: ...

    class AsyncTrackedOpenAI(openai.AsyncOpenAI):
        """See below."""

        def __init__(self, client: openai.AsyncOpenAI, tracker: Tracker, guard: Guard | None = None) -> None: ...

else:

    class TrackedOpenAI(_SyncClient):
        """A product's `openai.OpenAI` (or AzureOpenAI, …) that records the tokens of each successful call.

        Its base_url says whose they are: `openai`, `azure_openai`, or `openai_compatible` with the host as resource.

        To use as the client itself: same methods, same results, same exceptions. Chat completions, responses,
        decisions and embeddings are metered, in every form of them over HTTP. What else costs money is not: without a
        guard it passes through.

        Args:
            client: stays as it is; calls made with it directly are not metered.
            tracker: takes the events. A failure of it never reaches the caller.
            guard: is asked for room before each call, where `usage_context` names a tenant.

        Raises (by the calls): `UsageCapReached` where the guard refuses, `NotMetered` where there is a guard and it
        cannot be asked; nothing was sent then. `TypeError` where ``client`` is not an `openai.OpenAI`.
        """

    class AsyncTrackedOpenAI(_AsyncClient):
        """As `TrackedOpenAI`, of an `openai.AsyncOpenAI`; tracker and guard are asked in threads."""
