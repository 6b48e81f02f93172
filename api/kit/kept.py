"""Finished bodies, kept in memory while they are true."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from api.kit.database import Build

MOST_BYTES = 64_000_000
# What an entry takes besides its texts: the objects around them, roughly.
ENTRY_BYTES = 500


class KeptBodies:
    """The bodies read of one build, one for each question; those least recently asked for go first.

    A question is all that a body depends on but the build: who may see it is part of it, so that nothing of one tenant answers another.
    With the first body of a newer build those of the older one go. What is kept takes ``most_bytes`` at most, whoever asks for how much.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._build: tuple[datetime, str] | None = None
        self._bodies: OrderedDict[str, bytes] = OrderedDict()

    def __contains__(self, question: str) -> bool:
        """Say whether there is a body, of whichever build."""
        return question in self._bodies

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def total_bytes(self) -> int:
        """How many bytes the bodies and their questions take."""
        return self._bytes

    def find(self, question: str, build: Build | None) -> bytes | None:
        """Return the question's body; None where there is none of this build, or the marts may be of another by now."""
        if build is None or not build.is_settled or _order(build) != self._build:
            return None
        body = self._bodies.get(question)
        if body is not None:
            self._bodies.move_to_end(question)
        return body

    def keep(self, question: str, build: Build | None, body: bytes) -> None:
        """Keep a body that was read of ``build``, unless that is not settled, or older than what is kept; nor is a body kept that would
        push out most of the others.
        """
        size = self._size(question, body)
        if build is None or not build.is_settled or size > self._most_bytes // 4:
            return
        if self._build is None or _order(build) > self._build:
            self._bodies.clear()
            self._bytes = 0
            self._build = _order(build)
        elif _order(build) != self._build:
            return
        self._drop(question)
        self._bodies[question] = body
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._bodies)))

    def _drop(self, question: str) -> None:
        body = self._bodies.pop(question, None)
        if body is not None:
            self._bytes -= self._size(question, body)

    @staticmethod
    def _size(question: str, body: bytes) -> int:
        return len(question) + len(body) + ENTRY_BYTES


def _order(build: Build) -> tuple[datetime, str]:
    # One that was made again under its name has another end.
    return build.finished_at, build.build_id
