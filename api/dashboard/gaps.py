"""Days that are not known, as every chart by day shows them: in words, and as steps that are drawn apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from api.dashboard import formats
from api.dashboard.charts import Gap
from api.dashboard.steps import Span
from api.kit.coverage import UnknownDays
from api.kit.periods import DayRange

Keyed = tuple[str, UnknownDays]
"""A run of days, and the key of the series (a channel, a provider) of which it is not known."""


def told(gaps: Sequence[Keyed], span: Span, name_of: Callable[[str], str] | None = None) -> str:
    """Return what is to be said of a step: which answers are missing, what was not metered yet. Empty where all is known.

    Args:
        name_of: a series' name. None where series are the providers, or the gaps of all of them.
    """
    said = []
    for state, words, of_providers in (
        ("no_answer", "No answer from {} for {}", "No answer from {}"),
        ("not_metered", "Not yet metered: {1}", "Not yet metered: {}"),
    ):
        here = [
            (key, gap) for key, gap in gaps if gap.state == state and gap.start <= span.last and gap.end >= span.first
        ]
        if here:
            providers = formats.listed(
                sorted({formats.provider_name(name) for _, gap in here for name in gap.providers})
            )
            names = formats.listed(list(dict.fromkeys(name_of(key) for key, _ in here))) if name_of else ""
            said.append((words if name_of else of_providers).format(providers, names))
    return "; ".join(said)


def drawn(gaps: Sequence[Keyed], spans: Sequence[Span]) -> list[Gap]:
    """Return which steps are not known. Of a week or month an answer of any day is missed, and not metered is one of whose days none was."""
    found = []
    for key, gap in gaps:
        inside = [
            index
            for index, span in enumerate(spans)
            if (
                gap.start <= span.last and gap.end >= span.first
                if gap.state == "no_answer"
                else gap.start <= span.first and gap.end >= span.last
            )
        ]
        if inside:
            found.append(Gap(key, inside[0], inside[-1], gap.state))
    return found


def unknown(gaps: Sequence[Keyed]) -> set[tuple[str, date]]:
    """Return the days of each series on which a zero is none: nobody has said it."""
    return {(key, day) for key, gap in gaps for day in DayRange(gap.start, gap.end).days()}
