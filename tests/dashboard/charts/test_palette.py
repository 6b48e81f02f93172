"""The charts' colours: seen against the surface, and told apart by people with any kind of colour vision, in light and in dark."""

from __future__ import annotations

import re
from itertools import combinations
from math import dist

import pytest

from api.dashboard.charts.series import TONES
from api.dashboard.rendering import STATIC_FOLDER

Colour = tuple[float, ...]

# How those see who lack one kind of cones, over linear light (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# Of OKLab; about 0.02 is just noticed side by side.
APART = 0.07
# WCAG 2.2, 1.4.11: graphical objects.
CONTRAST = 3


def variables(sheet: str, dark: bool) -> dict[str, str]:
    """Return a style sheet's colours, in light or with what dark changes."""
    text = (STATIC_FOLDER / sheet).read_text()
    light, _, rest = text.partition("prefers-color-scheme: dark")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return {**found, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rest.partition("\n}")[0]))} if dark else found


def linear(colour: str) -> Colour:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def times(matrix: tuple[Colour, ...], colour: Colour) -> Colour:
    return tuple(sum(factor * part for factor, part in zip(row, colour, strict=True)) for row in matrix)


def oklab(colour: Colour) -> Colour:
    cones = times(
        (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        ),
        tuple(min(max(part, 0), 1) for part in colour),
    )
    return times(
        (
            (0.2104542553, 0.7936177850, -0.0040720468),
            (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660),
        ),
        tuple(part ** (1 / 3) for part in cones),
    )


def contrast(one: str, other: str) -> float:
    light, dark = sorted(
        (
            sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear(found), strict=True))
            for found in (one, other)
        ),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("vision", VISION)
def test_they_are_told_apart(dark: bool, vision: str) -> None:
    found = {name: colour for name, colour in variables("chart.css", dark).items() if name.startswith("tone-")}
    assert set(found) == {"tone-other", *(f"tone-{number}" for number in range(1, TONES + 1))}
    seen = {name: oklab(times(VISION[vision], linear(colour))) for name, colour in found.items()}
    near = {pair: dist(seen[pair[0]], seen[pair[1]]) for pair in combinations(seen, 2)}
    assert min(near.values()) >= APART, min(near.items(), key=lambda entry: entry[1])


@pytest.mark.parametrize("dark", [False, True])
def test_they_are_seen_on_a_card(dark: bool) -> None:
    surface = variables("metering.css", dark)["surface"]
    for name, colour in variables("chart.css", dark).items():
        assert contrast(colour, surface) >= CONTRAST, name
