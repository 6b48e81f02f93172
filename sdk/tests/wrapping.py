"""Stand-ins for tracker and guard that remember what they were told, and what of an answer is the same every time."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from usage_metering.context import current
from usage_metering.guard import Access, UsageCapReached

VOLATILE = {"id", "created", "created_at", "completed_at", "item_id", "call_id"}

Event = dict[str, Any]


class RecordingTracker:
    """Keeps each event with what the context says at that moment; None and empty are left out."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[Event] = []
        self.threads: list[int] = []
        self.reservations: list[str | None] = []
        self._fails = fails

    def record(self, *args: Any, reservation: str | None = None, **fields: Any) -> str | None:
        assert not args
        context = current()
        event = {
            "tenant_id": context.tenant_id,
            "feature": context.feature,
            "activity": context.activity,
            "lead_id": context.lead_id,
            **{name: value for name, value in fields.items() if value is not None},
        }
        event["metadata"] = {**context.metadata, **(fields.get("metadata") or {})}
        self.threads.append(threading.get_ident())
        self.reservations.append(reservation)
        self.events.append({name: value for name, value in event.items() if value not in (None, {})})
        if self._fails:
            raise OSError("the disk is full")
        return fields.get("external_id") or "made-up"

    @property
    def only(self) -> Event:
        assert len(self.events) == 1, self.events
        return self.events[0]


@dataclass
class Held:
    """One reservation, and what became of it."""

    tenant_id: str
    channel: str
    units: int
    direction: str
    feature: str | None
    id: str = "reservation-1"
    settlement: tuple[str, int] | None = None
    outcome: str = "held"

    def settle_as(self, key: str, units: int) -> None:
        self.settlement = (key, units)


@dataclass
class RecordingGuard:
    """Grants everything, or nothing."""

    refuses: bool = False
    breaks: bool = False
    held: list[Held] = field(default_factory=list)
    asked_in: list[int] = field(default_factory=list)

    @contextmanager
    def reserve(
        self, tenant_id: str, channel: str, units: int = 1, *, direction: str = "outbound", feature: str | None = None
    ) -> Iterator[Held]:
        self.asked_in.append(threading.get_ident())
        if self.breaks:
            raise RuntimeError("a bug of the guard's")
        if self.refuses:
            raise UsageCapReached(Access(False, "over_cap", Decimal(10), Decimal(0), Decimal(10), "cap"))
        held = Held(tenant_id, channel, units, direction, feature)
        self.held.append(held)
        try:
            yield held
        except BaseException:
            held.outcome = "released"
            raise
        held.outcome = "settled"

    @property
    def only(self) -> Held:
        assert len(self.held) == 1, self.held
        return self.held[0]


def stand_in_for_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `litellm_callback` find what it needs of LiteLLM: the base of its callbacks."""
    logger = types.ModuleType("litellm.integrations.custom_logger")
    logger.CustomLogger = type("CustomLogger", (), {})  # type: ignore[attr-defined]
    for name in ("litellm", "litellm.integrations"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, logger.__name__, logger)


def steady(answer: Any) -> Any:
    """What is said, without the ids and times that differ from call to call."""
    if isinstance(answer, dict):
        return {name: steady(value) for name, value in answer.items() if name not in VOLATILE}
    if isinstance(answer, list | tuple):
        return [steady(value) for value in answer]
    if hasattr(answer, "to_dict"):
        return [type(answer).__name__, steady(answer.to_dict(warnings=False))]
    if hasattr(answer, "model_dump"):
        return [type(answer).__name__, steady(answer.model_dump())]
    return answer


def raised_by(call: Any) -> BaseException:
    """The exception of a call that must fail."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def same_failure(one: BaseException, other: BaseException) -> None:
    """Both are of one type and say the same."""
    assert type(one) is type(other)
    assert str(one) == str(other)
    for name in ("status_code", "status", "code", "body", "uri", "msg", "reason"):
        assert getattr(one, name, None) == getattr(other, name, None), name
