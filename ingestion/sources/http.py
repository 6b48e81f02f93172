"""How providers are asked: page by page to the end that the provider's own rule names, within bounds of time, pages and bytes.

Exact numbers, patient retries, and failures that say what to do. Credentials go to the provider's own host and to no other.
"""

from __future__ import annotations

import json as standard_json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, NoReturn
from urllib.parse import urljoin

import msgspec
import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError as TransportError
from urllib3.util import parse_url

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, TransientProviderError, UnusableResponse
from ingestion.hangup import CuttableAdapter, Hangup
from ingestion.sources.ahead import REQUESTS_AT_ONCE
from ingestion.sources.columns import exact
from ingestion.sources.paging import Rule, single

TIMEOUT_SECONDS = 60.0
RETRIED_STATUSES = (408, 429, *range(500, 600))
LONGEST_WAIT_SECONDS = 300.0
PIECE_BYTES = 2**16
LARGEST_ANSWER = 2**28
"""Bytes of one answer, which is held in memory whole; a list may be as long as its bounds allow."""
LONGEST_INTEGER = 1000
RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


DECODER = msgspec.json.Decoder(float_hook=exact)


@dataclass
class Bounds:
    """What is left of what a list may take: until when, how many bytes and pages. Lists that are parts of one share it."""

    until: float
    size: int
    pages: int


class Provider:
    """A provider's API, asked page by page."""

    def __init__(self, name: str, settings: IngestSettings, auth: AuthBase) -> None:
        self.name = name
        self._settings = settings
        self._base_url = settings.base_url(name)
        self._auth = auth
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        # However many threads ask: providers limit how many requests are under way.
        self._turns = threading.BoundedSemaphore(REQUESTS_AT_ONCE)

    def _session(self) -> requests.Session:
        """Return this thread's session: those of `requests` are not made for sharing."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, CuttableAdapter())
            # What the environment says of proxies and certificates holds for the one host that is asked; requests would go through all of its
            # variables for each page.
            found = session.merge_environment_settings(self._base_url, {}, True, None, None)
            session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
            session.trust_env = False
            self._sessions.append(session)
            self._local.session = session
        own: requests.Session = self._local.session
        return own

    def close(self) -> None:
        """Close the connections."""
        for session in self._sessions:
            session.close()

    def bounds(self) -> Bounds:
        """Return what one list may take, from now."""
        settings = self._settings
        return Bounds(time.monotonic() + settings.list_seconds, settings.list_bytes, settings.list_pages)

    def pages(
        self,
        path: str,
        params: dict[str, Any],
        rule: Rule = single,
        decoder: msgspec.json.Decoder[Any] = DECODER,
        *,
        headers: dict[str, str] | None = None,
        json: dict[str, Any] | None = None,
        bounds: Bounds | None = None,
    ) -> Iterator[Any]:
        """Yield the decoded body of each page of a list. May be called in several threads at once.

        The list is answered only when this returns by itself: then ``rule`` has seen its end. ``decoder`` may leave out what
        we do not keep; a body that does not fit it is decoded as it is. ``headers`` go with each request beside the
        credentials; with ``json`` it is a POST of that. ``bounds`` are those of `bounds`, where several lists share them.

        Raises:
            PermanentProviderError: refused (a 4xx but 408 and 429, or a redirection).
            UnusableResponse: the list contradicts itself, repeats itself, leaves the provider's host, or cannot be read.
            TransientProviderError: throttled, failing or away after the last attempt, or beyond the bounds of a list.
        """
        left = bounds or self.bounds()
        url = f"{self._base_url}{path}"
        parameters: dict[str, Any] = dict(params)
        seen: set[str] = set()
        while True:
            if left.pages < 1:
                raise TransientProviderError(
                    f"{path} did not end within {self._settings.list_pages} pages (METERING_LIST_MAX_PAGES)"
                )
            left.pages -= 1
            request = requests.Request(
                "GET" if json is None else "POST", url, headers=headers, params=parameters, json=json, auth=self._auth
            )
            body = self._body(path, request, decoder, left)
            yield body
            try:
                following = rule(body)
            except ValueError as error:
                raise UnusableResponse(f"{path}: {error}") from None
            if following is None:
                return
            mark = following if isinstance(following, str) else repr(following)
            if mark in seen:
                raise UnusableResponse(f"{path}: the next page repeats an earlier one, so the list never ends")
            seen.add(mark)
            if isinstance(following, str):
                url, parameters = self._followed(path, url, following), {}
            else:
                parameters = {**parameters, **following}

    def _followed(self, path: str, url: str, address: str) -> str:
        """Return the address of the next page. One on another host would be sent the credentials."""
        try:
            target = urljoin(url, address)
            if _host(target) == _host(self._base_url):
                return target
        except ValueError:
            pass
        raise UnusableResponse(
            f"{path}: the next page is not on {self.name.upper()}_BASE_URL's host: it is not followed"
        )

    def _body(self, path: str, request: requests.Request, decoder: msgspec.json.Decoder[Any], left: Bounds) -> Any:
        """Return one page's decoded body, after as many attempts as are allowed."""
        last: requests.RequestException | None = None
        for attempt in count(1):
            wait = 0.0
            try:
                with self._turns:
                    response = self._response(path, request, left)
                status = response.status_code
                if status not in RETRIED_STATUSES:
                    if not 200 <= status < 300:
                        self._refused(path, status)
                    return _decode(decoder, response.content)
                last = requests.HTTPError(response=response)
                wait = _requested_wait(response)
            except RETRIED as error:
                last = error
            except requests.RequestException as error:
                self._fail(path, error, attempt)
            except RecursionError:
                raise UnusableResponse(f"{path} answered with JSON that is nested too deeply to be read") from None
            except ValueError:
                # Half a body, or a proxy's page: worth another try.
                last = requests.exceptions.ContentDecodingError("the answer is not JSON")
            if attempt >= self._settings.request_attempts:
                self._fail(path, last, attempt)
            wait = wait or self._settings.request_backoff_seconds * 2 ** (attempt - 1)
            wait = min(wait, LONGEST_WAIT_SECONDS)
            if time.monotonic() + wait >= left.until:
                self._fail(path, last, attempt)
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _response(self, path: str, request: requests.Request, left: Bounds) -> requests.Response:
        """Return one answer, read whole, within the time and the bytes that are left.

        A server that sends a byte now and then never runs into a time limit of its connection: a clock of our own hangs up.
        """
        session = self._session()
        prepared = session.prepare_request(request)
        seconds = min(self._settings.request_seconds, left.until - time.monotonic())
        late = TransientProviderError(
            f"{path} had not sent its whole answer after {max(seconds, 0):.0f} s"
            " (METERING_REQUEST_MAX_SECONDS, METERING_LIST_MAX_SECONDS)"
        )
        if seconds <= 0:
            raise late
        timeout = min(TIMEOUT_SECONDS, seconds)
        with Hangup(seconds) as hangup:
            try:
                with session.send(prepared, timeout=timeout, allow_redirects=False, stream=True) as response:
                    pieces = []
                    size = 0
                    # `iter_content` would copy each piece once more, to make all of one size.
                    while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
                        left.size -= len(piece)
                        size += len(piece)
                        if size > LARGEST_ANSWER:
                            raise TransientProviderError(f"{path} sent an answer of more than {LARGEST_ANSWER:,} bytes")
                        if left.size < 0:
                            raise TransientProviderError(
                                f"{path} did not end within {self._settings.list_bytes:,} bytes (METERING_LIST_MAX_BYTES)"
                            )
                        pieces.append(piece)
                    response._content = b"".join(pieces)
            except (requests.RequestException, TransportError, OSError, AttributeError, ValueError) as error:
                # What a connection raises that is cut while it is read depends on where it was.
                if hangup.done:
                    raise late from None
                if isinstance(error, TransportError):
                    raise requests.ConnectionError(str(type(error).__name__)) from None
                raise
            if hangup.done:
                raise late
        return response

    def _refused(self, path: str, status: int) -> NoReturn:
        if status < 400:
            raise PermanentProviderError(
                f"{path} answered {status}, a redirection, which is not followed:"
                f" is {self.name.upper()}_BASE_URL right?",
                status=status,
            )
        if status in (401, 403):
            variables = " and ".join(PROVIDER_VARIABLES[self.name].required)
            raise PermanentProviderError(f"{path} answered {status}: check {variables}", status=status)
        raise PermanentProviderError(f"{path} answered {status}: the provider refuses this request", status=status)

    def _fail(self, path: str, error: requests.RequestException, attempts: int) -> NoReturn:
        status = error.response.status_code if error.response is not None else None
        if status is not None:
            raise TransientProviderError(
                f"{path} still answered {status} after {attempts} attempt{'s' if attempts > 1 else ''}", status=status
            ) from None
        kind = type(error).__name__
        raise TransientProviderError(
            f"{path} could not be read ({kind}): is {self.name.upper()}_BASE_URL right and up?"
        ) from None


