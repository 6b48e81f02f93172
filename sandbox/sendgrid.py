"""SendGrid's v3 API: stats of the account, of a subuser (`On-Behalf-Of`), of up to 10 subusers or categories; the subusers; and
sending mail, which is in the stats of the day afterwards.

A day of the data without a record is a day of zeros; days after the sandbox's today are not listed.
`/v3/stats` serves `sendgrid_stats.json` as it is: whether that includes the subusers is the data's choice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import views
from sandbox.dataset import ENCODER
from sandbox.lists import Record
from sandbox.state import SENDGRID_API_KEY, State

PREFIX = "/v3"
METRICS = (
    "blocks",
    "bounce_drops",
    "bounces",
    "clicks",
    "deferred",
    "delivered",
    "invalid_emails",
    "opens",
    "processed",
    "requests",
    "spam_report_drops",
    "spam_reports",
    "unique_clicks",
    "unique_opens",
    "unsubscribe_drops",
    "unsubscribes",
)
MESSAGES = {
    401: "authorization required",
    403: "access forbidden",
    404: "not found",
    429: "too many requests",
}
RATE_LIMIT, RATE_WINDOW = 600, 60
MOST_NAMES = 10
LARGEST_LIST = 500
MOST_PERSONALIZATIONS = 1000


class Refused(Exception):
    """A request that SendGrid answers with 400."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def error_body(status: int, message: str | None = None, field: str | None = None) -> Record:
    return {"errors": [{"field": field, "message": message or MESSAGES.get(status, "internal error")}]}


