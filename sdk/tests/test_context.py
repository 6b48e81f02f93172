"""Contexts nest, merge, and stay with their thread or task."""

from __future__ import annotations

import asyncio
import threading

from usage_metering import usage_context
from usage_metering.context import Context, current


def test_inner_wins_and_metadata_merge() -> None:
    with usage_context(tenant_id="acme", feature="a", metadata={"x": 1, "y": 1}):
        with usage_context(feature="b", lead_id="l", metadata={"y": 2}):
            assert current() == Context("acme", "b", None, "l", None, None, {"x": 1, "y": 2})
        assert current().feature == "a"
    assert current() == Context()


def test_an_exception_ends_it() -> None:
    try:
        with usage_context(tenant_id="acme"):
            raise ValueError
    except ValueError:
        pass
    assert current().tenant_id is None


def test_threads_begin_empty() -> None:
    seen: list[str | None] = []
    with usage_context(tenant_id="acme"):
        thread = threading.Thread(target=lambda: seen.append(current().tenant_id))
        thread.start()
        thread.join()
    assert seen == [None]


def test_tasks_keep_their_own() -> None:
    async def work(tenant: str) -> str | None:
        with usage_context(tenant_id=tenant):
            await asyncio.sleep(0.01)
            return current().tenant_id

    async def both() -> list[str | None]:
        return list(await asyncio.gather(work("a"), work("b")))

    assert asyncio.run(both()) == ["a", "b"]
