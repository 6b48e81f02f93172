"""The HTTP application: which provider a path belongs to, failures on request, and the providers'
routes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import (
    anthropic,
    anthropic_reports,
    cloudflare,
    control,
    openai,
    openai_inference,
    sendgrid,
    stripe,
    twilio,
)
from sandbox.dataset import ENCODER
from sandbox.faults import Fault
from sandbox.state import State

PIECES_BEFORE_CUT = 4


def error_body(path: str, status: int) -> Any:
    """What the provider that `path` belongs to says with `status`."""
    if path.startswith(cloudflare.PREFIX + "/"):
        return cloudflare.error_body(status)
    if stripe.is_stripe(path):
        return stripe.error_body(status)
    if anthropic.is_anthropic(path):
        return anthropic.error_body(status)
    if path.startswith(openai.PREFIX + "/"):
        return openai.error_body(status)
    if path.startswith(sendgrid.PREFIX + "/"):
        return sendgrid.error_body(status)
    return twilio.error_body(status)


def fault_headers(path: str, status: int) -> dict[str, str]:
    """What the provider sends with a failure by itself: SendGrid says with a 429 when to come back."""
    if status == 429 and path.startswith(sendgrid.PREFIX + "/"):
        return sendgrid.limit_headers(0, int(time.time()) + 1)
    return {}


class _Cut(Exception):
    """Ends the carrying out of a request whose connection has been closed."""


def _is_cut(problem: BaseException) -> bool:
    if isinstance(problem, BaseExceptionGroup):
        return all(_is_cut(inner) for inner in problem.exceptions)
    return isinstance(problem, _Cut)


class FaultLayer:
    """Outermost: notes each provider request and lets the faults have their way with it."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(control.PREFIX):
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        target = path + (f"?{unquote_plus(query)}" if query else "")
        self.state.requests.append(f"{scope['method']} {target}")
        fault = self.state.faults.take(target)
        if fault is None:
            await self.app(scope, receive, send)
            return
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut == "middle" and scope["method"] == "POST":
            await self._cut_answer(scope, receive, send)
        elif fault.cut is not None:
            await self._cut(fault, receive, send)
        elif fault.status is None:
            await self.app(scope, receive, send)
        else:
            body = error_body(path, fault.status) if fault.body is None else fault.body
            content = body.encode() if isinstance(body, str) else ENCODER.encode(body)
            headers = {**fault_headers(path, fault.status), **fault.headers}
            response = Response(content, fault.status, headers, media_type="application/json")
            await response(scope, receive, send)

    async def _cut_answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request be carried out, then closes the connection: after a few pieces of a stream, in the middle
        of anything else.
        """
        passed = 0

        async def cutting(message: Message) -> None:
            nonlocal passed
            if message["type"] == "http.response.body":
                passed += 1
                body = message.get("body", b"")
                if not message.get("more_body") or passed > PIECES_BEFORE_CUT:
                    await send({**message, "body": body[: len(body) // 2], "more_body": True})
                    send.__self__.transport.close()  # type: ignore[attr-defined]
                    raise _Cut
            await send(message)

        try:
            await self.app(scope, receive, cutting)
        except Exception as problem:
            if not _is_cut(problem):
                raise
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _cut(self, fault: Fault, receive: Receive, send: Send) -> None:
        """Closes the connection under the answer, quietly: uvicorn only logs an answer cut by the
        application.
        """
        # What is sent to a socket that is closed already comes back as a reset, now and then: the request is read first.
        while (await receive()).get("more_body"):
            pass
        if fault.cut == "middle":
            headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"data": [', "more_body": True})
        # `send` is a method of uvicorn's request cycle, which holds the socket; ASGI has no word for this.
        send.__self__.transport.close()  # type: ignore[attr-defined]
        while (await receive())["type"] != "http.disconnect":
            pass


def create_app(state: State) -> ASGIApp:
    """The ASGI application over `state`."""

    async def refused(request: Request, problem: Exception) -> Response:
        """No such path, or no such method of it."""
        status = problem.status_code if isinstance(problem, HTTPException) else 500
        content = ENCODER.encode(error_body(request.url.path, status))
        return Response(content, status, media_type="application/json")

    providers = (
        control.Control(state),
        twilio.Twilio(state),
        openai.OpenAI(state),
        openai_inference.Inference(state),
        anthropic.Anthropic(state),
        anthropic_reports.AnthropicReports(state),
        sendgrid.SendGrid(state),
        stripe.Stripe(state),
        cloudflare.Cloudflare(state),
    )
    routes = [route for provider in providers for route in provider.routes()]
    return FaultLayer(Starlette(routes=routes, exception_handlers={HTTPException: refused}), state)
