"""A build's nodes share a session, and find in it nothing of the node before."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from dbt.adapters.postgres.connections import PostgresConnectionManager as Manager
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from builds.sessions import SECONDS_KEPT, is_of_node, kept_sessions, naming, releasing
from tests.dbt.conftest import Project

NODE, ROLE = "model.usage_metering.usage_daily", "metering_transformer"


@pytest.fixture
def session(database: str) -> Iterator[Any]:
    handle = psycopg2.connect(database)
    # As dbt does, in the transaction that the first statement begins.
    handle.cursor().execute(f"set role {ROLE}")
    yield SimpleNamespace(
        state="open", name=NODE, handle=handle, transaction_open=True, credentials=SimpleNamespace(role=ROLE)
    )
    handle.close()


def released(session: Any) -> bool:
    """Whether dbt's own way was gone, which closes a session."""
    closed: list[Any] = []
    releasing(closed.append)(SimpleNamespace(get_if_exists=lambda: session))  # type: ignore[arg-type]
    return bool(closed)


def test_all_nodes_of_a_build_have_one(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    of_dbt = Manager.open

    def counted(connection: Any) -> Any:
        opened.append(connection.name)
        return of_dbt(connection)

    monkeypatch.setattr(Manager, "open", staticmethod(counted))
    built.build("2026-03-18", "2026-03-18")
    assert [is_of_node(name) for name in opened].count(True) == 1
    assert "master" in opened


def test_the_next_node_finds_no_transaction_and_no_temporary_table(session: Any) -> None:
    pid = session.handle.info.backend_pid
    cursor = session.handle.cursor()
    cursor.execute("create temporary table left_over as select 1 as x")
    session.handle.commit()
    cursor.execute("select count(*) from raw.tenants")
    assert not released(session)
    assert session.handle.info.transaction_status == TRANSACTION_STATUS_IDLE
    assert session.transaction_open is False
    cursor.execute("select to_regclass('left_over'), pg_backend_pid()")
    assert cursor.fetchone() == (None, pid)


@pytest.mark.parametrize("committed", [True, False])
def test_it_has_the_transformers_role(session: Any, committed: bool) -> None:
    if committed:
        session.handle.commit()
    assert not released(session)
    cursor = session.handle.cursor()
    cursor.execute("select current_user::text")
    assert cursor.fetchone() == (ROLE,)


def test_what_was_not_committed_is_taken_back(session: Any) -> None:
    cursor = session.handle.cursor()
    cursor.execute("create table intermediate.by_a_node_that_failed (x int)")
    assert not released(session)
    cursor.execute("select to_regclass('intermediate.by_a_node_that_failed')")
    assert cursor.fetchone() == (None,)


def test_a_session_that_its_server_has_ended_is_dbts_to_close(database: str, session: Any) -> None:
    other = psycopg2.connect(database)
    other.cursor().execute("select pg_terminate_backend(%s, 5000)", [session.handle.info.backend_pid])
    other.close()
    assert released(session)


@pytest.mark.parametrize("name", [None, "master", "list_usage_staging", "create_usage_marts"])
def test_dbts_own_sessions_are_closed(session: Any, name: str | None) -> None:
    session.name = name
    assert released(session)


@pytest.mark.parametrize(("waited", "closed"), [(0, False), (SECONDS_KEPT, False), (SECONDS_KEPT + 1, True)])
def test_one_that_waited_long_is_opened_anew_and_not_within_a_node(waited: float, closed: bool) -> None:
    session, done = SimpleNamespace(kept_at=1000.0), []
    manager = SimpleNamespace(get_if_exists=lambda: session, close=lambda each: done.append(("closed", each)))
    now = [1000.0 + waited]
    named = naming(lambda _, name: done.append(("named", name)), lambda: now[0])  # type: ignore[arg-type, return-value, func-returns-value]
    named(manager, NODE)  # type: ignore[arg-type]
    assert done == [*([("closed", session)] if closed else []), ("named", NODE)]
    done.clear()
    now[0] += 2 * SECONDS_KEPT
    named(manager, NODE)  # type: ignore[arg-type]
    assert done == [("named", NODE)]


def test_dbt_has_its_own_way_back() -> None:
    of_dbt = Manager.release, Manager.set_connection_name
    with kept_sessions():
        assert Manager.release not in of_dbt
    assert (Manager.release, Manager.set_connection_name) == of_dbt
