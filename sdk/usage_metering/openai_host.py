"""Whose servers an OpenAI client talks to: what other people's have used is not in OpenAI's figures and is never settled with them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

log = logging.getLogger("metering.tracking")

OPENAI = "api.openai.com"
"""OpenAI's own host; its regions' (``eu.api.openai.com``) are below it."""
AZURE = (
    *(".openai.azure.com", ".openai.azure.us", ".cognitiveservices.azure.com", ".cognitiveservices.azure.us"),
    ".services.ai.azure.com",
)
HOSTS_VARIABLE = "METERING_OPENAI_HOSTS"

_warned: set[str] = set()


@dataclass(frozen=True)
class Server:
    """The service that is used, and the host (with its port, where that is not the usual one)."""

    service: str
    host: str

    @property
    def is_openai(self) -> bool:
        return self.service == "openai"

    @property
    def has_unique_ids(self) -> bool:
        """Whether an answer's id is unique among all answers: servers of all kinds make them up, from three digits on."""
        return self.service != "openai_compatible"


def server_of(client: Any) -> Server:
    """Return whose server ``client`` (of the SDK) talks to, by its ``base_url``.

    OpenAI's own hosts are OpenAI; so is what METERING_OPENAI_HOSTS names (a gateway to OpenAI), and the OPENAI_BASE_URL
    that this environment's OPENAI_ADMIN_KEY asks for usage (the sandbox).
    """
    url = urlsplit(str(getattr(client, "base_url", "")))
    host = _host(url)
    name = (url.hostname or "").lower()
    if name == OPENAI or name.endswith(f".{OPENAI}") or host in _named():
        return Server("openai", host)
    if name.endswith(AZURE) or any("AzureOpenAI" in kind.__name__ for kind in type(client).__mro__):
        return Server("azure_openai", host)
    return Server("openai_compatible", host)


def warn_of_host(server: Server) -> None:
    """Say once, in the log, that a host's usage is counted apart."""
    if server.is_openai or server.host in _warned:
        return
    _warned.add(server.host)
    log.warning(
        "calls to %s are recorded as %s, apart from OpenAI's own usage; if it leads to OpenAI, name it in %s",
        server.host,
        server.service,
        HOSTS_VARIABLE,
    )


def _named() -> set[str]:
    hosts = {name.strip().lower() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name.strip()}
    polled = os.environ.get("OPENAI_BASE_URL")
    if polled and os.environ.get("OPENAI_ADMIN_KEY"):
        hosts.add(_host(urlsplit(polled)))
    return hosts


def _host(url: SplitResult) -> str:
    """Host in lower case; user and password are never part of it."""
    name = (url.hostname or "").lower()
    try:
        port = url.port
    except ValueError:
        port = None
    return name if port in (None, {"http": 80, "https": 443}.get(url.scheme)) else f"{name}:{port}"
