"""A pooler that deals sessions out by the transaction is seen; PostgreSQL itself is not taken for one."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from cli.doctor import OK, WRONG, _sessions
from warehouse.pooling import keeps_sessions

ENCRYPTION_REQUESTS = (80877103, 80877104)


class Pooler:
    """A TCP server before PostgreSQL with sessions of its own, each given to whoever begins a transaction, until that ends."""

    def __init__(self, url: str, sessions: int) -> None:
        parts = urlsplit(url)
        user = unquote(parts.username or "")
        self._path = unquote(parts.netloc.rpartition("@")[2]) + "/.s.PGSQL.5432"
        self._opening = f"user\0{user}\0database\0{parts.path[1:]}\0\0".encode()
        self._hello = b""
        self._free = [self._session() for _ in range(sessions)]
        self._given = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://{user}@127.0.0.1:{self._listener.getsockname()[1]}{parts.path}?sslmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def _session(self) -> socket.socket:
        session = socket.socket(socket.AF_UNIX)
        session.connect(self._path)
        session.sendall(struct.pack("!II", len(self._opening) + 8, 3 << 16) + self._opening)
        self._hello, _ = self._answer(session)
        return session

    def _answer(self, session: socket.socket) -> tuple[bytes, bool]:
        """Return all that is said until the session is ready, and whether it is out of transactions."""
        said = b""
        while True:
            kind, body = _message(session)
            said += kind + body
            if kind == b"Z":
                return said, body[-1:] == b"I"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError, EOFError), caller:
            while struct.unpack("!II", (opening := _exactly(caller, 8)))[1] in ENCRYPTION_REQUESTS:
                caller.sendall(b"N")
            _exactly(caller, struct.unpack("!I", opening[:4])[0] - 8)
            caller.sendall(self._hello)
            while True:
                kind, body = _message(caller)
                if kind == b"X":
                    return
                with self._given:
                    assert self._given.wait_for(lambda: self._free, timeout=20)
                    session = self._free.pop()
                is_over = False
                while not is_over:
                    session.sendall(kind + body)
                    if kind in b"QS":
                        said, is_over = self._answer(session)
                        caller.sendall(said)
                    if not is_over:
                        kind, body = _message(caller)
                with self._given:
                    self._free.append(session)
                    self._given.notify()

    def close(self) -> None:
        self._listener.close()
        for session in self._free:
            session.close()


def _exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = line.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def _message(line: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(line, 1)
    length = _exactly(line, 4)
    return kind, length + _exactly(line, struct.unpack("!I", length)[0] - 4)


@pytest.fixture(params=[1, 3])
def pooler(request: pytest.FixtureRequest, database: str) -> Iterator[Pooler]:
    made = Pooler(database, request.param)
    yield made
    made.close()


def test_postgresql_itself(database: str) -> None:
    assert keeps_sessions(database)
    assert _sessions(database).state == OK


def test_a_pooler_that_deals_out_transactions(pooler: Pooler) -> None:
    with psycopg.connect(pooler.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert not keeps_sessions(pooler.url)
    finding = _sessions(pooler.url)
    assert finding.state == WRONG
    assert "session mode" in finding.detail
