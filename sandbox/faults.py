"""Failures on request: which requests fail, how, and how often. What a failure looks like on the wire is
`server.py`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Cut = Literal["before", "middle"]


@dataclass
class Fault:
    """One failure. `match` is a part of the request's path and query, percent-decoded ("" matches
    everything).

    The first `after` matching requests pass, the next `count` fail (None: all of them). `status` and
    `headers` go on the wire with the provider's own error body, or `body` where it is given. `cut` closes the
    connection before any answer, or in the middle of one. `delay` seconds pass first; with status None the
    request is then answered.
    """

    match: str = ""
    status: int | None = 500
    count: int | None = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    cut: Cut | None = None
    after: int = 0
    delay: float = 0.0
    seen: int = 0

    @classmethod
    def of(cls, values: dict[str, Any]) -> Fault:
        """From a control request's JSON. Raises ValueError for unknown keys or values."""
        known = set(cls.__dataclass_fields__) - {"seen"}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown fault fields: {', '.join(unknown)} (known: {', '.join(sorted(known))})")
        values = dict(values)
        if values.get("cut") is True:
            values["cut"] = "before"
        if values.get("cut") not in (None, False, *get_args(Cut)):
            raise ValueError("cut must be one of true, before, middle")
        values["headers"] = {str(key): str(value) for key, value in (values.get("headers") or {}).items()}
        return cls(**{**values, "cut": values.get("cut") or None})


class Faults:
    """The faults in force. Safe to use from any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, match: str = "", **options: Any) -> Fault:
        """`add("/Messages", status=429, headers={"Retry-After": "1"}, count=2)`; see `Fault`."""
        fault = Fault.of({"match": match, **options})
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def listed(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def take(self, target: str) -> Fault | None:
        """The fault that the request for `target` runs into, if any; spends it."""
        with self._lock:
            for fault in self._faults:
                if fault.match not in target:
                    continue
                fault.seen += 1
                failing = fault.seen - fault.after
                if failing >= 1 and (fault.count is None or failing <= fault.count):
                    return fault
        return None
