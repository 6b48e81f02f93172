"""Twilio's API 2010-04-01: Accounts, Messages, Calls, Recordings, IncomingPhoneNumbers (lists and single resources); what
is created is made in `twilio_sending.py`.

Usage records are in `twilio_usage.py`. Date filters are inclusive for messages (DateSent>, DateSent<) and recordings
(DateCreated>, DateCreated<); for calls the upper bound is not (StartTime<, EndTime<), as the specification words it. A bound
that is only a date means midnight at its start, which is why `DateSent<=2026-10-31` loses the 31st.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import twilio_sending, twilio_usage, views
from sandbox.dataset import ENCODER
from sandbox.index import Index
from sandbox.lists import Record
from sandbox.state import DEFAULT_TOKEN, State
from sandbox.times import ALWAYS, DAY, NEVER, as_utc, day_start, parse_rfc2822

PREFIX = "/2010-04-01"
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
MESSAGES = {
    400: "Bad request",
    401: "Authenticate",
    404: "Not found",
    405: "Method not allowed",
    429: "Too Many Requests",
}
CODES = {400: 20001, 401: 20003, 403: 20403, 404: 20404, 405: 20004, 429: 20429, 500: 20500, 503: 20503}

Predicate = Callable[[Record], bool]
Item = tuple[str, bytes]  # what the page token names, and the record's JSON


class BadRequest(Exception):
    """A parameter Twilio would refuse."""


def error_body(status: int, message: str | None = None, code: int | None = None) -> Record:
    code = code or CODES.get(status, 20500)
    return {
        "code": code,
        "message": message or MESSAGES.get(status, "Internal Server Error"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def error(status: int, message: str | None = None, code: int | None = None) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if status == 401 else {}
    return answer(ENCODER.encode(error_body(status, message, code)), status, headers)


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {"Twilio-Concurrent-Requests": "1", "Twilio-Request-Duration": "0.010", **(headers or {})}
    return Response(body, status, headers, media_type="application/json")


@dataclass
class Page:
    """One page of a list: `size` records after the record that `token` names."""

    size: int
    number: int
    token: str | None

    @classmethod
    def of(cls, request: Request) -> Page:
        query = request.query_params
        try:
            size, number = int(query.get("PageSize", DEFAULT_PAGE)), int(query.get("Page", 0))
        except ValueError as problem:
            raise BadRequest("Page and PageSize must be numbers") from problem
        if size < 1 or number < 0:
            raise BadRequest("PageSize must be at least 1, Page at least 0")
        token = query.get("PageToken")
        if token is not None and not token.startswith("PA"):
            raise BadRequest("Invalid PageToken")
        return cls(min(size, LARGEST_PAGE), number, None if token is None else token[2:])

    def body(self, request: Request, key: str, items: Sequence[bytes], last: str | None) -> bytes:
        """The list's JSON. `last` names the last record where there are more after it."""
        start = self.number * self.size
        head = {
            "end": start + max(len(items) - 1, 0),
            "first_page_uri": self._uri(request, 0, None),
            "next_page_uri": None if last is None else self._uri(request, self.number + 1, last),
            "page": self.number,
            "page_size": self.size,
            # Known for the second page only: a token says where a page begins, and clients walk forward.
            "previous_page_uri": self._uri(request, 0, None) if self.number == 1 else None,
            "start": start,
            "uri": self._uri(request, self.number, self.token),
        }
        return ENCODER.encode(head)[:-1] + b',"' + key.encode() + b'":[' + b",".join(items) + b"]}"

    def _uri(self, request: Request, number: int, token: str | None) -> str:
        own = ("PageSize", "Page", "PageToken")
        pairs = [(name, value) for name, value in request.query_params.multi_items() if name not in own]
        pairs += [("PageSize", str(self.size)), ("Page", str(number))]
        if token is not None:
            pairs.append(("PageToken", f"PA{token}"))
        return f"{quote(request.url.path)}?{urlencode(pairs)}"


