"""A view of a product's own client of a model vendor, with every paid call recorded: what the vendors' wrappers have in common.

openai and anthropic are made by one generator (Stainless): everything is sent with one method, `request`. Create, parse, the
stream helpers, `with_raw_response`, `with_streaming_response`, `post` and its like, and copies made by `with_options` all come
through it, after retries, once. What a vendor's paths and answers are is for its own module to say (`openai_client`,
`anthropic_client`); no vendor's package is imported here.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MethodType
from typing import Any, ClassVar

from usage_metering import openai_stream
from usage_metering.openai_host import Server, warn_of_host
from usage_metering.openai_usage import Usage, value
from usage_metering.wrapped_call import (
    Call,
    Guard,
    NotMetered,
    Tracker,
    check_wrapping,
    metering_scope,
    off_loop,
)

log = logging.getLogger("metering.tracking")

RAW_HEADER = "X-Stainless-Raw-Response"
"""The SDK's own. "stream" answers with a response that is not read yet; see `Client.RAW` for one that is."""
CARRIER = "X-Usage-Metering"
"""Takes ``metering=`` from the method to `request`, where it is taken off again: it is never sent."""
VERBS = ("post", "put", "patch", "get", "delete", "get_api_list", "_request_api_list")
"""The client's methods that send with its `request`."""

TAKES_METERING = ("create", "parse", "stream", "compact", "results")
CALLS_KEPT = 10_000
"""Calls whose usage is known later (background responses, batches): the oldest are forgotten."""


class Carried(str):
    """A header's value that carries a call's metering."""

    metering: object = None


@dataclass
class Sending:
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
class Origin:
    """What an answer's headers say about it. Not the response itself: a stream is settled when that is forgotten."""

    request_id: str | None = None
    project: str | None = None

    @classmethod
    def of(cls, response: Any) -> Origin:
        headers = getattr(response, "headers", {})
        requested = getattr(getattr(response, "request", None), "headers", {})
        return cls(
            headers.get("x-request-id") or headers.get("request-id"),
            headers.get("openai-project") or requested.get("openai-project"),
        )


class Meter:
    """What a client and its copies share."""

    def __init__(self, tracker: Tracker, guard: Guard | None) -> None:
        self.tracker = tracker
        self.guard = guard
        self.background: OrderedDict[str, Pending] = OrderedDict()


@dataclass
class Pending:
    """What the provider works on in the background: what it used is known when it is fetched."""

    call: Call
    sending: Sending


class Client:
    """A view of the user's client: everything is the client's own, but `request`."""

    _is_async = False
    MODULE: ClassVar[str]
    """The vendor's module, whose class `WRAPS` is wrapped; ``HINT`` says what to do where it is another."""
    WRAPS: ClassVar[str]
    HINT: ClassVar[str]
    RAW: ClassVar[str]
    """What `RAW_HEADER` says for an answer with its headers."""
    RESOURCES: ClassVar[Mapping[str, tuple[str, ...]]]
    """A client's attribute -> those of its resources ("": itself) whose methods take ``metering=``."""
    SOCKETS: ClassVar[tuple[str, ...]] = ()
    """What of a client each of its WebSockets asks for first."""

    @staticmethod
    def server_of(client: Any) -> Server:
        """Return whose server ``client`` talks to."""
        raise NotImplementedError

    def _sending(self, options: Any, metering: object, *, streams: bool) -> Sending | None:
        """How to send this request; None where it is not metered.

        Args:
            options: the SDK's `FinalRequestOptions`; they stay as they are.

        Raises:
            NotMetered: it costs money all the same, and there is a guard.
        """
        raise NotImplementedError

    def _reserve(self, call: Call, sending: Sending) -> None:
        """Hold room for what the call may use at most."""
        raise NotImplementedError

    def _listener(self, call: Call, sending: Sending, response: Any) -> openai_stream.Listener:
        """What reads a stream of this request along."""
        raise NotImplementedError

    def _take(self, call: Call, sending: Sending, origin: Origin, parsed: object) -> None:
        """Record a whole answer."""
        raise NotImplementedError

    def __init__(self, client: Any, tracker: Tracker, guard: Guard | None = None) -> None:
        check_wrapping(self, client, tracker, guard, (self.MODULE, self.WRAPS), self.HINT)
        warn_of_host(self.server_of(client))
        own(self, "_metered_client", client)
        own(self, "_meter", Meter(tracker, guard))
        own(self, "_resources", {})

    @property  # type: ignore[misc]  # typeshed: it may be set; nobody does
    def __class__(self) -> type:
        # So that isinstance(tracked, openai.OpenAI) holds; type(tracked) tells the truth.
        return type(self._metered_client)

    def __getattr__(self, name: str) -> Any:
        if name in ("_metered_client", "_meter", "_resources"):
            raise AttributeError(name)  # not made yet (copy, pickle)
        if name in self.SOCKETS and self._meter.guard is not None:
            raise NotMetered("what goes through a WebSocket")
        attribute = getattr(self._metered_client, name)
        if name in VERBS and getattr(attribute, "__self__", None) is self._metered_client:
            # The client's own method, with this as its self: it sends with the `request` here.
            return MethodType(attribute.__func__, self)
        if getattr(attribute, "_client", None) is not self._metered_client:
            return attribute
        # A resource sends with the methods of the client that it was made of: make it of this one.
        known, rebuilt = self._resources.get(name, (None, None))
        if known is not attribute:
            rebuilt = type(attribute)(self)
            for inner in self.RESOURCES.get(name, ()):
                try:
                    take_metering(attrgetter(inner)(rebuilt) if inner else rebuilt)
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
        own(other, "_meter", self._meter)
        return other

    copy = with_options

    def _call(self, sending: Sending) -> Call:
        if sending.call is not None:
            return sending.call
        with metering_scope(sending.metering):
            return Call(self._meter.tracker, self._meter.guard)

    def _listen(self, call: Call, sending: Sending, response: Any) -> Callable[[], None] | None:
        """Read along with whoever reads this response.

        Returns what is to be done at once, off the loop: of an answer that is whole already, its usage is known.
        """
        listener = self._listener(call, sending, response)
        try:
            is_whole = openai_stream.listen(response, listener, is_async=self._is_async)
        except Exception:
            log.exception("a stream cannot be observed")
            is_whole = True
        return listener.settle if is_whole else None

    def _finish(self, call: Call, sending: Sending, origin: Origin, parsed: object) -> None:
        """Record a whole answer (mapping or model; None where it could not be read). Never raises."""
        try:
            self._take(call, sending, origin, parsed)
        except Exception:
            log.exception("usage could not be recorded")

    def _put_off(self, call: Call, sending: Sending, response_id: str) -> None:
        waiting = self._meter.background
        waiting.setdefault(response_id, Pending(call, sending))
        while len(waiting) > CALLS_KEPT:
            waiting.popitem(last=False)[1].call.fail()


