"""An end to an HTTP request that its server draws out: one that sends a byte now and then never runs into a time limit of its connection."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Hangup:
    """Cuts this thread's connection when the time is over; ``done`` says whether it did."""

    current = threading.local()

    def __init__(self, seconds: float) -> None:
        """``seconds`` are counted from where it is entered."""
        self.done = False
        self._connection: Any = None
        self._socket: Any = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Hangup:
        Hangup.current.hangup = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        Hangup.current.hangup = None

    def note(self, connection: Any) -> None:
        """This is what is asked now. Its socket is kept: of an answer that ends with its connection, the connection lets go of it."""
        self._connection, self._socket = connection, connection.sock
        if self.done:
            self._shut()

    def _cut(self) -> None:
        self.done = True
        self._shut()

    def _shut(self) -> None:
        connected = self._socket or getattr(self._connection, "sock", None)
        try:
            if connected is not None:
                connected.shutdown(2)
        except OSError:
            pass


def _noted(connection: Any) -> None:
    if hangup := getattr(Hangup.current, "hangup", None):
        hangup.note(connection)


class Cuttable(HTTPConnection):
    """A connection that a `Hangup` can cut."""

    def connect(self) -> None:
        _noted(self)
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _noted(self)
        super().request(*args, **kwargs)
        _noted(self)


class SecureCuttable(Cuttable, HTTPSConnection):
    """The same over TLS."""


class CuttableAdapter(HTTPAdapter):
    """`requests`' adapter, with connections that a `Hangup` can cut."""

    connections: ClassVar[tuple[type[HTTPConnection], type[HTTPConnection]]] = (Cuttable, SecureCuttable)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of such connections, of HTTP and of HTTPS."""
        super().init_poolmanager(*args, **kwargs)
        plain, secure = self.connections
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