def moment_of(name: str, text: str) -> tuple[float, bool]:
    """(epoch second, is only a date) of a filter's value. Raises BadRequest."""
    try:
        if len(text) == 10:
            return day_start(date.fromisoformat(text)), True
        # A plus sign that a client did not encode arrives as a space.
        return as_utc(datetime.fromisoformat(text.strip().replace(" 00:00", "+00:00"))).timestamp(), False
    except ValueError:
        epoch = parse_rfc2822(text)
        if epoch is None:
            raise BadRequest(f"Parameter '{name}' is not valid") from None
        return epoch, False


def interval(request: Request, name: str, *, upper_included: bool) -> tuple[float, float] | None:
    """[since, until) in epoch seconds of one date parameter and its operators; None where it is not given."""
    query = request.query_params
    if not {name, f"{name}<", f"{name}>"} & set(query):
        return None
    since, until = ALWAYS, NEVER
    if name in query:
        since, only_date = moment_of(name, query[name])
        until = since + (DAY if only_date else 1)
    if f"{name}>" in query:
        since = max(since, moment_of(name, query[f"{name}>"])[0])
    if f"{name}<" in query:
        bound, _ = moment_of(name, query[f"{name}<"])
        until = min(until, bound + (1 if upper_included else 0))
    return since, until


def equals(request: Request, **fields: str) -> list[Predicate]:
    """Predicates for the parameters that are given: parameter -> field that must equal it."""

    def predicate(field: str, wanted: str) -> Predicate:
        return lambda record: record.get(field) == wanted

    query = request.query_params
    return [predicate(field, query[name]) for name, field in fields.items() if query.get(name)]


def timed_page(
    request: Request,
    page: Page,
    index: Index,
    now: float,
    within: tuple[float, float] | None,
    predicates: list[Predicate],
) -> tuple[list[bytes], str | None]:
    """The records of one page, newest first, and the name of the last where there are more."""
    low, high = (0, len(index.records)) if within is None else index.bounds(*within)
    if within is not None:
        # A message that waits to be sent has no date and matches no date.
        predicates = [*predicates, lambda record: record.get(index.time_field) is not None]
    if page.token is not None:
        if page.token not in index.position:
            raise BadRequest("Invalid PageToken")
        high = min(high, index.position[page.token])
    items: list[bytes] = []
    last: str | None = None
    for position in index.newest_first(low, high):
        record = index.seen(position, now)
        if record is None or not all(predicate(record) for predicate in predicates):
            continue
        if len(items) == page.size:
            return items, last
        encoded = index.json(position, now)
        if encoded is not None:
            items.append(encoded)
            last = str(record.get("sid"))
    return items, None


def listed_page(page: Page, items: Sequence[Item]) -> tuple[list[bytes], str | None]:
    """A page of a short list that is at hand as a whole."""
    first = 0
    if page.token is not None:
        names = [name for name, _ in items]
        if page.token not in names:
            raise BadRequest("Invalid PageToken")
        first = names.index(page.token) + 1
    shown = items[first : first + page.size]
    more = first + page.size < len(items)
    return [encoded for _, encoded in shown], shown[-1][0] if more else None


def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a request's body."""
    return parse_qs(request.state.content.decode(), keep_blank_values=True)


