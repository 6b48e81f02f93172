"""Alerts: labelled spikes found and missed, and a sender that is killed 200 times."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.report import Ratio, at_least, at_most, informative
from bench.sending import run_crashes
from bench.spikes import detect, generate, naive, score


def run() -> list[Ratio]:
    """60 channels x 180 days with labelled spikes; 200 senders killed between decision and the provider's answer."""
    made = generate(series=60, days=180)
    ours, simple = score(made, detect), score(made, naive)
    detail = f"{ours.hits} of {ours.hits + ours.misses} spikes, {ours.false_alarms} false alarms in {ours.quiet:,} days"
    against = f"mean + 3 standard deviations: precision {simple.precision:.2f}, recall {simple.recall:.2f}"
    return [
        at_least("spikes: precision", ours.precision, 0.9, detail),
        at_least("spikes: recall", ours.recall, 0.9, detail),
        informative("spikes: recall / that of a simple rule", ours.recall / max(simple.recall, 0.01), against),
        *_crashes(),
    ]


def _crashes() -> list[Ratio]:
    from warehouse import embedded
    from warehouse.migrate import migrate

    with tempfile.TemporaryDirectory(prefix="metering-alerts-") as folder:
        data = Path(folder) / "pg"
        try:
            url = embedded.start(data)
            migrate(url)
            outcome = run_crashes(url, kills=200)
        finally:
            embedded.stop(data)
    detail = (
        f"{outcome.decided} decided, {len(outcome.lost)} lost, {len(outcome.doubled)} sent twice under one id,"
        f" {len(outcome.given_up)} mails given up after their SMS,"
        f" {outcome.kills} kills ({outcome.killed_inside} with an attempt under way), {outcome.seconds:.0f} s"
    )
    return [
        at_least("killed senders: alerts that arrived", 1 - len(outcome.lost) / outcome.decided, 1, detail),
        at_most("killed senders: copies under one id", max(outcome.doubled.values(), default=1), 2, ""),
        at_most("killed senders: messages repeated within 24 h", len(outcome.repeated), 0, ""),
    ]
