"""Charts that the pages draw themselves: pure functions make geometry here, `chart.html` writes it as SVG, `chart.js` adds what a script can.

A chart is an illustration of its own table: every figure in it stands there as text, and the script reads what it tells from there.
"""

from api.dashboard.charts.drawing import Cell, Chart, Gap, Number, Series, Step
from api.dashboard.charts.month import Before, Outlook, month_so_far
from api.dashboard.charts.series import OTHER, tones
from api.dashboard.charts.stacks import stacked_bars

__all__ = [
    "OTHER",
    "Before",
    "Cell",
    "Chart",
    "Gap",
    "Number",
    "Outlook",
    "Series",
    "Step",
    "month_so_far",
    "stacked_bars",
    "tones",
]
