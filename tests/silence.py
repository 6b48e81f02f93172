"""A database that falls silent, for tests of everything that waits for one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import unquote, urlsplit, urlunsplit


class Proxy:
    """A TCP proxy before the tests' PostgreSQL that can fall silent: it goes on accepting and reading, and passes on nothing."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        userinfo, _, host = parts.netloc.rpartition("@")
        self._target = unquote(host)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.silent = threading.Event()
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{userinfo}@127.0.0.1:{port}", query="sslmode=disable"))
        threading.Thread(target=self._accept, daemon=True).start()

    def _server(self) -> socket.socket:
        if self._target.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._target}/.s.PGSQL.5432")
            return server
        host, _, port = self._target.partition(":")
        return socket.create_connection((host, int(port or 5432)))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._server()
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self.silent.is_set():
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
