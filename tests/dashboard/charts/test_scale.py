"""Round levels, zero among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.charts.drawing import HEIGHT
from api.dashboard.charts.scale import MOST, scale_of


@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (0, 12.8, [0, 5, 10, 15]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (5, 9, [0, 2, 4, 6, 8, 10]),
        (-3, 5, [-4, -2, 0, 2, 4, 6]),
        (0, 0.0012, [0, 0.00025, 0.0005, 0.00075, 0.001, 0.00125]),
    ],
)
def test_levels(low: float, high: float, levels: list[float]) -> None:
    assert list(scale_of(low, high).levels) == pytest.approx(levels)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_it_holds_both_and_zero_with_few_levels(one: float, other: float) -> None:
    low, high = sorted((one, other))
    scale = scale_of(low, high)
    # A billionth of a step is nobody's pixel.
    nothing = 1e-8 * (scale.high - scale.low)
    assert scale.low <= min(low, 0) + nothing
    assert scale.high >= max(high, 0) - nothing
    assert any(abs(level) < 1e-9 * (scale.high - scale.low) for level in scale.levels)
    assert 2 <= len(scale.levels) <= MOST + 2


def test_places_are_from_the_top() -> None:
    scale = scale_of(0, 10)
    assert (scale.y(10), scale.y(0), scale.y(5)) == (0, HEIGHT, HEIGHT // 2)
    assert [(tick.at, tick.text) for tick in scale_of(0, 2).ticks(lambda value: f"{value:g}")][::3] == [
        ("220", "0"),
        ("55", "1.5"),
    ]
