"""Whose servers a client of OpenAI or of Anthropic talks to: what other people's have used is not in the vendor's figures and is never settled
with them.
"""

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
ANTHROPIC = "api.anthropic.com"
ANTHROPIC_HOSTS_VARIABLE = "METERING_ANTHROPIC_HOSTS"

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
    def is_vendor(self) -> bool:
        """Whether it is the vendor's own, by whose figures the usage is settled."""
        return self.service in ("openai", "anthropic")

    @property
    def has_unique_ids(self) -> bool:
        """Whether an answer's id is unique among all answers: servers of all kinds make them up, from three digits on."""
        return not self.service.endswith("_compatible")


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


def anthropic_server_of(client: Any) -> Server:
    """`server_of` an Anthropic client: Anthropic's own host and what METERING_ANTHROPIC_HOSTS names (a gateway to Anthropic) are Anthropic."""
    url = urlsplit(str(getattr(client, "base_url", "")))
    host = _host(url)
    is_own = (url.hostname or "").lower() == ANTHROPIC or host in _listed(ANTHROPIC_HOSTS_VARIABLE)
    return Server("anthropic" if is_own else "anthropic_compatible", host)


def warn_of_host(server: Server) -> None:
    """Say once, in the log, that a host's usage is counted apart."""
    if server.is_vendor or server.host in _warned:
        return
    _warned.add(server.host)
    is_openai = "openai" in server.service
    vendor, variable = ("OpenAI", HOSTS_VARIABLE) if is_openai else ("Anthropic", ANTHROPIC_HOSTS_VARIABLE)
    log.warning(
        "calls to %s are recorded as %s, apart from %s's own usage; if it leads to %s, name it in %s",
        server.host,
        server.service,
        vendor,
        vendor,
        variable,
    )


def _named() -> set[str]:
    hosts = _listed(HOSTS_VARIABLE)
    polled = os.environ.get("OPENAI_BASE_URL")
    if polled and os.environ.get("OPENAI_ADMIN_KEY"):
        hosts.add(_host(urlsplit(polled)))
    return hosts


def _listed(variable: str) -> set[str]:
    return {name.strip().lower() for name in os.environ.get(variable, "").split(",") if name.strip()}


def _host(url: SplitResult) -> str:
    """Host in lower case; user and password are never part of it."""
    name = (url.hostname or "").lower()
    try:
        port = url.port
    except ValueError:
        port = None
    return name if port in (None, {"http": 80, "https": 443}.get(url.scheme)) else f"{name}:{port}"
