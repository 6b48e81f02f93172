"""How providers are asked: dlt's REST client, exact numbers, patient retries, and failures that say what to do.

One response is decoded once (paginator and source read the same result), with decimals kept exact.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec
import requests
from dlt.common.jsonpath import compile_path
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import BasePaginator, SinglePagePaginator
from requests.auth import AuthBase

from ingestion.config import REQUIRED_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, TransientProviderError

DECODER = msgspec.json.Decoder(float_hook=Decimal)
TIMEOUT_SECONDS = 60.0
RETRIED_STATUSES = (408, 429, *range(500, 600))
LONGEST_WAIT_SECONDS = 300.0
RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


# Compiled once: dlt would parse the path again for each list.
WHOLE_BODY = compile_path("$")


class Provider:
    """A provider's API, asked page by page."""

    def __init__(self, name: str, settings: IngestSettings, auth: AuthBase) -> None:
        self.name = name
        # Each thread has a session of its own: those of `requests` are not made for sharing.
        self._http = Client(
            request_timeout=TIMEOUT_SECONDS,
            raise_for_status=False,
            status_codes=RETRIED_STATUSES,
            exceptions=RETRIED,
            request_max_attempts=settings.request_attempts,
            request_backoff_factor=settings.request_backoff_seconds,
            request_max_retry_delay=LONGEST_WAIT_SECONDS,
        )
        self._base_url = settings.base_url(name)
        self._auth = auth
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def _client(self) -> RESTClient:
        if not hasattr(self._local, "client"):
            session = self._http.session
            self._sessions.append(session)
            self._local.client = RESTClient(base_url=self._base_url, auth=self._auth, session=session)
        client: RESTClient = self._local.client
        return client

    def close(self) -> None:
        """Close the connections."""
        for session in self._sessions:
            session.close()

    def pages(
        self,
        path: str,
        params: dict[str, Any],
        paginator: BasePaginator | None = None,
        decoder: msgspec.json.Decoder[Any] = DECODER,
        *,
        headers: dict[str, str] | None = None,
        json: dict[str, Any] | None = None,
    ) -> Iterator[Any]:
        """Yield the decoded body of each page of a list. May be called in several threads at once.

        ``decoder`` may leave out what we do not keep; a body that does not fit it is decoded as it is. ``headers`` go with each
        request beside the credentials; with ``json`` it is a POST of that.

        Raises:
            PermanentProviderError: refused (a 4xx but 408 and 429).
            TransientProviderError: throttled, failing or away for all our attempts.
        """
        try:
            for page in self._client().paginate(
                path,
                method="GET" if json is None else "POST",
                params=params,
                json=json,
                headers=headers,
                paginator=paginator or SinglePagePaginator(),
                data_selector=WHOLE_BODY,
                hooks={"response": [_honour_rate_limit, partial(_decode_or_raise, decoder)]},
            ):
                yield page.response.json()
        except requests.RequestException as error:
            self._fail(path, error)
        except ValueError:
            # The paginator does not find its way in this body.
            raise TransientProviderError(f"{urlsplit(path).path} answered in a shape that is not this list's") from None

    def _fail(self, path: str, error: requests.RequestException) -> NoReturn:
        where = urlsplit(path).path
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            variables = " and ".join(REQUIRED_VARIABLES[self.name])
            raise PermanentProviderError(f"{where} answered {status}: check {variables}", status=status) from None
        if status is not None and 400 <= status < 500 and status not in (408, 429):
            raise PermanentProviderError(f"{where} answered {status}: it refuses this request", status=status) from None
        if status is not None:
            raise TransientProviderError(
                f"{where} answered {status} until our attempts were used up", status=status
            ) from None
        kind = type(error).__name__
        raise TransientProviderError(
            f"{where} could not be read ({kind}): is {self.name.upper()}_BASE_URL right and up?"
        ) from None


def _honour_rate_limit(response: requests.Response, *_: Any, **__: Any) -> None:
    """Say SendGrid's X-RateLimit-Reset (unix seconds) as the Retry-After that dlt's client obeys."""
    reset = response.headers.get("X-RateLimit-Reset")
    if response.status_code == 429 and reset and "Retry-After" not in response.headers and reset.isdigit():
        response.headers["Retry-After"] = str(max(1, int(reset) - int(time.time())))


def _decode_or_raise(decoder: msgspec.json.Decoder[Any], response: requests.Response, *_: Any, **__: Any) -> None:
    if response.status_code >= 400:
        raise requests.HTTPError(f"status {response.status_code}", response=response)
    try:
        body = _decode(decoder, response.content)
    except ValueError:
        # Half a body, or a proxy's page: worth another try.
        raise requests.exceptions.ContentDecodingError("the answer is no JSON") from None
    response.json = lambda **_kwargs: body  # type: ignore[method-assign]


def _decode(decoder: msgspec.json.Decoder[Any], content: bytes) -> Any:
    """Return the JSON value. Raises ValueError where it is none.

    A message cut within an emoji leaves half a surrogate pair in its body: no valid JSON text, but no reason to lose the
    day. The standard library is less strict, and what we keep is checked field by field.
    """
    try:
        return decoder.decode(content)
    except msgspec.ValidationError:
        return DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(content.decode("utf-8", "replace"), parse_float=Decimal)
