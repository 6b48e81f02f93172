"""Questions to Dagster's GraphQL, and what its silence or refusal becomes: one problem that names the remedy."""

from __future__ import annotations

import functools
import logging
import ssl
from typing import Any

import httpx

from api.kit.problems import SchedulerUnavailable

log = logging.getLogger("metering.api")

# Dagster loads its code location when it is first asked: an answer can take some seconds, a connection never does.
TIMEOUT = httpx.Timeout(20.0, connect=3.0)


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the authorities that https is checked by, read once: that takes 20 ms, in which this process answers nobody."""
    return httpx.create_ssl_context()


class Dagster:
    """One Dagster webserver.

    Args:
        url: where people reach its UI; None where METERING_DAGSTER_URL is unset.
        internal_url: where this process reaches it, if that is another address.
    """

    def __init__(self, url: str | None, internal_url: str | None = None) -> None:
        self._url = url.rstrip("/") if url else None
        self._internal_url = (internal_url or url or "").rstrip("/")

    def ui(self, path: str) -> str:
        """Return the address of a page of the Dagster UI."""
        return f"{self._url or self._internal_url}/{path}"

    async def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of the answer.

        Raises:
            SchedulerUnavailable: no address is set, nobody answers there in time, or what answers is not Dagster, or
            could not answer this.
        """
        if not self._internal_url:
            raise SchedulerUnavailable("METERING_DAGSTER_URL is not set: set it to the address of the Dagster UI.")
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, verify=trusted()) as client:
                answer = await client.post(
                    f"{self._internal_url}/graphql", json={"query": query, "variables": variables}
                )
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("Dagster does not answer: %s", type(error).__name__)
            raise SchedulerUnavailable(
                "Dagster does not answer at METERING_DAGSTER_URL: start its web server (`dagster dev`), or correct the address."
            ) from error
        except ValueError as error:
            raise _not_dagster() from error
        data = body.get("data") if isinstance(body, dict) else None
        if isinstance(body, dict) and body.get("errors"):
            # Its words name files and hosts: they are for the log.
            log.error("Dagster answered with an error: %s", str(body["errors"])[:2_000])
            raise refused("could not answer")
        if not isinstance(data, dict):
            raise _not_dagster()
        return data


def refused(what: str) -> SchedulerUnavailable:
    """Return the problem of a Dagster that answers, and says no."""
    return SchedulerUnavailable(f"Dagster {what}: its web server's log, and this one's, say why.")


def _not_dagster() -> SchedulerUnavailable:
    return SchedulerUnavailable("What answers at METERING_DAGSTER_URL is not Dagster: correct the address.")
