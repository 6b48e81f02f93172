"""`TrackedOpenAI` and `AsyncTrackedOpenAI`: a product's own OpenAI client, with every paid call recorded.

How its calls are taken is `stainless_client`'s; here is what they mean. openai itself is the user's and is not imported here.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from usage_metering import openai_stream
from usage_metering.openai_host import server_of
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
from usage_metering.stainless_client import (
    RAW_HEADER,
    AsyncClient,
    Client,
    Origin,
    Sending,
    SyncClient,
    mapping,
    sent_options,
    text,
    tokens_of,
)
from usage_metering.wrapped_call import Call, Guard, NotMetered, Tracker, measured

if TYPE_CHECKING:
    import openai

log = logging.getLogger("metering.tracking")

_METERED_RESOURCES: dict[str, tuple[str, ...]] = {
    "chat": ("completions",),
    "completions": ("",),
    "responses": ("",),
    "embeddings": ("",),
    "decisions": ("",),
    "beta": ("chat.completions", "responses"),
}


class _Rules(Client):
    """What OpenAI's requests and answers are."""

    MODULE = "openai"
    RAW = "true"
    RESOURCES = _METERED_RESOURCES
    SOCKETS = SOCKETS
    server_of = staticmethod(server_of)

    def _sending(self, options: Any, metering: object, *, streams: bool) -> Sending | None:
        method = str(options.method).upper()
        path = path_of(str(options.url), str(getattr(self._metered_client, "base_url", "")))
        pending = self._meter.background.get(response_of(method, path) or "")
        if self._meter.guard is not None and is_unmetered(method, path):
            raise NotMetered(f"{method} {path}")
        if pending is None and (method not in SENDS or path not in OPERATIONS):
            return None
        options = copy.copy(options)
        body, extra = dict(sent_options(options)), dict(mapping(options.extra_json))
        request = {**body, **extra}
        is_json, hides_usage = isinstance(options.json_data, Mapping), False
        if streams and path in ("/chat/completions", "/completions"):
            streaming = dict(mapping(request.get("stream_options")))
            hides_usage = not streaming.get("include_usage")
            if hides_usage and (is_json or extra):
                target = body if is_json and "stream_options" not in extra else extra
                target["stream_options"] = {**streaming, "include_usage": True}
        if is_json:
            options.json_data = body
        if extra:
            options.extra_json = extra
        headers = mapping(options.headers)
        raw = headers.get(RAW_HEADER)
        options.headers = {RAW_HEADER: self.RAW, **headers}
        if pending is not None:
            again: Sending = replace(pending.sending, raw=raw, streams=streams, options=options, call=pending.call)
            return again
        return Sending(path, request, metering, raw, streams, hides_usage, options)

    def _reserve(self, call: Call, sending: Sending) -> None:
        call.reserve("ai", measured(lambda: tokens_to_reserve(sending.path, sending.request), DEFAULT_MAX_OUTPUT))

    def _listener(self, call: Call, sending: Sending, response: Any) -> openai_stream.Listener:
        origin = Origin.of(response)
        if sending.streams:
            return openai_stream.EventListener(
                lambda answer: self._finish_stream(call, sending, origin, answer),
                StreamedResponse(),
                hides_usage=sending.hides_usage,
                on_id=(lambda known: self._put_off(call, sending, known)) if sending.is_put_off else None,
            )
        return openai_stream.BodyListener(
            lambda parsed: self._finish(call, sending, origin, parsed), openai_stream.body_decoder(response)
        )

    def _take(self, call: Call, sending: Sending, origin: Origin, parsed: object) -> None:
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
            id=text(value(parsed, "id")),
            model=text(value(parsed, "model")),
            service_tier=text(value(parsed, "service_tier")),
            usage=usage,
        )
        self._record(call, sending, origin, known)

    def _finish_stream(self, call: Call, sending: Sending, origin: Origin, response: StreamedResponse) -> None:
        if response.usage is not None:
            self._record(call, sending, origin, response)
        elif sending.is_put_off and response.id and response.status in ("queued", "in_progress"):
            pass  # it goes on without its reader, who can fetch it
        elif response.status == "cancelled" or (response.has_failed and not response.pieces):
            self._meter.background.pop(response.id or "", None)
            call.fail()  # an error of the provider's before it had answered anything
        elif sending.call is None or response.status not in (None, "queued", "in_progress"):
            self._record(call, sending, origin, response)

    def _record(self, call: Call, sending: Sending, origin: Origin, response: StreamedResponse) -> None:
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
        project = origin.project or text(getattr(self._metered_client, "project", None))
        call.finish(
            units=usage.total,
            service=server.service,
            operation=OPERATIONS[sending.path],
            channel="ai",
            direction="outbound",
            model=response.model or text(sending.request.get("model")),
            **tokens_of(usage),
            external_id=response_id,
            resource_id=project if server.is_openai else server.host or None,
            metadata=metadata or None,
        )


if TYPE_CHECKING:

    class TrackedOpenAI(openai.OpenAI):
        """See below."""

        def __init__(self, client: openai.OpenAI, tracker: Tracker, guard: Guard | None = None) -> None: ...

    class AsyncTrackedOpenAI(openai.AsyncOpenAI):
        """See below."""

        def __init__(self, client: openai.AsyncOpenAI, tracker: Tracker, guard: Guard | None = None) -> None: ...

else:

    class TrackedOpenAI(_Rules, SyncClient):
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

        WRAPS, HINT = "OpenAI", "AsyncTrackedOpenAI is for openai.AsyncOpenAI"

    class AsyncTrackedOpenAI(_Rules, AsyncClient):
        """As `TrackedOpenAI`, of an `openai.AsyncOpenAI`; tracker and guard are asked in threads."""

        WRAPS, HINT = "AsyncOpenAI", "TrackedOpenAI is for openai.OpenAI"