class SyncClient(Client):
    def __enter__(self) -> Any:
        self._metered_client.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._metered_client.__exit__(*error)

    def request(self, cast_to: Any, options: Any, *args: Any, **how: Any) -> Any:
        """As the client's; of a path that costs tokens, what was used is recorded."""
        options, metering = uncarried(options)
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
            self._finish(call, sending, Origin(), result)
            return result
        parsed, unreadable = _parsed(result)
        self._finish(call, sending, Origin.of(response), _readable(result, parsed))
        if sending.raw:
            return result
        if unreadable is not None:
            raise unreadable
        return parsed


class AsyncClient(Client):
    _is_async = True

    async def __aenter__(self) -> Any:
        await self._metered_client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._metered_client.__aexit__(*error)

    async def request(self, cast_to: Any, options: Any, *args: Any, **how: Any) -> Any:
        """As the client's; of a path that costs tokens, what was used is recorded."""
        options, metering = uncarried(options)
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
            await off_loop(lambda: self._finish(call, sending, Origin(), result))
            return result
        parsed, unreadable = await _parsed_later(result)
        whole = _readable(result, parsed)
        await off_loop(lambda: self._finish(call, sending, Origin.of(response), whole))
        if sending.raw:
            return result
        if unreadable is not None:
            raise unreadable
        return parsed


def own(client: Client, name: str, value: object) -> None:
    object.__setattr__(client, name, value)


def tokens_of(usage: Usage) -> dict[str, Any]:
    """The fields of an event that hold ``usage``."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens or None,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens or None,
        "output_tokens": usage.output_tokens,
    }


def mapping(given: object) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def sent_options(options: Any) -> Mapping[str, Any]:
    """What a request asks for: its body, also where that is handed over as bytes."""
    body = options.json_data
    if body is None:
        body = getattr(options, "content", None)  # an older SDK does not have it
    if isinstance(body, bytes | bytearray):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = None  # the provider's to refuse
    return mapping(body)


def uncarried(options: Any) -> tuple[Any, object]:
    """A request without the `CARRIER`, and the metering that it carried."""
    headers = mapping(options.headers)
    if CARRIER not in headers:
        return options, None
    options = copy.copy(options)
    options.headers = {name: given for name, given in headers.items() if name != CARRIER}
    return options, getattr(headers[CARRIER], "metering", None)


def text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _parsed(result: Any) -> tuple[Any, Exception | None]:
    """The SDK's own reading of an answer, or what it raises about it (a length limit that was reached, …)."""
    try:
        return result.parse(), None
    except Exception as error:
        return None, error


async def _parsed_later(result: Any) -> tuple[Any, Exception | None]:
    """`_parsed` of a client whose reading of an answer may have to be waited for."""
    try:
        return await _maybe(result.parse()), None
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


def take_metering(resource: Any) -> None:
    """Let the methods of a resource take ``metering={…}``."""
    for name in TAKES_METERING:
        method = getattr(resource, name, None)
        if method is not None:
            setattr(resource, name, _taking_metering(method))


def _taking_metering(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def taking(*args: Any, metering: object = None, **kwargs: Any) -> Any:
        if metering is not None:
            carried = Carried("metering")
            carried.metering = metering
            kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), CARRIER: carried}
        return method(*args, **kwargs)

    return taking
