"""The embedded server's port for analysts: who is let in, by what, and that much goes through it both ways."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.conftest import SERVER_FOLDER
from warehouse import embedded, gateway
from warehouse.errors import WarehouseUnavailable
from warehouse.roles import ensure_roles
from warehouse.urls import as_role

ROLE = "metering_analyst"


@pytest.fixture(scope="module")
def owner() -> Iterator[str]:
    """URL of a server of its own: the rules of who is let in are a server's."""
    folder = Path(os.environ[SERVER_FOLDER]) / f"pg-gateway-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    url = embedded.start(folder)
    with psycopg.connect(url, autocommit=True) as connection:
        ensure_roles(connection)
    yield url
    embedded.stop(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def url(owner: str) -> Iterator[str]:
    with gateway.listening(owner, ROLE, "a password/of@its:own", 0) as found:
        # The server reads its rules a moment after it is told to.
        end = time.monotonic() + 30
        while time.monotonic() < end and can_connect(found.replace("a%20password", "another")):
            time.sleep(0.05)
        yield found


def can_connect(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def test_the_role_is_let_in_by_its_password_alone(url: str) -> None:
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user, current_database()").fetchone() == (ROLE, "metering")
    assert not can_connect(url.replace("a%20password", "another"))
    assert not can_connect(url.replace(":a%20password%2Fof%40its%3Aown", ""))


@pytest.mark.parametrize("user", ["postgres", "metering_api", "", "metering_analyst2"])
def test_nobody_else_is_let_in(url: str, user: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="this port is for metering_analyst"):
        psycopg.connect(host="127.0.0.1", port=port_of(url), user=user or " ", dbname="metering", connect_timeout=10)


def test_the_socket_asks_for_the_role_s_password_and_for_nobody_else_s(owner: str, url: str) -> None:
    assert not can_connect(owner.replace("postgres:-@", f"{ROLE}:-@"))
    with psycopg.connect(as_role(owner, ROLE)) as connection:
        assert connection.execute("select current_user").fetchone() == (ROLE,)


def test_much_goes_both_ways(url: str) -> None:
    text = "x" * 3_000_000
    with psycopg.connect(url) as connection:
        assert connection.execute("select %s::text || 'y'", (text,)).fetchone() == (text + "y",)
        with connection.pipeline():
            cursors = [connection.execute("select %s::text", (text,)) for _ in range(4)]
            assert [cursor.fetchone() for cursor in cursors] == [(text,)] * 4


def test_a_statement_is_cancelled(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set statement_timeout = '30s'")
        cancelling = threading.Timer(0.3, connection.cancel_safe, kwargs={"timeout": 10})
        cancelling.start()
        with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
            connection.execute("select pg_sleep(30)")
        cancelling.join()


def startup(*words: str, code: int = 3 << 16) -> bytes:
    body = b"".join(word.encode() + b"\0" for word in words)
    return struct.pack("!II", len(body) + 8, code) + body


@pytest.mark.parametrize(
    ("opening", "enters"),
    [
        (startup("user", ROLE, "database", "metering", ""), True),
        (startup("database", "user", "user", ROLE, ""), True),
        (startup("database", ROLE, "user", "postgres", ""), False),
        # As the server reads it: the last one holds, and nothing after the end.
        (startup("user", ROLE, "user", "postgres", ""), False),
        (startup("user", "postgres", "", "user", ROLE, ""), False),
        (startup("user"), False),
        (startup(""), False),
        (startup("user", ROLE, "", code=2 << 16), False),
        (startup("xxxx", code=gateway.CANCEL_REQUEST), True),
    ],
)
def test_the_user_is_read_as_the_server_reads_it(opening: bytes, enters: bool) -> None:
    assert gateway.may_enter(opening, ROLE) == enters


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!II", 4, 3 << 16),
        struct.pack("!II", 2**31, 3 << 16),
        b"\0\0\0\x09\0\3",
    ],
)
def test_what_is_no_beginning_of_a_session_is_hung_up_on(url: str, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) as caller:
        caller.sendall(garbage)
        # It may have hung up already: on data that it has not read by a reset.
        with suppress(OSError):
            caller.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert caller.recv(100) == b""
    assert can_connect(url)


def test_a_port_in_use_is_one_line(owner: str, url: str) -> None:
    with (
        pytest.raises(WarehouseUnavailable, match=r"cannot be opened \(.*\): choose another --postgres-port"),
        gateway.listening(owner, ROLE, "p", port_of(url)),
    ):
        pass
