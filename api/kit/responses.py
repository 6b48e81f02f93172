"""From a body to a response: JSON, caching headers, and 304 where the client has it already.

The ETag names what an answer depends on: route, tenant, parameters, the as-of day and the build. It is weak,
because the marts of one build appear one after another while it runs. A summary's body that was read while none ran is kept in memory:
who asks the same of the same build gets the same bytes, once the token has said that they may.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import Response

from api.kit.database import Reader
from api.kit.schemas import ResponseBody
from api.kit.services import services

CACHE_CONTROL = "private, no-cache"
VARY = "Authorization, Accept-Encoding"
LEAST_COMPRESSED = 1_000  # bytes: less fits into one packet anyway
COMPRESSION = 3
PACKED = ("application/vnd.apache.parquet",)
"""What is compressed already."""
READABLE_HEADERS = ("Content-Disposition", "Data-As-Of", "ETag", "Retry-After", "WWW-Authenticate")
"""Besides those that a script of another origin may read anyway."""


class NotModified(Exception):
    """The client's copy is still good; answered with 304."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


def etag_of(request: Request, reader: Reader) -> str | None:
    """Return the answer's entity tag for the reader's build; None before the first build (nothing says then
    what the answer depends on).
    """
    if reader.build is None:
        return None
    today = services(request).today().isoformat()
    text = repr((request.scope["path"], reader.subject, _parameters(request), reader.build.build_id, today))
    return _tag(text.encode())


def _parameters(request: Request) -> list[tuple[str, str]]:
    # Of a parameter that is said twice the last one counts: among its values the order stays.
    return sorted(request.query_params.multi_items(), key=lambda parameter: parameter[0])


def _question(request: Request, reader: Reader) -> str:
    """Return all that a body depends on but the build."""
    today = services(request).today().isoformat()
    return repr((request.scope["path"], reader.identity, _parameters(request), today))


def _tag(content: bytes) -> str:
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


async def stop_if_known(request: Request, reader: Reader) -> None:
    """Spare the query where the client already has its answer.

    Raises:
        NotModified: `If-None-Match` names the tag that the answer would have.
    """
    if request.headers.get("if-none-match", "*") != "*":
        await reader.find_build()
        check_not_modified(request, etag_of(request, reader))


def check_not_modified(request: Request, etag: str | None) -> None:
    """Stop here if the client already has this answer.

    Raises:
        NotModified: `If-None-Match` names the tag (compared weakly) or is ``*``.
    """
    known = request.headers.get("if-none-match")
    if known is None or etag is None:
        return
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if "*" in tags or etag.removeprefix("W/") in tags:
        raise NotModified(etag)


def caching_headers(etag: str | None) -> dict[str, str]:
    headers = {"Cache-Control": CACHE_CONTROL, "Vary": VARY}
    return {**headers, "ETag": etag} if etag else headers


def json_response(request: Request, reader: Reader, body: ResponseBody) -> Response:
    """Answer with what the reader's last query gave.

    Raises:
        NotModified: the client has it, or asked whether there is anything at all (``*``).
    """
    etag = etag_of(request, reader)
    check_not_modified(request, etag)
    return Response(serialised(body), media_type="application/json", headers=caching_headers(etag))


async def kept_json_response(
    request: Request, reader: Reader, read_body: Callable[[], Awaitable[ResponseBody]]
) -> Response:
    """Answer with the body that ``read_body`` makes with the reader, or with the very same one from before. Only for bodies that are made of
    what builds write.

    Raises:
        NotModified: as `json_response`.
    """
    question, kept = _question(request, reader), services(request).kept
    content = None
    is_known = request.headers.get("if-none-match", "*") != "*"
    # To ask for the build alone is one more round trip, for those whom it can spare the rest.
    if is_known or question in kept:
        content = kept.find(question, await reader.find_build())
        if is_known:
            check_not_modified(request, etag_of(request, reader))
    if content is None:
        content = serialised(await read_body())
        kept.keep(question, reader.settled_build, content)
    etag = etag_of(request, reader)
    check_not_modified(request, etag)
    return Response(content, media_type="application/json", headers=caching_headers(etag))


def live_json_response(request: Request, body: ResponseBody) -> Response:
    """Answer with what may change between builds: its tag is of the content.

    Raises:
        NotModified: the client has exactly this.
    """
    return live_response(request, serialised(body), "application/json", {})


def live_response(request: Request, content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Answer with a document that may change between builds, as `live_json_response`.

    Raises:
        NotModified: the client has exactly this.
    """
    etag = _tag(request.url.path.encode() + content)
    check_not_modified(request, etag)
    return Response(content, media_type=media_type, headers={**headers, **caching_headers(etag)})


def serialised(body: ResponseBody) -> bytes:
    return body.__pydantic_serializer__.to_json(body, by_alias=True)


async def _not_modified(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)
    return Response(status_code=304, headers=caching_headers(error.etag))


def install(app: FastAPI, origins: Sequence[str] = ()) -> None:
    """Make `NotModified` a 304, compress what is worth it, and let scripts of these origins read.

    Whoever calls sends a token: a browser has no credential of its own to add, and none is allowed.
    """
    app.add_exception_handler(NotModified, _not_modified)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=LEAST_COMPRESSED,
        compresslevel=COMPRESSION,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *PACKED),
    )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "OPTIONS"),
            allow_headers=("Authorization", "If-None-Match"),
            expose_headers=READABLE_HEADERS,
            allow_credentials=False,
        )
