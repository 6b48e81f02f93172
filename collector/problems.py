"""What the collector refuses, beside what `api.kit.problems` has: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from psycopg import errors as pg
from rfc9457 import Problem, StatusProblem

from api.kit import problems

MISSING = (
    "Tables are missing, or the role metering_tracker may not use them. Run `metering migrate`, then `metering doctor`."
)


class UnsignedRequest(StatusProblem):
    status = 403
    title = "The signature does not fit"


class BodyTooLarge(StatusProblem):
    status = 413
    title = "The body is too large"


class UnsupportedMediaType(StatusProblem):
    status = 415
    title = "The media type is not supported"


class TooManyRequests(StatusProblem):
    status = 429
    title = "Too many requests"
    headers_ = {"Retry-After": "1"}


class NotSetUp(StatusProblem):
    status = 503
    title = "These callbacks are not set up"
    headers_ = {"Retry-After": "60"}


class NothingTaken(StatusProblem):
    status = 422
    title = "No event was taken"


async def _not_migrated(request: Request, error: Exception) -> Response:
    return await problems.HANDLERS[Problem](request, problems.DatabaseUnavailable(MISSING))


_EXAMPLES: dict[int, StatusProblem] = {
    400: problems.UnreadableBody("not JSON: Expecting value: line 1 column 1 (char 0)."),
    413: BodyTooLarge("The body has more than 5000000 bytes: send less at once."),
    415: UnsupportedMediaType("Content-Encoding must be gzip or absent."),
    429: TooManyRequests("At most 100 requests a second with one token."),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's response entries for these problem statuses, of the collector's own and of the API's."""
    own: dict[int | str, dict[str, Any]] = {
        status: problems.response_of(_EXAMPLES[status]) for status in statuses if status in _EXAMPLES
    }
    return {**own, **problems.documented(*(status for status in statuses if status not in own))}


def install(app: FastAPI) -> None:
    """Make the application answer every error as problem+json."""
    problems.install(app)
    kinds: list[Any] = [pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.InvalidSchemaName]
    for kind in (*kinds, pg.InsufficientPrivilege):
        app.add_exception_handler(kind, _not_migrated)
