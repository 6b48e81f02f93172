"""A TCP port in front of the embedded server's socket, for one role with a password.

The server listens on its socket alone and trusts whoever reaches it. Tools for analysts want a port: this one hands on only callers
who log in as the role, and of the role the server asks its password wherever it comes from. It ends with the process that opened it.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql

from warehouse.errors import WarehouseUnavailable
from warehouse.urls import database_name

HOST = "127.0.0.1"
# What a client asks before anything else, by the numbers of the protocol: may it encrypt? The answer is no; both ends are on this machine.
ENCRYPTION_REQUESTS = (80877103, 80877104)
CANCEL_REQUEST = 80877102
MOST_OPENING_BYTES = 10_000
CHUNK = 65_536


@contextmanager
def listening(owner_url: str, role: str, password: str, port: int) -> Iterator[str]:
    """Open the port for ``role``, whose password becomes ``password``; yield the URL under which it reaches its database.

    Args:
        owner_url: the embedded server's, by its socket.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        WarehouseUnavailable: the port is in use.
    """
    address = Path(unquote(urlsplit(owner_url).netloc.rpartition("@")[2])) / ".s.PGSQL.5432"
    try:
        server = _Gateway(port, address, role)
    except OSError as error:
        raise WarehouseUnavailable(
            f"port {port} cannot be opened ({error.strerror}): choose another --postgres-port"
        ) from error
    with server:
        _require_password(owner_url, role, password)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = quote(database_name(owner_url), safe="")
        try:
            yield f"postgresql://{role}:{quote(password, safe='')}@{HOST}:{server.server_address[1]}/{name}"
        finally:
            server.shutdown()


def _require_password(owner_url: str, role: str, password: str) -> None:
    rule = f"local all {role} scram-sha-256\n"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter role {} login password {}").format(sql.Identifier(role), sql.Literal(password))
        )
        found = connection.execute("show hba_file").fetchone()
        assert found is not None
        rules = Path(found[0])
        # The first rule that fits holds.
        if not rules.read_text().startswith(rule):
            rules.write_text(rule + rules.read_text())
            connection.execute("select pg_reload_conf()")


class _Gateway(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, address: Path, role: str) -> None:
        super().__init__((HOST, port), _Caller)
        self.address = address
        self.role = role


class _Caller(socketserver.BaseRequestHandler):
    server: _Gateway
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError):
            opening = _opening(self.request)
            if opening is None:
                return
            if not may_enter(opening, self.server.role):
                self.request.sendall(_refusal(f"this port is for {self.server.role}"))
                return
            with socket.socket(socket.AF_UNIX) as behind:
                behind.connect(str(self.server.address))
                behind.sendall(opening)
                # Either side may send while the other does.
                back = threading.Thread(target=_hand_on, args=(behind, self.request), daemon=True)
                back.start()
                _hand_on(self.request, behind)
                back.join()


def _opening(caller: socket.socket) -> bytes | None:
    """Return the message by which a session (or the cancelling of one's statement) begins; None where there is none."""
    while True:
        head = _exactly(caller, 8)
        if head is None:
            return None
        length, code = struct.unpack("!II", head)
        if code in ENCRYPTION_REQUESTS and length == len(head):
            caller.sendall(b"N")
            continue
        rest = _exactly(caller, length - len(head)) if len(head) <= length <= MOST_OPENING_BYTES else None
        return None if rest is None else head + rest


def _exactly(caller: socket.socket, size: int) -> bytes | None:
    found = b""
    while len(found) < size:
        more = caller.recv(size - len(found))
        if not more:
            return None
        found += more
    return found


def may_enter(opening: bytes, role: str) -> bool:
    """Whether this beginning of a session names ``role`` as its user, as the server reads it. Whoever cancels has the session's secret."""
    (code,) = struct.unpack("!I", opening[4:8])
    if code == CANCEL_REQUEST:
        return True
    if code >> 16 != 3:
        return False
    user = None
    words = iter(opening[8:].split(b"\0"))
    # A name and a value each, until a name is empty; of several the last holds.
    for name in words:
        value = next(words, None)
        if not name or value is None:
            break
        if name == b"user":
            user = value
    return user == role.encode()


def _refusal(message: str) -> bytes:
    fields = b"".join(
        kind + text.encode() + b"\0"
        for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "28000"), (b"M", message))
    )
    return b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