class Twilio:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        account = PREFIX + "/Accounts/{account_sid}"
        return [
            Route(PREFIX + "/Accounts.json", self._guard(self.list_accounts)),
            Route(account + ".json", self._guard(self.fetch_account)),
            Route(account + "/Messages.json", self._guard(self.list_messages)),
            Route(account + "/Messages/{sid}.json", self._guard(self.fetch_message)),
            Route(account + "/Calls.json", self._guard(self.list_calls)),
            Route(account + "/Calls/{sid}.json", self._guard(self.fetch_call)),
            Route(account + "/Recordings.json", self._guard(self.list_recordings)),
            Route(account + "/Recordings/{sid}.json", self._guard(self.fetch_recording)),
            Route(account + "/IncomingPhoneNumbers.json", self._guard(self.list_numbers)),
            Route(account + "/IncomingPhoneNumbers/{sid}.json", self._guard(self.fetch_number)),
            Route(account + "/Usage/Records.json", self._guard(self.usage)),
            Route(account + "/Usage/Records/Daily.json", self._guard(self.usage_daily)),
            Route(account + "/Messages.json", self._guard(self.create_message), methods=["POST"]),
            Route(account + "/Calls.json", self._guard(self.create_call), methods=["POST"]),
        ]

    def _guard(self, endpoint: Callable[[Request, Record], Response]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            request.state.content = await request.body()
            with self.state.lock:
                user = self._authenticated(request)
                if user is None:
                    return error(401)
                account = self._account(request, user)
                if account is None:
                    return error(404, f"The requested resource {request.url.path} was not found")
                try:
                    return endpoint(request, account)
                except BadRequest as problem:
                    return error(400, str(problem))
                except twilio_sending.Refusal as problem:
                    return error(400, str(problem), problem.code)

        return guarded

    def _authenticated(self, request: Request) -> Record | None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        for account in self.state.accounts():
            if scheme.lower() == "basic" and account.get("sid") == user:
                return account if password == (account.get("auth_token") or DEFAULT_TOKEN) else None
        return None

    def _account(self, request: Request, user: Record) -> Record | None:
        """The account of the path, if the signed-in one may see it: itself, or the main account any."""
        wanted = request.path_params.get("account_sid", user["sid"])
        may_see_all = user.get("owner_account_sid") in (None, user["sid"])
        for account in self.state.accounts():
            if account["sid"] == wanted and (may_see_all or wanted == user["sid"]):
                return account
        return None

    @property
    def _now(self) -> float:
        return self.state.now.timestamp()

    def list_accounts(self, request: Request, user: Record) -> Response:
        page = Page.of(request)
        predicates = equals(request, FriendlyName="friendly_name", Status="status")
        visible = [
            account
            for account in self.state.accounts()
            if user.get("owner_account_sid") in (None, user["sid"]) or account["sid"] == user["sid"]
        ]
        items = [(a["sid"], ENCODER.encode(views.plain(a))) for a in visible if all(p(a) for p in predicates)]
        return answer(page.body(request, "accounts", *listed_page(page, items)))

    def fetch_account(self, request: Request, account: Record) -> Response:
        return answer(ENCODER.encode(views.plain(account)))

    def list_messages(self, request: Request, account: Record) -> Response:
        page = Page.of(request)
        index = self.state.index("twilio_messages", account["sid"])
        within = interval(request, "DateSent", upper_included=True)
        predicates = equals(request, To="to", From="from")
        items, last = timed_page(request, page, index, self._now, within, predicates)
        return answer(page.body(request, "messages", items, last))

    def list_calls(self, request: Request, account: Record) -> Response:
        page = Page.of(request)
        index = self.state.index("twilio_calls", account["sid"])
        within = interval(request, "StartTime", upper_included=False)
        predicates = equals(request, To="to", From="from", ParentCallSid="parent_call_sid", Status="status")
        ended = interval(request, "EndTime", upper_included=False)
        if ended is not None:
            since, until = ended

            def has_ended(record: Record) -> bool:
                end = parse_rfc2822(record.get("end_time"))
                return end is not None and since <= end < until

            predicates.append(has_ended)
        items, last = timed_page(request, page, index, self._now, within, predicates)
        return answer(page.body(request, "calls", items, last))

    def list_recordings(self, request: Request, account: Record) -> Response:
        page = Page.of(request)
        index = self.state.index("twilio_recordings", account["sid"])
        within = interval(request, "DateCreated", upper_included=True)
        predicates = equals(request, CallSid="call_sid", ConferenceSid="conference_sid")
        if request.query_params.get("IncludeSoftDeleted", "false").lower() != "true":
            predicates.append(lambda record: record.get("status") != "deleted")
        items, last = timed_page(request, page, index, self._now, within, predicates)
        return answer(page.body(request, "recordings", items, last))

    def list_numbers(self, request: Request, account: Record) -> Response:
        page = Page.of(request)
        predicates = equals(request, FriendlyName="friendly_name", Origin="origin")
        wanted = request.query_params.get("PhoneNumber", "").replace("*", "")
        items = [
            (str(number.get("sid")), ENCODER.encode(shown))
            for number in self.state.dataset.twilio_phone_numbers
            if number.get("account_sid") == account["sid"]
            and (shown := views.message_at(number, self._now)) is not None
            and wanted in str(number.get("phone_number"))
            and all(predicate(number) for predicate in predicates)
        ]
        return answer(page.body(request, "incoming_phone_numbers", *listed_page(page, items)))

    def create_message(self, request: Request, account: Record) -> Response:
        record = twilio_sending.message(_form(request), account["sid"], self._numbers_of(account), self._now)
        self.state.append("twilio_messages", record)
        return answer(ENCODER.encode(views.message_at(record, self._now)), 201)

    def create_call(self, request: Request, account: Record) -> Response:
        record = twilio_sending.call(_form(request), account["sid"], self._numbers_of(account), self._now)
        self.state.append("twilio_calls", record)
        return answer(ENCODER.encode(views.call_at(record, self._now)), 201)

    def _numbers_of(self, account: Record) -> list[str]:
        numbers = self.state.dataset.twilio_phone_numbers
        return [
            str(number.get("phone_number"))
            for number in numbers
            if number.get("account_sid") == account["sid"] and views.message_at(number, self._now) is not None
        ]

    def fetch_message(self, request: Request, account: Record) -> Response:
        return self._fetch(request, self.state.index("twilio_messages", account["sid"]))

    def fetch_call(self, request: Request, account: Record) -> Response:
        return self._fetch(request, self.state.index("twilio_calls", account["sid"]))

    def fetch_recording(self, request: Request, account: Record) -> Response:
        return self._fetch(request, self.state.index("twilio_recordings", account["sid"]))

    def _fetch(self, request: Request, index: Index) -> Response:
        position = index.position.get(request.path_params["sid"])
        encoded = None if position is None else index.json(position, self._now)
        if encoded is None:
            return error(404, f"The requested resource {request.url.path} was not found")
        return answer(encoded)

    def fetch_number(self, request: Request, account: Record) -> Response:
        for number in self.state.dataset.twilio_phone_numbers:
            if (number.get("account_sid"), number.get("sid")) == (account["sid"], request.path_params["sid"]):
                return answer(ENCODER.encode(views.plain(number)))
        return error(404, f"The requested resource {request.url.path} was not found")

    def usage(self, request: Request, account: Record) -> Response:
        return self._usage(request, account, daily=False)

    def usage_daily(self, request: Request, account: Record) -> Response:
        return self._usage(request, account, daily=True)

    def _usage(self, request: Request, account: Record, *, daily: bool) -> Response:
        page, query = Page.of(request), request.query_params
        today = datetime.fromtimestamp(self._now, UTC).date()
        try:
            records = twilio_usage.usage_records(
                self.state,
                account,
                first=twilio_usage.day_parameter(query.get("StartDate"), today),
                last=twilio_usage.day_parameter(query.get("EndDate"), today),
                category=query.get("Category"),
                include_subaccounts=query.get("IncludeSubaccounts", "true").lower() != "false",
                daily=daily,
            )
        except ValueError as problem:
            raise BadRequest(str(problem)) from problem
        items = [(f"{record['category']}.{record['start_date']}", ENCODER.encode(record)) for record in records]
        return answer(page.body(request, "usage_records", *listed_page(page, items)))
