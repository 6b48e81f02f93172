"""An address that a tenant may choose must not lead into our own network: neither by its name nor by what the name is when it is asked again."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from costs.alerts.requesting import SendFailed
from ingestion.hangup import Cuttable, CuttableAdapter, SecureCuttable

# Addresses of IPv4 in those of IPv6, ours among them: behind a translator (RFC 6052, RFC 8215), and as 6to4 and hosts of old wrote them.
EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96")))


def refuse_private(who: str, url: str) -> None:
    """Raise where the host is one of our own network, in words that say so.

    Raises:
        SendFailed: it is, or nobody knows the host.
    """
    try:
        parts = urlsplit(url)
        found = {entry[4][0] for entry in socket.getaddrinfo(parts.hostname, parts.port or 443)}
    except (OSError, ValueError):
        raise SendFailed(f"{who} has a host that is not known", in_doubt=False, everything=False) from None
    if not all(is_public(str(address)) for address in found):
        raise SendFailed(
            f"{who} is not at a public address (METERING_TENANT_WEBHOOK_PRIVATE)", in_doubt=False, everything=False
        )


def is_public(text: str) -> bool:
    """Return whether an address, without a zone, is one of the internet's."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in EMBEDDING):
            return False
        address = address.ipv4_mapped or address
    return address.is_global and not address.is_multicast


class _Public(HTTPConnection):
    """A connection that ends before a byte is sent where it has led to an address of our own network: a name may have got another one since
    it was looked up.
    """

    def _new_conn(self) -> socket.socket:
        found = super()._new_conn()
        if not is_public(found.getpeername()[0]):
            found.close()
            raise NewConnectionError(self, "not at a public address")
        return found


class _PublicCuttable(_Public, Cuttable):
    pass


class _PublicSecureCuttable(_Public, SecureCuttable):
    pass


class PublicAdapter(CuttableAdapter):
    """`requests`' adapter, with connections to public addresses alone, and by no proxy: it would look the name up again, where nobody checks
    what it leads to.
    """

    connections = (_PublicCuttable, _PublicSecureCuttable)

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """As `requests`' own, whatever proxies the environment names."""
        return super().send(*arguments, **{**options, "proxies": {}})
