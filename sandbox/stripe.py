"""Stripe's API: balance transactions of the platform and of connected accounts (`Stripe-Account`), and the list of accounts.

A transaction is stored with `account` (null: the platform's) and its whole source; both are served as Stripe does:
the account not at all, the source as its id unless it is asked to be expanded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import views
from sandbox.dataset import ENCODER
from sandbox.lists import Record
from sandbox.state import STRIPE_API_KEY, State

PATHS = ("/v1/balance_transactions", "/v1/accounts")
"""OpenAI's paths begin with /v1 as well."""

DEFAULT_LIMIT, LARGEST_LIMIT = 10, 100
TYPES = {429: "invalid_request_error", 500: "api_error", 503: "api_error"}
MESSAGES = {
    401: "Invalid API Key provided: sk_test_*****",
    429: "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
    500: "An error occurred while processing your request.",
}
RANGE = re.compile(r"created\[(gte|gt|lte|lt)\]")
INSIDE: dict[str, Callable[[int, int], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}
EXPANDABLE = {"data.source", "source"}


class Refused(Exception):
    """A request that Stripe answers with an error."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


def is_stripe(path: str) -> bool:
    return path.startswith(PATHS)


def error_body(status: int, message: str | None = None, param: str | None = None, code: str | None = None) -> Record:
    error: Record = {
        "message": message or MESSAGES.get(status, "The request failed."),
        "type": TYPES.get(status, "invalid_request_error"),
    }
    if status == 429:
        error["code"] = "rate_limit"
    if code:
        error["code"] = code
    if param:
        error["param"] = param
    return {"error": error}


def answer(value: Any, status: int = 200) -> Response:
    headers = {"request-id": "req_sandbox", "stripe-version": "2023-08-16"}
    return Response(ENCODER.encode(value), status, headers, media_type="application/json")


def page(path: str, records: list[Record], request: Request) -> Record:
    """The page that follows `starting_after`, of a list that is newest first. Raises Refused."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not text.isdigit() or not 1 <= int(text) <= LARGEST_LIMIT:
        raise Refused(f"Invalid integer: {text}", "limit", code="parameter_invalid_integer")
    first, limit = 0, int(text)
    after = request.query_params.get("starting_after")
    if after is not None:
        ids = [record.get("id") for record in records]
        if after not in ids:
            raise Refused(f"No such object: '{after}'", "starting_after", code="resource_missing")
        first = ids.index(after) + 1
    shown = records[first : first + limit]
    return {"object": "list", "data": shown, "has_more": first + limit < len(records), "url": path}


class Stripe:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        return [
            Route("/v1/balance_transactions", self._guard(self.list_transactions)),
            Route("/v1/balance_transactions/{id}", self._guard(self.fetch_transaction)),
            Route("/v1/accounts", self._guard(self.list_accounts)),
        ]

    def _guard(self, endpoint: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            if _key(request) != STRIPE_API_KEY:
                return answer(error_body(401), 401)
            with self.state.lock:
                try:
                    return endpoint(request)
                except Refused as problem:
                    body = error_body(problem.status, str(problem), problem.param, problem.code)
                    return answer(body, problem.status)

        return guarded

    def list_transactions(self, request: Request) -> Response:
        bounds = []
        for name, text in request.query_params.multi_items():
            if match := RANGE.fullmatch(name):
                bounds.append((INSIDE[match[1]], _whole(text, name)))
        if "created" in request.query_params:
            bounds.append((int.__eq__, _whole(request.query_params["created"], "created")))
        wanted = {name: request.query_params[name] for name in ("type", "currency") if name in request.query_params}
        source = request.query_params.get("source")
        matching = [
            record
            for record in self._seen(request)
            if all(inside(record["created"], bound) for inside, bound in bounds)
            and all(record.get(name) == value for name, value in wanted.items())
            and (source is None or _id(record.get("source")) == source)
        ]
        body = page("/v1/balance_transactions", matching, request)
        expand = self._expanded(request)
        return answer({**body, "data": [_served(record, expand="data.source" in expand) for record in body["data"]]})

    def fetch_transaction(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        for record in self._seen(request):
            if record.get("id") == wanted:
                return answer(_served(record, expand="source" in self._expanded(request)))
        raise Refused(f"No such balance transaction: '{wanted}'", "id", 404, "resource_missing")

    def list_accounts(self, request: Request) -> Response:
        accounts = [views.plain(account) for account in self.state.dataset.stripe_accounts]
        return answer(page("/v1/accounts", accounts[::-1], request))

    def _seen(self, request: Request) -> list[Record]:
        """The account's transactions at this moment, newest first."""
        account = request.headers.get("stripe-account")
        if account is not None and account not in self._accounts():
            message = (
                f"The provided key 'sk_test_*****' does not have access to account '{account}' (or that account does not exist). "
                "Application access may have been revoked."
            )
            raise Refused(message, status=403, code="account_invalid")
        now = self.state.now.timestamp()
        seen = [
            shown
            for record in self.state.dataset.stripe_balance_transactions
            if record.get("account") == account and (shown := views.transaction_at(record, now)) is not None
        ]
        return sorted(seen, key=lambda record: (record["created"], str(record.get("id"))), reverse=True)

    def _accounts(self) -> set[str]:
        listed = {account["id"] for account in self.state.dataset.stripe_accounts}
        return listed | {
            record["account"] for record in self.state.dataset.stripe_balance_transactions if record.get("account")
        }

    def _expanded(self, request: Request) -> set[str]:
        requested = {
            value for name, value in request.query_params.multi_items() if re.fullmatch(r"expand(\[\d*\])?", name)
        }
        for name in requested - EXPANDABLE:
            raise Refused(f"This property cannot be expanded ({name}).", "expand")
        return requested


def _served(record: Record, *, expand: bool) -> Record:
    shown = {name: value for name, value in record.items() if name != "account"}
    return shown if expand else {**shown, "source": _id(shown.get("source"))}


def _id(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(f"Invalid timestamp: {text}", name) from None


def _key(request: Request) -> str:
    """The secret key, as a bearer token or as the user name of basic authentication."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return base64.b64decode(value).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
