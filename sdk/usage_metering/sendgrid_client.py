"""`TrackedSendGrid`: a product's own SendGrid client, with every mail that it sends recorded.

The hook is the POST to mail/send at the end of the SDK's chain of attributes, which `send()` goes through as well.
sendgrid and python_http_client are the user's and are not imported here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from posixpath import normpath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from usage_metering.context import current
from usage_metering.wrapped_call import Call, Guard, Tracker, check_wrapping, metering_scope

if TYPE_CHECKING:
    from sendgrid import SendGridAPIClient

log = logging.getLogger("metering.tracking")

SEND = "/mail/send"
_SENDS = ("post", "put", "patch")
_OWN = ("_tracked_client", "_tracker", "_guard", "_features")
_CHAIN = ("_inner", "_sending")


def recipients(mail: object) -> int:
    """Emails that a mail asks for: to, cc and bcc of every personalization."""
    personalizations = mail.get("personalizations") if isinstance(mail, Mapping) else None
    if not isinstance(personalizations, list | tuple):
        return 0
    return sum(
        len(addressed)
        for personalization in personalizations
        if isinstance(personalization, Mapping)
        for field in ("to", "cc", "bcc")
        if isinstance(addressed := personalization.get(field), list | tuple)
    )


def is_sandboxed(mail: object) -> bool:
    """Whether the mail is only to be checked (`mail_settings.sandbox_mode`): then nothing is sent."""
    settings = mail.get("mail_settings") if isinstance(mail, Mapping) else None
    mode = settings.get("sandbox_mode") if isinstance(settings, Mapping) else None
    return isinstance(mode, Mapping) and bool(mode.get("enable"))


def _path(inner: Any) -> str:
    """The path that a link asks for: without its query, and with its dots followed (the server may follow them)."""
    return normpath("/" + unquote(urlsplit(str(inner._build_url(None))).path).lstrip("/"))


def _read(body: object) -> object:
    """A mail that is handed over as text: the SDK asks for that under a content type of one's own."""
    try:
        return json.loads(body) if isinstance(body, str | bytes) else body
    except (ValueError, RecursionError):
        return body


class _Chain:
    """A view of one link of `client.mail.send`: attributes lead on, and what is posted at mail/send is metered."""

    def __init__(self, inner: Any, sending: Callable[..., Any]) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_sending", sending)

    @property  # type: ignore[misc]  # typeshed: it may be set; nobody does
    def __class__(self) -> type:
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name in _CHAIN or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        inner = self._inner
        if name in _SENDS and _path(inner).endswith(SEND):
            return lambda *args, **kwargs: self._sending(inner, getattr(inner, name), *args, **kwargs)
        attribute = getattr(inner, name)
        if isinstance(attribute, type(inner)):
            return _Chain(attribute, self._sending)
        if name in ("version", "_build_client"):
            return lambda *args, **kwargs: _Chain(attribute(*args, **kwargs), self._sending)
        return attribute

    def _(self, name: Any) -> Any:
        return _Chain(self._inner._(name), self._sending)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)


class _Client:
    """A view of the user's client: everything is the client's own, but where its `client` leads."""

    def __init__(
        self,
        client: Any,
        tracker: Tracker,
        guard: Guard | None = None,
        feature_by_template: Mapping[str, str] | None = None,
    ) -> None:
        check_wrapping(self, client, tracker, guard, ("sendgrid", "SendGridAPIClient"))
        for name, value in zip(_OWN, (client, tracker, guard, dict(feature_by_template or {})), strict=True):
            object.__setattr__(self, name, value)

    @property  # type: ignore[misc]  # typeshed: it may be set; nobody does
    def __class__(self) -> type:
        # So that isinstance(tracked, SendGridAPIClient) holds; type(tracked) tells the truth.
        return type(self._tracked_client)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)  # not made yet (copy, pickle)
        return getattr(self._tracked_client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._tracked_client, name, value)

    def __dir__(self) -> list[str]:
        return dir(self._tracked_client)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._tracked_client!r}>"

    @property
    def client(self) -> Any:
        """The SDK's HTTP client; ``client.mail.send.post(…)`` is metered, and takes ``metering={…}``."""
        return _Chain(self._tracked_client.client, self._post)

    @client.setter
    def client(self, client: Any) -> None:
        self._tracked_client.client = client

    def send(self, message: Any, metering: object = None) -> Any:
        """As the client's; the recipients are recorded, for whom ``metering`` says."""
        with metering_scope(metering):
            # The client's own method, with this as its self: it sends with the `client` above.
            return type(self._tracked_client).send(self, message)

    def _post(
        self, inner: Any, send: Any, request_body: Any = None, *args: Any, metering: object = None, **kwargs: Any
    ) -> Any:
        mail = _read(request_body)
        if is_sandboxed(mail):
            return send(request_body, *args, **kwargs)
        units = max(recipients(mail), 1)
        template = mail.get("template_id") if isinstance(mail, Mapping) else None
        template = template if isinstance(template, str) and template else None
        with metering_scope(metering):
            call = Call(self._tracker, self._guard)
            feature = current().feature or (self._features.get(template) if template else None)
        call.reserve("email", units, feature)
        try:
            response = send(request_body, *args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        self._finish(call, inner, response, units, feature, template)
        return response

    @staticmethod
    def _finish(call: Call, inner: Any, response: Any, units: int, feature: str | None, template: str | None) -> None:
        """Record what was sent. Never raises."""
        try:
            if not 200 <= response.status_code < 300:
                call.fail()
                return
            message_id = response.headers["X-Message-Id"]
            subuser = {name.lower(): value for name, value in inner.request_headers.items()}.get("on-behalf-of")
        except Exception as error:
            log.error("SendGrid's answer cannot be read: %s", type(error).__name__)
            message_id = subuser = None
        call.finish(
            units=units,
            service="sendgrid",
            operation="send",
            channel="email",
            direction="outbound",
            feature=feature,
            external_id=message_id,
            resource_id=subuser,
            metadata={"template_id": template} if template else None,
        )


if TYPE_CHECKING:

    class TrackedSendGrid(SendGridAPIClient):  # type: ignore[misc]  # the SDK is not typed
        """See below."""

        def __init__(
            self,
            client: SendGridAPIClient,
            tracker: Tracker,
            guard: Guard | None = None,
            feature_by_template: Mapping[str, str] | None = None,
        ) -> None: ...

        def send(self, message: Any, metering: Mapping[str, Any] | None = None) -> Any: ...

else:

    class TrackedSendGrid(_Client):
        """A product's `sendgrid.SendGridAPIClient` that records the recipients of each mail that it sends.

        To use as the client itself: same methods, same results, same exceptions. `send()` and
        `client.mail.send.post()` are metered; mail in sandbox mode is not, since it is not sent.

        Args:
            client: stays as it is; what is sent with it directly is not metered.
            tracker: takes the events. A failure of it never reaches the caller.
            guard: is asked for room before each mail, where `usage_context` names a tenant.
            feature_by_template: the feature of a mail made from a template, where no feature is named otherwise.

        Raises (by the calls): `UsageCapReached` where the guard refuses; nothing was sent then.
        """
