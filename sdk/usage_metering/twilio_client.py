"""`TrackedTwilio`: a product's own Twilio client, with every message and call (of a conference, too) that it creates recorded.

The hook is the one method that all of the SDK's resources send with (`request`, `request_async`): create,
create_async, their `…_with_http_info` forms, of the account and of subaccounts. twilio itself is the user's and is not
imported here.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import normpath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from usage_metering.segments import count_segments
from usage_metering.taxonomy import NEVER_SENT
from usage_metering.wrapped_call import (
    Call,
    Guard,
    Tracker,
    check_wrapping,
    measured,
    metering_scope,
    off_loop,
)

if TYPE_CHECKING:
    from twilio.rest import Client

log = logging.getLogger("metering.tracking")

CREATED = re.compile(
    r"/20\d\d-\d\d-\d\d/Accounts/([^/]+)/((?:SMS/)?Messages|Calls|Conferences/[^/]+/Participants)(?:\.\w+)?/?$"
)
"""Also as the API's older versions name them: `client.request` takes any path."""
MINUTES_RESERVED = 1
"""For a call that sets no time limit of its own."""

_TAKE_METERING = ("create", "create_async", "create_with_http_info", "create_with_http_info_async")
_OWN = ("_tracked_client", "_tracker", "_guard", "_own_api")