def _host(url: str) -> tuple[str | None, str | None, int | None]:
    """Return scheme, host and port as they are read where the request is sent: of ``https://a\\@b`` urllib makes b, and urllib3 asks a."""
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")


def _requested_wait(response: requests.Response) -> float:
    """Return how many seconds the provider asks us to wait, by Retry-After or SendGrid's X-RateLimit-Reset; 0: it does not."""
    retry_after = response.headers.get("Retry-After", "").strip()
    reset = response.headers.get("X-RateLimit-Reset", "").strip()
    try:
        if retry_after:
            return max(
                0.0,
                float(retry_after)
                if _is_number(retry_after)
                else parsedate_to_datetime(retry_after).timestamp() - time.time(),
            )
        if response.status_code == 429 and _is_number(reset):
            return max(1.0, int(reset) - time.time())
    except (ValueError, TypeError, OverflowError):
        pass
    return 0.0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _decode(decoder: msgspec.json.Decoder[Any], content: bytes) -> Any:
    """Return the JSON value. Raises ValueError where it is not JSON, RecursionError where it is too deep.

    A message cut within an emoji leaves half a surrogate pair in its body: no valid JSON text, but no reason to lose the
    day. The standard library is less strict, and what we keep is checked field by field.
    """
    try:
        return decoder.decode(content)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _leniently(content)
    try:
        return DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _leniently(content)


def _leniently(content: bytes) -> Any:
    return standard_json.loads(
        content.decode("utf-8", "replace"),
        parse_float=exact,
        parse_int=lambda text: int(text) if len(text) < LONGEST_INTEGER else Decimal("Infinity"),
    )
