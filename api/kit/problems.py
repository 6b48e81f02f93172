"""Errors as the client sees them: RFC 9457 `application/problem+json`, every one of them, whoever raised it.

    rfc9457.StatusProblem
    ├── MissingToken, InvalidToken      401, with WWW-Authenticate
    ├── WrongRole                       403
    ├── UnknownObject                   404: not there, or not the caller's
    ├── AlertResolved                   409
    ├── DaysNotRebuildable              409
    ├── UnreadableBody                  400: not even text
    ├── InvalidInput                    422, with errors: [{field, message}]
    ├── DatabaseUnavailable             503
    ├── WarehouseNotBuilt               503: no marts
    ├── RightsMissing                   503: marts, but not for the API's role
    ├── SigningKeysUnavailable          503
    ├── SchedulerUnavailable            503: Dagster does not answer, or cannot do what was asked
    └── NotReady                        503, with checks: [{name, ok, detail}]

No message carries an exception's text: those name hosts, users and SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout
from rfc9457 import Problem, StatusProblem
from starlette.exceptions import HTTPException
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
TYPE_URI = "urn:usage-metering:problem:{type}"
CHALLENGE = 'Bearer realm="usage-metering"'
RETRY_AFTER = {"Retry-After": "5"}
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class UnreadableBody(StatusProblem):
    status = 400
    title = "The body cannot be read"


class MissingToken(StatusProblem):
    status = 401
    title = "Sign in first"
    headers_ = {"WWW-Authenticate": CHALLENGE}


class InvalidToken(StatusProblem):
    status = 401
    title = "The token is not valid"
    headers_ = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}


class WrongRole(StatusProblem):
    status = 403
    title = "Your role may not do this"


class UnknownObject(StatusProblem):
    status = 404
    title = "Not found"


class AlertResolved(StatusProblem):
    status = 409
    title = "The alert is resolved"


class DaysNotRebuildable(StatusProblem):
    status = 409
    title = "These days cannot be rebuilt"


class InvalidInput(StatusProblem):
    status = 422
    title = "The request cannot be understood"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", errors=[{"field": field, "message": message}])


class DatabaseUnavailable(StatusProblem):
    status = 503
    title = "The database is unavailable"
    headers_ = RETRY_AFTER


class WarehouseNotBuilt(StatusProblem):
    status = 503
    title = "The usage figures are not built yet"
    headers_ = RETRY_AFTER


class RightsMissing(StatusProblem):
    status = 503
    title = "The API may not read the figures"
    headers_ = RETRY_AFTER


class SigningKeysUnavailable(StatusProblem):
    status = 503
    title = "Tokens cannot be checked at the moment"
    headers_ = RETRY_AFTER


class SchedulerUnavailable(StatusProblem):
    status = 503
    title = "Dagster is unavailable"
    headers_ = RETRY_AFTER


class NotReady(StatusProblem):
    status = 503
    title = "Not ready"
    headers_ = RETRY_AFTER


def _respond(request: Request, status: int, body: dict[str, Any], headers: Mapping[str, str] | None) -> JSONResponse:
    body["instance"] = request.url.path
    return JSONResponse(
        body,
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _respond(request, error.status, error.marshal(uri=TYPE_URI), error.headers)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(item["loc"]), "message": _sentence(item)} for item in error.errors()]
    body = InvalidInput(errors[0]["field"], errors[0]["message"]).marshal(uri=TYPE_URI)
    body["errors"] = errors
    return _respond(request, 422, body, None)


def _field(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location[1:]) or str(location[0])


def _sentence(item: Mapping[str, Any]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == UnreadableBody.status:
        return await _problem(request, UnreadableBody(error.detail))
    phrase = HTTPStatus(error.status_code).phrase
    body = {"type": "about:blank", "title": phrase, "status": error.status_code}
    if error.detail and error.detail != phrase:
        body["detail"] = error.detail
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else error.headers
    return _respond(request, error.status_code, body, headers)


def _allowed(request: Request) -> list[str]:
    """Return what may be done with the path: each of its routes knows its own methods only, and none of FastAPI's knows HEAD."""
    scope, routes = request.scope, request.app.routes
    allowed = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    # None matches below a mount: it serves files, to be read.
    return sorted({*allowed, "HEAD"}) if "GET" in allowed else allowed or ["GET", "HEAD"]


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return await _problem(request, DatabaseUnavailable("It does not answer, or not in time. Try again in a moment."))


async def _busy(request: Request, error: Exception) -> JSONResponse:
    detail = "A table is locked by another session, or the query took too long. Try again in a moment; pg_stat_activity shows the session."
    return await _problem(request, DatabaseUnavailable(detail))


async def _not_allowed(request: Request, error: Exception) -> JSONResponse:
    return await _problem(
        request,
        RightsMissing(
            "The API's role lacks a right, as after a restore. Run `metering migrate`, then `metering doctor`."
        ),
    )


async def _not_built(request: Request, error: Exception) -> JSONResponse:
    return await _problem(
        request,
        WarehouseNotBuilt("Tables are missing. Run `metering migrate`, then `metering rebuild --days 7`."),
    )


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # The traceback goes to the server's log (Starlette raises the error again after this answer), never to
    # the client.
    return _respond(request, 500, {"type": "about:blank", "title": "Internal Server Error", "status": 500}, None)


HANDLERS = {
    Problem: _problem,
    RequestValidationError: _validation,
    HTTPException: _http,
    PoolTimeout: _unavailable,
    PoolClosed: _unavailable,
    pg.LockNotAvailable: _busy,
    pg.QueryCanceled: _busy,
    pg.OperationalError: _unavailable,  # lost connections, shut-downs, no answer in time
    pg.InterfaceError: _unavailable,
    pg.UndefinedTable: _not_built,
    pg.UndefinedColumn: _not_built,
    pg.UndefinedFunction: _not_built,
    pg.InvalidSchemaName: _not_built,
    pg.InsufficientPrivilege: _not_allowed,
    Exception: _unexpected,
}


def install(app: FastAPI) -> None:
    """Make the application answer every error as problem+json."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "What kind of problem this is."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The requested path."},
        "errors": {
            "type": "array",
            "description": "The inputs that are wrong (422 only).",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "additionalProperties": True,
}

_EXAMPLES: dict[int, StatusProblem] = {
    400: UnreadableBody("There was an error parsing the body"),
    401: InvalidToken("The token has expired."),
    403: WrongRole("This needs the role root_admin."),
    404: UnknownObject("There is no such tenant."),
    409: AlertResolved("Its condition ended at 2026-11-20 09:00 UTC: no more messages are sent about it."),
    422: InvalidInput("period", "2027-01 is in the future (today is 2026-11-20, UTC)"),
    503: DatabaseUnavailable("It does not answer, or not in time. Try again in a moment."),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's response entries for these problem statuses, each with an example."""
    return {status: response_of(_EXAMPLES[status]) for status in statuses}


def response_of(example: StatusProblem) -> dict[str, Any]:
    """Return OpenAPI's response entry for a problem."""
    return {
        "description": example.title,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example.marshal(uri=TYPE_URI),
            }
        },
    }
