"""HEAD wherever there is a GET, as RFC 9110 (9.3.2) asks of every server: FastAPI's routes know their own method alone."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answers a HEAD with the status and headers of its GET, and without the body. An `Allow` that has GET has HEAD too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def send_answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                _allow_head(MutableHeaders(scope=message))
            elif message["type"] == "http.response.body" and is_head:
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send_answer)


def _allow_head(headers: MutableHeaders) -> None:
    allowed = [method for method in headers.get("allow", "").split(", ") if method]
    if "GET" in allowed and "HEAD" not in allowed:
        headers["allow"] = ", ".join([*allowed, "HEAD"])
