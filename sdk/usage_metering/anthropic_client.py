"""`TrackedAnthropic` and `AsyncTrackedAnthropic`: a product's own Anthropic client, with every message recorded.

How its calls are taken is `stainless_client`'s; here is what they mean. anthropic itself is the user's and is not imported here.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from usage_metering import openai_stream
from usage_metering.anthropic_usage import (
    BATCHES,
    MESSAGES,
    WEB_SEARCH,
    MessageUsage,
    StreamedMessage,
    batch_of,
    is_unbilled,
    is_unmetered,
    results_of,
    tier_of,
    tokens_to_reserve,
    usage_of,
)
from usage_metering.openai_host import anthropic_server_of
from usage_metering.openai_usage import DEFAULT_MAX_OUTPUT, path_of, value
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
    import anthropic


class _Rules(Client):
    """What Anthropic's requests and answers are."""

    MODULE = "anthropic"
    RAW = "raw"
    RESOURCES = {"messages": ("", "batches"), "beta": ("messages", "messages.batches")}
    server_of = staticmethod(anthropic_server_of)

    def _sending(self, options: Any, metering: object, *, streams: bool) -> Sending | None:
        method = str(options.method).upper()
        path = path_of(str(options.url), str(getattr(self._metered_client, "base_url", "")))
        if self._meter.guard is not None and method == "POST" and is_unmetered(path):
            raise NotMetered(f"{method} {path}")
        batch = batch_of(path) if method == "GET" else None
        if batch is None and (method != "POST" or path not in (MESSAGES, BATCHES)):
            return None
        options = copy.copy(options)
        headers = mapping(options.headers)
        raw = headers.get(RAW_HEADER)
        options.headers = {RAW_HEADER: self.RAW, **headers}
        request = {**sent_options(options), **mapping(options.extra_json)}
        made = self._meter.background.get(batch or "")
        return Sending(
            path, request, metering, raw, streams, False, options, made.call.again() if made is not None else None
        )

    def _call(self, sending: Sending) -> Call:
        call = super()._call(sending)
        # Of a batch's results, nothing is reserved: its making was what was asked for.
        return call.again() if batch_of(sending.path) is not None else call

    def _reserve(self, call: Call, sending: Sending) -> None:
        call.reserve("ai", measured(lambda: tokens_to_reserve(sending.path, sending.request), DEFAULT_MAX_OUTPUT))

    def _listener(self, call: Call, sending: Sending, response: Any) -> openai_stream.Listener:
        origin = Origin.of(response)
        if batch_of(sending.path) is not None:
            return openai_stream.LineListener(lambda line: self._take_result(call, sending, line))
        if sending.streams:
            return openai_stream.EventListener(
                lambda answer: self._finish_stream(call, sending, answer), StreamedMessage(), hides_usage=False
            )
        return openai_stream.BodyListener(
            lambda parsed: self._finish(call, sending, origin, parsed), openai_stream.body_decoder(response)
        )

    def _take(self, call: Call, sending: Sending, origin: Origin, parsed: object) -> None:
        if sending.path == BATCHES:
            # It is worked on for up to a day: the room that was asked for is given back, and what it used is recorded with its results.
            call.fail()
            self._put_off(call, sending, str(value(parsed, "id")))
            return
        self._record(call, sending, parsed, usage_of(parsed))

    def _take_result(self, call: Call, sending: Sending, line: object) -> None:
        for message in results_of(line):
            self._record(call.again(), sending, message, usage_of(message))

    def _finish_stream(self, call: Call, sending: Sending, answer: StreamedMessage) -> None:
        if answer.usage is None and answer.has_failed and not answer.pieces:
            call.fail()  # an error of the provider's before it had answered anything
            return
        message = {**answer.message, "id": answer.id, "model": answer.model}
        if answer.usage is not None:
            self._record(call, sending, message, usage_of(message))
        else:
            self._record(call, sending, message, answer.estimate(sending.request), is_estimated=True)

    def _record(
        self, call: Call, sending: Sending, message: object, usage: MessageUsage | None, *, is_estimated: bool = False
    ) -> None:
        server = self.server_of(self._metered_client)
        if usage is not None and server.is_vendor and is_unbilled(message):
            call.fail()
            return
        if usage is None:
            usage, is_estimated = StreamedMessage().estimate(sending.request), True
        said: dict[str, Any] = {"estimated": True} if is_estimated else {}
        tier = tier_of(message)
        if tier is not None:
            said["service_tier"] = tier
        answer_id = text(value(message, "id"))
        if answer_id and not server.has_unique_ids:
            said["answer_id"], answer_id = answer_id, None
        common: dict[str, Any] = {
            "service": server.service,
            "channel": "ai",
            "direction": "outbound",
            "resource_id": server.host if not server.is_vendor else None,
        }
        # The first event of a stream names the model that was asked, also where another one answers.
        model = usage.served_by or text(value(message, "model")) or text(sending.request.get("model"))
        beside = [
            {
                **common,
                **tokens_of(used),
                "operation": "chat_completion",
                "units": used.total,
                "model": other or None,
                "external_id": answer_id and f"{answer_id}/{part}/{other}",
                "metadata": said or None,
            }
            for part, others in (("advisor", usage.advisors), ("declined", usage.declined))
            for other, used in sorted(others.items())
        ]
        if usage.web_searches:
            beside.append(
                {
                    **common,
                    "operation": WEB_SEARCH,
                    "units": usage.web_searches,
                    "model": model,
                    "external_id": answer_id and f"{answer_id}/web_search",
                }
            )
        call.finish(
            units=usage.total,
            beside=beside,
            **common,
            operation="chat_completion",
            model=model,
            **tokens_of(usage),
            external_id=answer_id,
            metadata={**said, **usage.details} or None,
        )


if TYPE_CHECKING:

    class TrackedAnthropic(anthropic.Anthropic):
        """See below."""

        def __init__(self, client: anthropic.Anthropic, tracker: Tracker, guard: Guard | None = None) -> None: ...

    class AsyncTrackedAnthropic(anthropic.AsyncAnthropic):
        """See below."""

        def __init__(self, client: anthropic.AsyncAnthropic, tracker: Tracker, guard: Guard | None = None) -> None: ...

else:

    class TrackedAnthropic(_Rules, SyncClient):
        """A product's `anthropic.Anthropic` that records the tokens of each successful message.

        Its base_url says whose they are: `anthropic`, or `anthropic_compatible` with the host as resource.

        To use as the client itself: same methods, same results, same exceptions. Messages (also of `beta`, streamed, parsed, of tool
        runners) are metered, those of a batch when its results are read; token counts cost nothing. Web searches are an event of
        their own. What else costs money is not metered: without a guard it passes through.

        Args:
            client: stays as it is; calls made with it directly are not metered.
            tracker: takes the events. A failure of it never reaches the caller.
            guard: is asked for room before each message and each batch, where `usage_context` names a tenant.

        Raises (by the calls): `UsageCapReached` where the guard refuses, `NotMetered` where there is a guard and it
        cannot be asked; nothing was sent then. `TypeError` where ``client`` is no `anthropic.Anthropic`.
        """

        WRAPS, HINT = "Anthropic", "AsyncTrackedAnthropic is for anthropic.AsyncAnthropic"

    class AsyncTrackedAnthropic(_Rules, AsyncClient):
        """As `TrackedAnthropic`, of an `anthropic.AsyncAnthropic`; tracker and guard are asked in threads."""

        WRAPS, HINT = "AsyncAnthropic", "TrackedAnthropic is for anthropic.Anthropic"
