"""Trackers killed at random while PostgreSQL is restarted: what was acknowledged, and what of it is missing or double."""

from __future__ import annotations

from bench.killing import run_kills
from bench.report import Ratio, at_least, at_most


def run() -> list[Ratio]:
    """20 processes x 500 events, 50 kills, 5 restarts of PostgreSQL: every acknowledged event is stored once."""
    outcome = run_kills(processes=20, events=500, kills=50, restarts=5, pause=0.1)
    detail = (
        f"{outcome.acknowledged:,} acknowledged, {outcome.stored:,} stored, {len(outcome.missing)} missing,"
        f" {len(outcome.doubled)} double, {outcome.kills} kills, {outcome.restarts} restarts, {outcome.seconds:.0f} s"
    )
    kept = (outcome.acknowledged - len(outcome.missing)) / outcome.acknowledged
    return [
        at_least("killed trackers: acknowledged events that are stored", kept, 1, detail),
        at_most(
            "killed trackers: rows / events stored", outcome.stored / (outcome.stored - len(outcome.doubled)), 1, ""
        ),
    ]