@dataclass
class _Creating:
    """A message or call that is about to be created."""

    is_call: bool
    form: Mapping[str, Any]
    account_sid: str

    @property
    def has_media(self) -> bool:
        return bool(self.form.get("MediaUrl"))

    @property
    def channel(self) -> str:
        return "voice" if self.is_call else "mms" if self.has_media else "sms"

    @property
    def is_smart(self) -> bool:
        return str(self.form.get("SmartEncoded", "")).lower() == "true"

    def units_to_reserve(self) -> int:
        """Segments of the text as it is; 1 for an mms; the minutes of a call's time limit, else `MINUTES_RESERVED`."""
        if self.is_call:
            limit = _whole(self.form.get("TimeLimit"))
            return -(-limit // 60) if limit else MINUTES_RESERVED
        return self._segments(self.form.get("Body"))

    def _segments(self, body: object) -> int:
        if self.has_media:
            return 1
        return count_segments(body if isinstance(body, str) else "", smart_encoded=self.is_smart)

    def fields(self, created: Mapping[str, Any]) -> dict[str, Any]:
        """The event of what was created, without its resource."""
        # A participant who is called to a conference has no sid but the call's.
        fields: dict[str, Any] = {"external_id": created.get("sid") or created.get("call_sid"), "direction": "outbound"}
        if self.is_call:
            # It begins now; its minutes are known when it ends (`record_call_status`).
            return {**fields, "service": "twilio_voice", "operation": "outbound", "channel": "voice", "units": 0}
        status = created.get("status")
        metadata = {"status": status} if status in NEVER_SENT else None
        fields = {**fields, "service": "twilio_sms", "metadata": metadata}
        if self.has_media or _whole(created.get("num_media")):
            return {**fields, "operation": "mms_outbound", "channel": "mms", "units": 1}
        # "0" while a Messaging Service has not chosen a sender yet; a template's text comes back in the answer.
        body = created.get("body")
        units = _whole(created.get("num_segments")) or self._segments(body or self.form.get("Body"))
        return {**fields, "operation": "outbound", "channel": "sms", "units": units}


class _Client:
    """A view of the user's client: everything is the client's own, but what its API domain sends with."""

    def __init__(self, client: Any, tracker: Tracker, guard: Guard | None = None) -> None:
        check_wrapping(self, client, tracker, guard, ("twilio.rest", "Client"))
        for name, given in zip(_OWN, (client, tracker, guard, None), strict=True):
            object.__setattr__(self, name, given)

    @property  # type: ignore[misc]  # typeshed: it may be set; nobody does
    def __class__(self) -> type:
        # So that isinstance(tracked, twilio.rest.Client) holds; type(tracked) tells the truth.
        return type(self._tracked_client)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)  # not made yet (copy, pickle)
        client = self._tracked_client
        shortcut = inspect.getattr_static(type(client), name, None)
        if isinstance(shortcut, property) and shortcut.fget is not None and not hasattr(client, f"_{name}"):
            # `messages`, `calls`, …: they stand for self.api.account.messages, and this is the self with our api.
            return _take_metering(name, shortcut.fget(self))
        return getattr(client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._tracked_client, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._tracked_client, name)

    def __dir__(self) -> list[str]:
        return dir(self._tracked_client)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._tracked_client!r}>"

    @property
    def api(self) -> Any:
        """Twilio's main API, whose requests come through `request` here. Its base_url is the client's own."""
        original = self._tracked_client.api
        if self._own_api is None:
            api = type(original)(self)
            api.base_url = original.base_url
            object.__setattr__(self, "_own_api", api)
        return self._own_api

    def request(self, method: str, uri: str, *args: Any, **kwargs: Any) -> Any:
        """As the client's; what it creates is recorded."""
        creating = self._creating(method, uri, args, kwargs)
        if creating is None:
            return self._tracked_client.request(method, uri, *args, **kwargs)
        call = Call(self._tracker, self._guard)
        if call.is_guarded:
            self._reserve(call, creating)
        try:
            response = self._tracked_client.request(method, uri, *args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        self._finish(call, creating, response)
        return response

    async def request_async(self, method: str, uri: str, *args: Any, **kwargs: Any) -> Any:
        """As the client's; what it creates is recorded."""
        creating = self._creating(method, uri, args, kwargs)
        if creating is None:
            return await self._tracked_client.request_async(method, uri, *args, **kwargs)
        call = Call(self._tracker, self._guard)
        try:
            if call.is_guarded:
                await off_loop(lambda: self._reserve(call, creating))
            response = await self._tracked_client.request_async(method, uri, *args, **kwargs)
        except BaseException as error:
            if call.is_guarded:
                problem = error  # the name `error` ends with this block
                await off_loop(lambda: call.fail(problem))
            raise
        await off_loop(lambda: self._finish(call, creating, response))
        return response

    @staticmethod
    def _creating(method: str, uri: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Creating | None:
        if method.upper() != "POST":
            return None
        matched = CREATED.search(normpath(unquote(urlsplit(uri).path)))  # dots are followed on the way
        if matched is None:
            return None
        form = kwargs["data"] if "data" in kwargs else args[1] if len(args) > 1 else None
        return _Creating(not matched[2].endswith("Messages"), form if isinstance(form, Mapping) else {}, matched[1])

    @staticmethod
    def _reserve(call: Call, creating: _Creating) -> None:
        call.reserve(creating.channel, measured(creating.units_to_reserve, 1))

    def _finish(self, call: Call, creating: _Creating, response: Any) -> None:
        """Record what was created. Never raises: what is wrong with the answer, the SDK says to the caller."""
        try:
            if not 200 <= response.status_code < 300:
                call.fail()
                return
            created = json.loads(response.text)
            fields = {**creating.fields(created), "resource_id": self._resource(creating)}
        except Exception as error:
            log.error("what Twilio created is not recorded, its answer cannot be read: %s", type(error).__name__)
            call.fail()
            return
        call.finish(**fields)

    def _resource(self, creating: _Creating) -> str | None:
        """The messaging service that was asked for (an answer names one also where none was used), else the subaccount
        that the main account acts for.
        """
        service = creating.form.get("MessagingServiceSid")
        if isinstance(service, str) and service:
            return service
        signed_in = str(self._tracked_client.username or "")
        main = signed_in if signed_in.startswith("AC") else self._tracked_client.account_sid
        return creating.account_sid if creating.account_sid != main else None


def _whole(number: object) -> int:
    text = str(number).strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _take_metering(name: str, resource: Any) -> Any:
    """Let the creating methods of `client.messages` and `client.calls` take ``metering={…}``."""
    if name in ("messages", "calls") and not hasattr(resource, "_takes_metering"):
        for method in _TAKE_METERING:
            original = getattr(resource, method, None)
            if original is not None:
                setattr(resource, method, _taking_metering(original))
        resource._takes_metering = True
    return resource


def _taking_metering(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def taking_async(*args: Any, metering: object = None, **kwargs: Any) -> Any:
            with metering_scope(metering):
                return await method(*args, **kwargs)

        return taking_async

    @functools.wraps(method)
    def taking(*args: Any, metering: object = None, **kwargs: Any) -> Any:
        with metering_scope(metering):
            return method(*args, **kwargs)

    return taking


if TYPE_CHECKING:

    class TrackedTwilio(Client):  # type: ignore[misc]  # the SDK is not typed
        """See below."""

        def __init__(self, client: Client, tracker: Tracker, guard: Guard | None = None) -> None: ...

else:

    class TrackedTwilio(_Client):
        """A product's `twilio.rest.Client` that records each message and call that it creates.

        To use as the client itself: same methods, same results, same exceptions. Messages count in segments (the
        provider's number where it says one, else the rules of `segments`), or 1 where they have media. A call counts
        when it has ended: give its status callback to `UsageTracker.record_call_status`.

        Args:
            client: stays as it is; what is created with it directly is not metered. Set its base_url before.
            tracker: takes the events. A failure of it never reaches the caller.
            guard: is asked for room before each send, where `usage_context` names a tenant.

        Raises (by the calls): `UsageCapReached` where the guard refuses; nothing was sent then.
        """