def limit_headers(remaining: int, reset: int) -> dict[str, str]:
    """`reset` is epoch seconds of the machine's clock: clients sleep by that one."""
    return {
        "X-RateLimit-Limit": str(RATE_LIMIT),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


def day_parameter(request: Request, name: str, default: date | None = None) -> date:
    text = request.query_params.get(name)
    if not text:
        if default is None:
            raise Refused(f"{name} is required", name)
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{name} must be a valid date in the format YYYY-MM-DD", name) from None


def count_parameter(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdigit() or (name == "limit" and int(text) < 1):
        raise Refused(f"{name} must be a positive number", name)
    return int(text)


def recipients(mail: Any) -> int:
    """Emails that a mail asks for. Raises Refused as SendGrid would for what is missing."""
    if not isinstance(mail, dict) or not mail.get("personalizations"):
        raise Refused(
            "The personalizations field is required and must have at least one personalization.", "personalizations"
        )
    personalizations = mail["personalizations"]
    if len(personalizations) > MOST_PERSONALIZATIONS:
        raise Refused("You may not specify more than 1000 personalizations.", "personalizations")
    if not (mail.get("from") or {}).get("email"):
        raise Refused("The from object must be provided for every email send.", "from.email")
    if not mail.get("template_id"):
        if not mail.get("subject") and not all(one.get("subject") for one in personalizations):
            raise Refused("The subject is required.", "subject")
        if not mail.get("content"):
            raise Refused("Unless a valid template_id is provided, the content parameter is required.", "content")
    count = 0
    for number, one in enumerate(personalizations):
        if not one.get("to"):
            raise Refused("The to array is required for all personalization objects.", f"personalizations.{number}.to")
        count += sum(len(one.get(field) or ()) for field in ("to", "cc", "bcc"))
    return count


class SendGrid:
    """The routes over one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._window, self._used = 0, 0

    def routes(self) -> list[Route]:
        return [
            Route(PREFIX + "/stats", self._guard(self.stats)),
            Route(PREFIX + "/subusers", self._guard(self.subusers)),
            Route(PREFIX + "/subusers/stats", self._guard(self.subuser_stats)),
            Route(PREFIX + "/categories/stats", self._guard(self.category_stats)),
            Route(PREFIX + "/mail/send", self._guard(self.send), methods=["POST"]),
        ]

    def _answer(self, value: Any, status: int = 200) -> Response:
        window = int(time.time()) // RATE_WINDOW
        self._used = self._used + 1 if window == self._window else 1
        self._window = window
        # Counted and shown, never enforced: a 429 is a fault that a test asks for.
        headers = limit_headers(max(RATE_LIMIT - self._used, 1), (window + 1) * RATE_WINDOW)
        return Response(ENCODER.encode(value), status, headers, media_type="application/json")

    def _guard(self, endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            request.state.content = await request.body()
            if request.headers.get("authorization", "") != f"Bearer {SENDGRID_API_KEY}":
                return self._answer(error_body(401), 401)
            with self.state.lock:
                behalf = request.headers.get("on-behalf-of")
                known = {subuser["username"] for subuser in self.state.dataset.sendgrid_subusers}
                if behalf is not None and behalf not in known:
                    return self._answer(error_body(403), 403)
                try:
                    result = endpoint(request)
                    return result if isinstance(result, Response) else self._answer(result)
                except Refused as problem:
                    return self._answer(error_body(400, str(problem), problem.field), 400)

        return guarded

    def _days(self, request: Request) -> list[date]:
        """The days of the request, oldest first, up to the sandbox's today."""
        today = self.state.now.date()
        first = day_parameter(request, "start_date")
        last = day_parameter(request, "end_date", today)
        if last < first:
            raise Refused("end_date must not be before start_date", "end_date")
        return [first + timedelta(days=day) for day in range((min(last, today) - first).days + 1)]

    def _metrics(self, name: str, day: date, of: str | None, field: str = "subuser") -> Record:
        for stored in self.state.on_date(name, day):
            if of is None or stored.get(field) == of:
                shown = views.bucket_at(stored, self.state.now.timestamp())
                if shown is not None:
                    metrics: Record = shown["metrics"]
                    return metrics
        return dict.fromkeys(METRICS, 0)

    def stats(self, request: Request) -> list[Record]:
        behalf = request.headers.get("on-behalf-of")
        name = "sendgrid_stats" if behalf is None else "sendgrid_subuser_stats"
        per_day = [
            (day, [{"metrics": self._metrics(name, day, behalf)}])
            for day in self._days(request)
            if not self.state.is_missing(name, day)
        ]
        return self._paged(request, per_day)

    def subuser_stats(self, request: Request) -> list[Record]:
        wanted = request.query_params.getlist("subusers")
        if not wanted:
            raise Refused("You must supply at least one subuser", "subusers")
        if len(wanted) > MOST_NAMES:
            raise Refused(f"You may request up to {MOST_NAMES} subusers", "subusers")
        known = {subuser["username"] for subuser in self.state.dataset.sendgrid_subusers}
        known |= {str(record.get("subuser")) for record in self.state.dataset.sendgrid_subuser_stats}
        name = "sendgrid_subuser_stats"
        per_day = [
            (
                day,
                [
                    {"type": "subuser", "name": subuser, "metrics": self._metrics(name, day, subuser)}
                    for subuser in wanted
                    if subuser in known
                ],
            )
            for day in self._days(request)
            if not self.state.is_missing(name, day)
        ]
        return self._paged(request, per_day)

    def category_stats(self, request: Request) -> list[Record]:
        """A category that has never been used has days of zeros (SendGrid does not say what it answers then)."""
        wanted = request.query_params.getlist("categories")
        if len(wanted) > MOST_NAMES:
            raise Refused(f"You may request up to {MOST_NAMES} categories", "categories")
        name = "sendgrid_category_stats"
        per_day = [
            (
                day,
                [
                    {"type": "category", "name": one, "metrics": self._metrics(name, day, one, "category")}
                    for one in wanted
                ],
            )
            for day in self._days(request)
            if not self.state.is_missing(name, day)
        ]
        return self._paged(request, per_day)

    def _paged(self, request: Request, per_day: list[tuple[date, list[Record]]]) -> list[Record]:
        """Sums days into weeks or months where asked to, then cuts out the page."""
        by = request.query_params.get("aggregated_by", "day")
        starts: dict[str, Callable[[date], date]] = {
            "day": lambda day: day,
            "week": lambda day: day - timedelta(days=day.weekday()),
            "month": lambda day: day.replace(day=1),
        }
        if by not in starts:
            raise Refused("aggregated_by must be one of day, week, month", "aggregated_by")
        periods: dict[date, list[Record]] = {}
        for day, stats in per_day:
            period = periods.setdefault(starts[by](day), [{**stat, "metrics": {}} for stat in stats])
            for total, stat in zip(period, stats, strict=True):
                for metric, value in stat["metrics"].items():
                    # Data given by hand may hold a wrong type on purpose: then it is served as it is.
                    known = total["metrics"].get(metric)
                    total["metrics"][metric] = value if known is None else known + value
        entries = [{"date": day.isoformat(), "stats": stats} for day, stats in periods.items()]
        offset = count_parameter(request, "offset", 0)
        return entries[offset : offset + count_parameter(request, "limit", max(len(entries), 1))]

    def send(self, request: Request) -> Response:
        """202 and no body; in sandbox mode the mail is checked, not sent, and the answer is 200."""
        try:
            mail = msgspec.json.decode(request.state.content)
        except msgspec.DecodeError:
            raise Refused("Bad Request", "") from None
        emails = recipients(mail)
        behalf = request.headers.get("on-behalf-of")
        sandboxed = bool(((mail.get("mail_settings") or {}).get("sandbox_mode") or {}).get("enable"))
        if not sandboxed:
            self.state.add_mail(self.state.now.date(), behalf, dict.fromkeys(METRICS, 0), emails)
        headers = {
            "X-Message-Id": secrets.token_urlsafe(16),
            "Access-Control-Allow-Origin": "https://sendgrid.api-docs.io",
        }
        return Response(b"", 200 if sandboxed else 202, headers)

    def subusers(self, request: Request) -> list[Record]:
        username = request.query_params.get("username", "")
        regions = request.query_params.get("include_region", "false").lower() == "true"
        matching = [
            {**views.plain(subuser), **({"region": "global"} if regions else {})}
            for subuser in self.state.dataset.sendgrid_subusers
            if username in subuser["username"]
        ]
        offset = count_parameter(request, "offset", 0)
        return matching[offset : offset + count_parameter(request, "limit", LARGEST_LIST)]
