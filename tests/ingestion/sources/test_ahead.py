"""The next is asked for while the last is worked on: in order, never too many, and not after the caller has left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ingestion.sources.ahead import ahead


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_answers_come_in_the_order_of_the_tasks(at_once: int) -> None:
    found = [(task, answer()) for task, answer in ahead(((n, n + 1) for n in range(10)), lambda a, b: a * b, at_once)]
    assert found == [((n, n + 1), n * (n + 1)) for n in range(10)]


def test_an_error_belongs_to_its_task() -> None:
    outcomes: list[object] = []
    for (number,), answer in ahead(((n,) for n in (1, 0, 2)), lambda n: 10 // n):
        try:
            outcomes.append(answer())
        except ZeroDivisionError:
            outcomes.append(number)
    assert outcomes == [10, 0, 5]


def test_tasks_are_read_no_further_ahead_than_is_asked_at_once() -> None:
    read: list[int] = []

    def tasks() -> Iterator[tuple[int]]:
        for number in range(100):
            read.append(number)
            yield (number,)

    for (number,), answer in ahead(tasks(), lambda n: n, at_once=3):
        assert answer() == number
        assert len(read) <= number + 3


def test_who_leaves_early_has_nothing_more_asked() -> None:
    requested: list[int] = []
    release = threading.Event()

    def call(number: int) -> int:
        requested.append(number)
        if number:
            release.wait(10)
        return number

    answers = ahead(((n,) for n in range(100)), call, at_once=2)
    next(answers)
    answers.close()
    release.set()
    assert len(requested) <= 3


def test_no_tasks_are_no_answers() -> None:
    assert list(ahead(iter(()), lambda: None)) == []
