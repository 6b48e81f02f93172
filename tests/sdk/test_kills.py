"""Killed at random, with PostgreSQL restarted meanwhile: each acknowledged event once. `make bench ARGS=kills` is the full size."""

from __future__ import annotations

from bench.killing import run_kills


def test_every_acknowledged_event_is_stored_once() -> None:
    outcome = run_kills(processes=6, events=100, kills=8, restarts=1, pause=0.02)
    assert outcome.missing == []
    assert outcome.doubled == []
    assert outcome.acknowledged == outcome.stored == 600
    assert (outcome.kills, outcome.restarts) == (8, 1)
