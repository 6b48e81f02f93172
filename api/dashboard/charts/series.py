"""Which series have a colour of their own, and which one it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.dashboard.charts.drawing import Number, Series

# As many as can be told apart by everybody, in light and dark (tests/dashboard/charts/test_palette.py).
TONES = 6
# What has less of the whole than this is too thin to be seen in a stack.
THIN = 0.02
OTHER = "other"


def _size(series: Series) -> Number:
    return sum(abs(value) for value in series.values if value)


def thin_keys(series: Sequence[Series]) -> set[str]:
    """Return the keys of the series that are drawn together: beyond the `TONES` largest, or thin. One alone is drawn as itself."""
    sizes = {entry.key: _size(entry) for entry in series}
    whole = sum(sizes.values())
    largest = sorted(sizes, key=lambda key: -sizes[key])[:TONES]
    thin = {key for key in sizes if key not in largest or sizes[key] < THIN * whole}
    return thin if len(thin) > 1 or len(sizes) > TONES else set()


def tones(series: Sequence[Series]) -> Mapping[str, str]:
    """Return each series' colour: ``1`` to ``6`` in the order given, or ``other``."""
    thin = thin_keys(series)
    own = [entry.key for entry in series if entry.key not in thin]
    return {entry.key: OTHER if entry.key in thin else str(own.index(entry.key) + 1) for entry in series}


def together(series: Sequence[Series]) -> list[Number | None]:
    """Return the sums of several series' values; None where none of them has one."""
    sums: list[Number | None] = []
    for values in zip(*(entry.values for entry in series), strict=True):
        known = [value for value in values if value is not None]
        sums.append(sum(known) if known else None)
    return sums
